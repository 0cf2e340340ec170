"""The socket's door against hostile, slow and many callers; one real node, no network."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from mesh.api import http as door
from mesh.api import operations
from mesh.api.arguments import Argument
from mesh.api.context import Context, Operation
from mesh.api.version import LINES_TYPE, OPERATIONS_PATH, VERSION, VERSION_HEADER
from mesh.core.errors import BackPressure, Unknown
from mesh.node.node import open_node
from mesh.node.setup import init_mesh

Answer = tuple[int, dict[str, str], bytes]
Ask = Callable[..., Any]


class Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("mesh", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(str(self._path))


def ask_at(path: Path, url: str, body: bytes, headers: dict[str, str], method: str) -> Answer:
    connection = Connection(path)
    try:
        # A door that refuses early does not read to the end.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, url, body, headers)
        with connection.getresponse() as response:
            found = {key.lower(): value for key, value in response.getheaders()}
            return response.status, found, response.read()
    finally:
        connection.close()


@asynccontextmanager
async def served(home: Path) -> AsyncIterator[Ask]:
    init_mesh(home, "acme", 1_700_000_000_000)
    stop = trio.Event()
    async with open_node(home, listen=(), mdns=False, is_offline=True) as node:
        with door.bind_socket(node.home) as listener:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(door.serve_http, node, listener, stop)

                async def ask(
                    name: str, given: Any = None, *, method: str = "POST", **headers: str
                ) -> Answer:
                    body = given if isinstance(given, bytes) else json.dumps(given or {}).encode()
                    url = name if name.startswith("/") else OPERATIONS_PATH + name
                    return await trio.to_thread.run_sync(
                        ask_at, node.home.socket_path, url, body, headers, method
                    )

                yield ask
                stop.set()


async def test_an_operation_is_answered_in_the_envelope(tmp_path: Path) -> None:
    async with served(tmp_path / "home") as ask:
        status, headers, body = await ask("create", {"title": "x"})
    document = json.loads(body)
    assert status == 200 and document["schema_version"] == 1
    assert document["data"]["title"] == "x"
    assert headers[VERSION_HEADER.lower()] == VERSION
    assert headers["content-type"] == "application/json"


async def test_mistakes_have_their_status(tmp_path: Path) -> None:
    async with served(tmp_path / "home") as ask:
        for status, name, given in (
            (404, "nonsense", {}),
            (404, "/", {}),
            (404, "/v2/op/status", {}),
            (400, "create", {}),
            (400, "create", b"{"),
            (400, "create", b"[]"),
            (400, "create", b"\xff"),
            (400, "create", b"[" * 50_000),
            (400, "create", b'{"title": "' + b"x" * 1_100_000 + b'"}'),
            (404, "show", {"node": "nonsense"}),
            (412, "archive", {"node": "/"}),
        ):
            found, _, body = await ask(name, given)
            error = json.loads(body)["error"]
            assert found == status, (name, body)
            assert error["message"] and set(error) == {"code", "message", "hint", "retryable"}
        assert (await ask("status", method="GET"))[0] == 404
        assert (await ask("status"))[0] == 200


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> dict[str, Operation]:
    """The table, to which a test may add."""
    added = dict(operations.OPERATIONS)
    monkeypatch.setattr(door, "OPERATIONS", added)
    return added


async def test_a_mistake_of_ours_is_one_error_and_the_node_goes_on(
    tmp_path: Path, table: dict[str, Operation]
) -> None:
    async def broken(_: Context, __: dict[str, Any]) -> Any:
        raise KeyError("secret detail")

    table["broken"] = Operation("broken", broken)
    async with served(tmp_path / "home") as ask:
        status, _, body = await ask("broken")
        assert status == 500 and b"KeyError" in body and b"secret" not in body
        assert (await ask("status"))[0] == 200
    assert "api.failed" in (tmp_path / "home" / "node.log").read_text()


async def test_what_is_not_known_is_not_called_a_failure(
    tmp_path: Path, table: dict[str, Operation]
) -> None:
    async def silent(_: Context, __: dict[str, Any]) -> Any:
        raise Unknown("nobody knows")

    table["silent"] = Operation("silent", silent)
    async with served(tmp_path / "home") as ask:
        status, _, body = await ask("silent")
    assert status == 504 and json.loads(body)["error"]["retryable"] is True


async def test_calls_beyond_the_bound_are_told_to_come_again(
    tmp_path: Path, table: dict[str, Operation], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, goes = trio.Event(), trio.Event()

    async def slow(_: Context, __: dict[str, Any]) -> Any:
        waits.set()
        await goes.wait()

    table["slow"] = Operation("slow", slow)
    monkeypatch.setattr(door, "OPERATIONS_AT_ONCE_MAX", 1)
    async with served(tmp_path / "home") as ask, trio.open_nursery() as nursery:
        nursery.start_soon(ask, "slow")
        await waits.wait()
        status, _, body = await ask("status")
        assert status == 503 and json.loads(body)["error"]["code"] == BackPressure.code
        goes.set()


async def test_what_is_told_comes_as_lines_before_the_answer(
    tmp_path: Path, table: dict[str, Operation]
) -> None:
    async def counting(context: Context, given: dict[str, Any]) -> Any:
        for number in range(given["to"]):
            await context.tell(number)
        return "done"

    table["counting"] = Operation("counting", counting, (Argument("to", "int"),))
    async with served(tmp_path / "home") as ask:
        status, headers, body = await ask("counting", {"to": 200}, Accept=LINES_TYPE)
        lines = [json.loads(line) for line in body.splitlines()]
        assert status == 200 and headers["content-type"].startswith(LINES_TYPE)
        assert lines[:-1] == [{"told": number} for number in range(200)]
        assert lines[-1] == {"schema_version": 1, "data": "done"}
        # The same without lines.
        assert json.loads((await ask("counting", {"to": 2}))[2])["data"] == "done"
        # An error after the status line carries its own status.
        last = json.loads((await ask("counting", {"to": "x"}, Accept=LINES_TYPE))[2])
        assert last["status"] == 400 and last["error"]["code"] == "usage"


async def test_the_socket_is_private_and_goes_with_the_node(tmp_path: Path) -> None:
    path = tmp_path / "home" / "run" / "node.sock"
    async with served(tmp_path / "home") as ask:
        assert path.stat().st_mode & 0o777 == 0o600
        assert (await ask("status"))[0] == 200
    assert not path.exists()


async def test_down_answers_before_the_node_stops(tmp_path: Path) -> None:
    async with served(tmp_path / "home") as ask:
        status, _, body = await ask("down")
    assert status == 200 and json.loads(body)["data"]["was_running"] is True


def test_every_operation_names_its_arguments_once() -> None:
    for operation in operations.OPERATIONS.values():
        names = [argument.name for argument in operation.arguments]
        assert len(set(names)) == len(names) and "session" not in names
        assert attrs.has(type(operation))
