"""
The local door: operations over HTTP on a Unix socket that only the node's owner can reach.

    POST /v1/op/NAME    arguments as a JSON object; answered by an envelope
      Accept: application/x-ndjson    {"told": …} lines on the way, then the envelope as the last

The socket is bound here, under the home's lock, and handed to the server as a file descriptor, so
that its mode and place are ours. Who may open the socket is who owns the node.
"""

from __future__ import annotations

import json
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import Any, Final

import trio
from attrs import define, field
from hypercorn.config import Config
from hypercorn.trio import serve
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from mesh.api.context import Context, Operation
from mesh.api.envelope import as_mesh_error, dump, failure, status_of, success
from mesh.api.operations import OPERATIONS, perform
from mesh.api.version import JSON_TYPE, LINES_TYPE, OPERATIONS_PATH, VERSION, VERSION_HEADER
from mesh.core.effects import Log
from mesh.core.errors import BackPressure, MeshError, NotFound, UsageError
from mesh.node.node import Node
from mesh.storage.home import Home

#: Operations that run at once, and streams besides; beyond, callers are told to come again.
OPERATIONS_AT_ONCE_MAX: Final = 64
STREAMS_AT_ONCE_MAX: Final = 64
#: Operations with more than a megabyte of arguments; each may hold tens of megabytes.
LARGE_AT_ONCE_MAX: Final = 2
_LARGE_BYTES: Final = 1024 * 1024
#: Lines of a stream that wait for a slow reader; beyond, the operation waits.
LINES_WAITING_MAX: Final = 64
#: A caller must have sent its arguments within this time.
BODY_S_MAX: Final = 30.0
#: How long a stop waits for answers that are on their way.
GRACE_S: Final = 2.0
_BACKLOG: Final = 128
_HEADERS: Final = {VERSION_HEADER: VERSION}


@contextmanager
def bind_socket(home: Home) -> Iterator[socket.socket]:
    """
    The home's socket, 0600, bound by us; removed when the block ends.

    Only the holder of the home's lock may do this. Raises StorageError if it cannot be made.
    """
    path = home.prepare_socket_folder()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # The mode is right from the first moment, not from a later chmod on. The umask is the
        # whole process's; nothing else makes files at this point of the start.
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(_BACKLOG)
        yield listener
    finally:
        listener.close()
        with suppress(OSError):
            path.unlink(missing_ok=True)


async def serve_http(node: Node, listener: socket.socket, stop: trio.Event) -> None:
    """Answer until *stop* is set; the operation `down` sets it."""
    door = _Door(node, stop)
    config = Config()
    # The server closes what it is given.
    config.bind = [f"fd://{os.dup(listener.fileno())}"]
    config.accesslog = None
    config.errorlog = None
    config.graceful_timeout = GRACE_S
    config.include_server_header = False
    route = Route(OPERATIONS_PATH + "{name}", door.answer, methods=["POST"])
    app = Starlette(routes=[route], exception_handlers={404: _no_such_path, 405: _no_such_path})
    # Starlette's type of an application and the server's differ in name only.
    await serve(app, config, shutdown_trigger=stop.wait)  # type: ignore[arg-type]


@define(eq=False)
class _Door:
    node: Node
    stop: trio.Event
    _busy: Counter[str] = field(factory=Counter)

    async def answer(self, request: Request) -> Response:
        try:
            operation = _operation(request.path_params["name"])
            with self._place(operation):
                given = await _body(request, operation.bytes_max)
                if request.headers.get("accept") != LINES_TYPE:
                    return await self._answer_once(operation, given)
        except MeshError as error:
            return _response(failure(error), status_of(error))
        except ClientDisconnect:
            return Response(status_code=400)
        return StreamingResponse(
            self._lines(operation, given), media_type=LINES_TYPE, headers=_HEADERS
        )

    @contextmanager
    def _place(self, operation: Operation) -> Iterator[None]:
        queue, most = "plain", OPERATIONS_AT_ONCE_MAX
        if operation.is_stream:
            queue, most = "stream", STREAMS_AT_ONCE_MAX
        elif operation.bytes_max > _LARGE_BYTES:
            queue, most = "large", LARGE_AT_ONCE_MAX
        if self._busy[queue] >= most:
            raise BackPressure(f"{most} calls are under way already", hint="try again later")
        self._busy[queue] += 1
        try:
            yield
        finally:
            self._busy[queue] -= 1

    async def _answer_once(self, operation: Operation, given: object) -> Response:
        context = Context(self.node, is_running=True, stop=self.stop.set)
        try:
            return _response(success(await perform(context, operation, given)), 200)
        except Exception as error:  # noqa: BLE001 - one call's mistake is not the node's end
            told = self._explain(operation, error)
            return _response(failure(told), status_of(told))

    def _explain(self, operation: Operation, error: Exception) -> MeshError:
        told = as_mesh_error(error)
        if told is not error:
            fields = (("operation", operation.name), ("error", f"{type(error).__name__}: {error}"))
            self.node.log(Log("error", "api.failed", fields))
        return told

    async def _lines(self, operation: Operation, given: object) -> AsyncIterator[bytes]:
        """What is told, then the answer; ends when the node stops."""
        send, receive = trio.open_memory_channel[bytes](LINES_WAITING_MAX)

        async def tell(item: Any) -> None:
            await send.send(dump({"told": item}))

        async def work() -> None:
            context = Context(self.node, True, tell, is_heard=True, stop=self.stop.set)
            try:
                with self._place(operation):
                    last = success(await perform(context, operation, given))
            except Exception as error:  # noqa: BLE001 - as above
                told = self._explain(operation, error)
                # The status line is out already, so the document carries it.
                last = {**failure(told), "status": status_of(told)}
            await send.send(dump(last))
            send.close()

        async def end() -> None:
            await self.stop.wait()
            if not operation.is_stream:
                # What has no end of its own is not on its way to one.
                await trio.sleep(GRACE_S / 2)
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            nursery.start_soon(end)
            async for line in receive:
                yield line
            nursery.cancel_scope.cancel()


def _operation(name: str) -> Operation:
    operation = OPERATIONS.get(name)
    if operation is None:
        raise NotFound(
            f"this node has no operation {name!r:.60}",
            hint=f"it is version {VERSION}; restart it if it is older than the command",
        )
    return operation


async def _body(request: Request, bytes_max: int) -> Any:
    data = bytearray()
    with trio.move_on_after(BODY_S_MAX) as scope:
        async with aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                data += chunk
                if len(data) > bytes_max:
                    raise UsageError(
                        f"the arguments have more than {bytes_max} bytes", hint="send them in parts"
                    )
    if scope.cancelled_caught:
        raise UsageError(f"the arguments did not come within {BODY_S_MAX:g} s", hint="try again")
    if not data:
        return {}
    read: Callable[[bytearray], Any] = json.loads
    try:
        # Megabytes of JSON would hold up the links' heart-beats.
        return await trio.to_thread.run_sync(read, data) if len(data) > 1 << 16 else read(data)
    except (ValueError, RecursionError):
        raise UsageError("the arguments are not JSON", hint="send one JSON object") from None


def _response(document: dict[str, Any], status: int) -> Response:
    return Response(dump(document), status, media_type=JSON_TYPE, headers=_HEADERS)


async def _no_such_path(request: Request, _: Exception) -> Response:
    error = NotFound(
        f"nothing at {request.method} {request.url.path!r:.80}",
        hint=f"operations are POST {OPERATIONS_PATH}NAME",
    )
    return _response(failure(error), status_of(error))
