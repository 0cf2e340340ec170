"""
The node's process: `python -m cli.noded OPTIONS`, started by `mesh up` and `mesh join`.

Options are one JSON document in an argument. What became of the start goes as one JSON line into
the pipe that the parent holds, so that the parent can say it in one line with a remedy.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from mesh.core.errors import LocalError, MeshError

Told = Callable[[Mapping[str, Any]], None]


@frozen
class Options:
    """How a node is to run; see `mesh up --help`."""

    home: str
    listen: tuple[tuple[str, int], ...] = ()
    peers: tuple[tuple[str, int], ...] = ()
    #: None: where it listens.
    advertise: tuple[tuple[str, int], ...] | None = None
    mdns: bool = True
    region: str = ""
    record: str = ""

    def encode(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> Options:
        found = json.loads(text)
        for key in ("listen", "peers", "advertise"):
            if found[key] is not None:
                found[key] = tuple((str(host), int(port)) for host, port in found[key])
        return cls(**found)


def run(options: Options, ready: Told) -> None:
    """
    Run the node until it is asked to stop.

    Args:
        options: How it is to run.
        ready: Called once, when the node can be spoken to, with its `node_id` and `listen`.

    Raises:
        MeshError: It could not start, or could not go on.
    """
    import trio  # noqa: PLC0415 - the client commands import this module's `Options` alone

    from mesh.storage.keyfile import disable_core_dumps  # noqa: PLC0415 - as above

    disable_core_dumps()
    try:
        trio.run(_run, options, ready)
    except BaseExceptionGroup as group:
        raise _first(group) from group


async def _run(options: Options, ready: Told) -> None:
    import trio  # noqa: PLC0415 - as above

    from mesh.api.http import bind_socket, serve_http  # noqa: PLC0415 - as above
    from mesh.node.node import open_node  # noqa: PLC0415 - as above

    stop = trio.Event()
    async with open_node(
        options.home,
        listen=options.listen,
        peers=options.peers,
        mdns=options.mdns,
        region=options.region,
        record=Path(options.record) if options.record else None,
        advertise=options.advertise,
    ) as node:
        with bind_socket(node.home) as listener:
            async with trio.open_nursery() as nursery:
                # Whoever reads that it is ready may stop it at once.
                await nursery.start(_stop_on_signals, stop)
                ready(
                    {
                        "node_id": node.node_key.hex(),
                        "listen": node.status()["listen"],
                        "pid": os.getpid(),
                    }
                )
                # Returns after `stop`, when it has given its last answers.
                await serve_http(node, listener, stop)
                nursery.cancel_scope.cancel()


async def _stop_on_signals(stop: Any, task_status: Any) -> None:
    import trio  # noqa: PLC0415 - as above

    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            stop.set()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that people are told: of several the first, out of all its groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def main(arguments: Sequence[str] | None = None) -> int:
    """The background process: options, and the number of the pipe's end."""
    given = sys.argv[1:] if arguments is None else arguments
    options, pipe = Options.decode(given[0]), int(given[1])

    def tell(document: Mapping[str, Any]) -> None:
        nonlocal pipe
        if pipe >= 0:
            with suppress(BrokenPipeError):
                os.write(pipe, json.dumps(document).encode() + b"\n")
            os.close(pipe)
            pipe = -1

    try:
        # It outlives the folder in which the command was typed.
        os.chdir("/")
        run(options, lambda data: tell({"data": data}))
    except MeshError as error:
        tell({"error": _described(error), "exit_code": error.exit_code})
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the parent says it, or the log does
        told = LocalError(f"the node failed: {type(error).__name__}: {error}")
        tell({"error": _described(told), "exit_code": 1})
        _log(options, error)
        return 1
    return 0


def _described(error: MeshError) -> dict[str, Any]:
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "retryable": error.retryable,
    }


def _log(options: Options, error: Exception) -> None:
    import traceback  # noqa: PLC0415 - when it is needed

    from mesh.core.effects import Log  # noqa: PLC0415 - as above
    from mesh.observe.logs import NodeLog  # noqa: PLC0415 - as above
    from mesh.storage.home import Home  # noqa: PLC0415 - as above

    lines = "".join(traceback.format_exception(error))
    log = NodeLog.at(Home(Path(options.home)).log_path)
    log(Log("error", "node.failed", (("error", str(error)), ("trace", tuple(lines.split("\n"))))))
    log.close()


if __name__ == "__main__":
    sys.exit(main())
