"""The client against nodes that answer otherwise than a healthy one."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli import client
from mesh.api.version import LINES_TYPE, VERSION, VERSION_HEADER
from mesh.core.errors import Unknown

Serve = Callable[[bytes], Path]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """A socket that reads one request, sends these bytes and hangs up."""

    def start(answer: bytes) -> Path:
        path = tmp_path / "s"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(1)

        def run() -> None:
            with listener, listener.accept()[0] as connection:
                connection.recv(65_536)
                connection.sendall(answer)

        threading.Thread(target=run, daemon=True).start()
        return path

    return start


def answer(
    document: Any, *, version: str = VERSION, status: str = "200 OK", more: str = ""
) -> bytes:
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 {status}\r\n{VERSION_HEADER}: {version}\r\n{more}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def nobody_warns(text: str) -> None:
    raise AssertionError(text)


def test_data_comes_back(serve: Serve) -> None:
    path = serve(answer({"schema_version": 1, "data": [1]}))
    assert client.call(path, "status", {}, warn=nobody_warns) == [1]


def test_another_version_is_said(serve: Serve) -> None:
    said: list[str] = []
    path = serve(answer({"schema_version": 1, "data": 1}, version="9.9"))
    assert client.call(path, "status", {}, warn=said.append) == 1
    assert "9.9" in said[0] and VERSION in said[0] and "mesh down" in said[0]


def test_an_error_keeps_its_code_and_gets_its_exit_code(serve: Serve) -> None:
    error = {"code": "no_such", "message": "m", "hint": "h", "retryable": False}
    path = serve(answer({"schema_version": 1, "error": error}, status="404 Not Found"))
    with pytest.raises(client.Answered) as caught:
        client.call(path, "show", {}, warn=nobody_warns)
    assert (caught.value.code, caught.value.exit_code) == ("no_such", 3)


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"nonsense\r\n\r\n",
        answer({"schema_version": 1, "data": 1})[:-3],
        answer("x").replace(b'"x"', b"{x}"),
        answer({"told": 1}, more=f"Content-Type: {LINES_TYPE}\r\n"),
    ],
)
def test_an_answer_that_breaks_off_is_unknown_and_never_a_failure(
    serve: Serve, broken: bytes
) -> None:
    with pytest.raises(Unknown) as caught:
        client.call(serve(broken), "create", {}, warn=lambda _: None, told=lambda _: None)
    assert caught.value.exit_code == 7 and "may or may not" in caught.value.message


def test_no_answer_in_time_is_unknown(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen(1)
        with pytest.raises(Unknown):
            client.call(tmp_path / "s", "create", {}, timeout_s=0.2, warn=nobody_warns)


def test_nobody_on_the_socket_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(client.NotRunning):
        client.call(tmp_path / "none", "create", {}, warn=nobody_warns)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
    with pytest.raises(client.NotRunning):
        client.call(tmp_path / "dead", "create", {}, warn=nobody_warns)
