"""HTTP over the node's Unix socket, as a plain blocking client."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from cli import exit_codes
from mesh.api.version import (
    JSON_TYPE,
    LINES_TYPE,
    OPERATIONS_PATH,
    VERSION,
    VERSION_HEADER,
)
from mesh.core.errors import MeshError, Unknown

#: How long a command waits for its answer; a little longer than the node waits for its disk.
ANSWER_S: Final = 35.0
#: One line of a stream; a Worknode with its fields fits.
LINE_BYTES_MAX: Final = 16 * 1024 * 1024


class NotRunning(Exception):
    """Nobody listens on the socket; the operation was not sent."""


class Answered(MeshError):
    """An error that the node gave, with its own code and exit code."""

    # The classes of `mesh.core.errors` carry these for their class, here they are of one answer.
    code: str  # type: ignore[misc]
    exit_code: int  # type: ignore[misc]
    retryable: bool  # type: ignore[misc]

    def __init__(self, error: Mapping[str, Any], status: int) -> None:
        super().__init__(str(error.get("message", "")), hint=str(error.get("hint", "")))
        self.code = str(error.get("code", "error"))
        self.exit_code = exit_codes.of_status(status) or 1
        self.retryable = bool(error.get("retryable", False))


class Interrupted(Unknown):
    """The connection broke after the operation was sent."""

    code: ClassVar[str] = "unknown"


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("mesh", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(str(self._path))
        except OSError as error:
            self.sock.close()
            raise NotRunning from error


def is_served(path: Path | None) -> bool:
    """Whether a node listens at *path*."""
    if path is None:
        return False
    connection = _UnixConnection(path, 1.0)
    try:
        connection.connect()
    except NotRunning:
        return False
    connection.close()
    return True


def call(
    path: Path,
    name: str,
    arguments: Mapping[str, Any],
    *,
    timeout_s: float | None = None,
    told: Callable[[Any], None] | None = None,
    warn: Callable[[str], None],
) -> Any:
    """
    Do one operation on the node that listens at *path*.

    Raises:
        NotRunning: Nobody listens there; nothing was sent.
        Answered: The node's own error.
        Unknown: It was sent, and no whole answer came: it may or may not have happened.
    """
    wait_s = ANSWER_S if timeout_s is None else timeout_s
    connection = _UnixConnection(path, wait_s)
    headers = {
        "Content-Type": JSON_TYPE,
        "Accept": LINES_TYPE if told is not None else JSON_TYPE,
        VERSION_HEADER: VERSION,
    }
    try:
        connection.connect()
        # A node that refuses early does not read to the end; its answer is there all the same.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", OPERATIONS_PATH + name, json.dumps(arguments), headers)
        with connection.getresponse() as response:
            _compare(response.getheader(VERSION_HEADER), warn)
            if response.getheader("Content-Type", "").startswith(LINES_TYPE):
                return _read_lines(response, told)
            return _result(json.loads(response.read()), response.status)
    except TimeoutError as error:
        raise Unknown(
            f"no answer within {wait_s:g} s: it may or may not have happened",
            hint="look whether it did before you try again",
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Interrupted(
            "the node went away before it answered: it may or may not have happened",
            hint="see `mesh status`, and look whether it did before you try again",
        ) from error
    finally:
        connection.close()


def _compare(version: str | None, warn: Callable[[str], None]) -> None:
    if version != VERSION:
        warn(
            f"the running node is version {version or '(unknown)'}, this command is {VERSION}: "
            "restart it with `mesh down` and `mesh up`"
        )


def _result(document: Any, status: int) -> Any:
    error = document.get("error")
    if error is not None:
        raise Answered(error, document.get("status", status))
    return document["data"]


def _read_lines(response: http.client.HTTPResponse, told: Callable[[Any], None] | None) -> Any:
    while line := response.readline(LINE_BYTES_MAX):
        document = json.loads(line)
        if "told" in document:
            if told is not None:
                told(document["told"])
        else:
            return _result(document, response.status)
    raise http.client.IncompleteRead(b"")
