"""
One call of the engine, with its errors sorted; the driver and a replay make the same calls.

An engine that refuses has changed nothing, so a refusal becomes an effect of its own: the link of
the peer at fault is closed, or the request is answered. Any other exception is a mistake of ours,
after which nobody knows what the engine holds: the batch fails, and the engine is built anew.
"""

from __future__ import annotations

from collections.abc import Callable

from mesh.core.effects import Disconnect, Effect, Log, Reply
from mesh.core.errors import MeshError, RemoteError, StorageError
from mesh.core.inputs import Input, Now
from mesh.node.ports import EnginePort
from mesh.node.requests import number_of


class BatchFailed(Exception):
    """The batch did not happen; `error` is what its requests are told."""

    def __init__(self, error: MeshError) -> None:
        super().__init__(str(error))
        self.error = error


def start(engine: EnginePort, now: Now) -> list[Effect]:
    """The engine's first effects. Raises BatchFailed."""
    return _guard(lambda: engine.start(now))


def flush(engine: EnginePort, now: Now) -> list[Effect]:
    """The effects at the end of a batch. Raises BatchFailed."""
    return _guard(lambda: engine.flush(now))


def handle(engine: EnginePort, item: Input, now: Now) -> list[Effect]:
    """The effects of one input, or those of its refusal. Raises BatchFailed."""
    try:
        return engine.handle(item, now)
    except StorageError as error:
        raise BatchFailed(error) from error
    except RemoteError as error:
        link = getattr(item, "link", None)
        line = _line("engine.peer_fault", error, item)
        return [line] if link is None else [line, Disconnect(link, error.code)]
    except MeshError as error:
        number = number_of(item)
        if number is None:
            return [_line("engine.refused", error, item)]
        return [Reply(number, error=error)]
    except Exception as error:
        raise BatchFailed(_internal_error(error)) from error


def _guard(step: Callable[[], list[Effect]]) -> list[Effect]:
    try:
        return step()
    except MeshError as error:
        raise BatchFailed(error) from error
    except Exception as error:
        raise BatchFailed(_internal_error(error)) from error


def _line(event: str, error: MeshError, item: Input) -> Log:
    link = getattr(item, "link", None)
    fields = (("input", type(item).__name__), ("number", link), ("error", str(error)))
    return Log("warning", event, fields)


def _internal_error(error: Exception) -> MeshError:
    return MeshError(
        f"internal error: {type(error).__name__}: {error}",
        hint="nothing was written; please report it with node.log",
    )


def storage_error(error: BaseException) -> MeshError:
    """What the disk or the building of an engine failed with, for people."""
    if isinstance(error, MeshError):
        return error
    failure = StorageError(
        f"the disk refused: {type(error).__name__}: {error}",
        hint="free space or repair the disk; `mesh doctor` says more",
    )
    failure.__cause__ = error
    return failure
