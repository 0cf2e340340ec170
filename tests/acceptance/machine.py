"""
One machine: a home, and the `mesh` command run on it as a person runs it.

Many operations in a row go to the node's socket over one connection, which is what each command
does with a connection of its own; a process for each would take half a second.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from attrs import define, field, frozen

from mesh.api.version import JSON_TYPE, OPERATIONS_PATH, VERSION, VERSION_HEADER
from mesh.storage import Home

REPOSITORY: Final = Path(__file__).resolve().parents[2]
COMMAND_S_MAX: Final = 90.0
CALL_S_MAX: Final = 40.0
STOP_S_MAX: Final = 5.0
#: A connection that was idle for longer is not used again: the node closes it after five seconds.
IDLE_S_MAX: Final = 2.0


@frozen
class Outcome:
    """How one command ended. `document` is None where standard output held no JSON."""

    code: int
    document: Any
    out: str
    err: str

    @property
    def data(self) -> Any:
        assert self.code == 0 and self.document is not None, self
        assert "error" not in self.document, self
        return self.document["data"]

    @property
    def error(self) -> dict[str, Any]:
        """Its error, which must be one clear line with a remedy."""
        assert self.code != 0, self
        found: dict[str, Any] = self.document["error"]
        assert set(found) == {"code", "message", "hint", "retryable"}, found
        assert found["message"] and found["hint"], found
        assert self.err.startswith("mesh: ") and self.err.count("\n") == 1, self.err
        assert "Traceback" not in self.err
        return found


class CallFailed(Exception):
    """The node answered with an error."""

    def __init__(self, status: int, error: Mapping[str, Any]) -> None:
        super().__init__(f"{status}: {dict(error)}")
        self.status = status
        self.error = error


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("mesh", timeout=CALL_S_MAX)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


@define(eq=False)
class Caller:
    """Operations on a running node, one after the other; each thread has its own."""

    _home: Home
    _connection: _Connection | None = None
    _used_s: float = 0.0

    def __call__(self, name: str, **arguments: Any) -> Any:
        if time.monotonic() - self._used_s > IDLE_S_MAX:
            self.close()
        if self._connection is None:
            path = self._home.find_socket()
            assert path is not None, f"{self._home} does not run"
            self._connection = _Connection(path)
        headers = {"Content-Type": JSON_TYPE, "Accept": JSON_TYPE, VERSION_HEADER: VERSION}
        try:
            self._connection.request("POST", OPERATIONS_PATH + name, json.dumps(arguments), headers)
            with self._connection.getresponse() as response:
                document = json.loads(response.read())
        except BaseException:
            self.close()
            raise
        self._used_s = time.monotonic()
        if "error" in document:
            raise CallFailed(response.status, document["error"])
        return document["data"]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@define(eq=False)
class Machine:
    """A home and where its commands run; *prefix* puts them into a network namespace."""

    name: str
    path: Path
    prefix: Sequence[str] = ()
    env: dict[str, str] = field(factory=dict)
    _call: Caller = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._call = Caller(Home(self.path))

    def __repr__(self) -> str:
        return self.name

    # -- the command ----------------------------------------------------------------------------

    def attempt(self, *arguments: str, **more: str) -> Outcome:
        """Run `mesh --json ARGUMENTS`, whatever comes of it; *more* is environment."""
        done = self._run("--json", *arguments, **more)
        try:
            document = json.loads(done.stdout)
        except ValueError:
            document = None
        return Outcome(done.returncode, document, done.stdout, done.stderr)

    def mesh(self, *arguments: str, **more: str) -> Any:
        """The data of a command that must succeed."""
        return self.attempt(*arguments, **more).data

    def text(self, *arguments: str) -> str:
        """What people see of a command that must succeed."""
        done = self._run(*arguments)
        assert done.returncode == 0, done
        return done.stdout

    def _run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.prefix, sys.executable, "-m", "cli", *arguments],
            cwd=REPOSITORY,
            env=self._environment(more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S_MAX,
            check=False,
        )

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        return {
            **kept,
            "HOME": str(self.path.parent),
            "MESH_HOME": str(self.path),
            "PYTHONPATH": str(REPOSITORY),
            "MESH_DEBUG": "1",
            **self.env,
            **more,
        }

    # -- the running node -----------------------------------------------------------------------

    def call(self, name: str, **arguments: Any) -> Any:
        """One operation of the running node."""
        return self._call(name, **arguments)

    def caller(self) -> Caller:
        """For another thread."""
        return Caller(Home(self.path))

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.call("status")
        return found

    def down(self) -> None:
        self._call.close()
        self.mesh("down")

    @property
    def process(self) -> int | None:
        """The number of the process that holds the home, None if none does."""
        home = Home(self.path)
        if not home.lock_path.exists():
            return None
        try:
            number = int(home.lock_path.read_text())
        except ValueError:
            return None
        return number if _runs_on(number, self.path) else None

    def kill(self) -> None:
        """End the node's process without asking it."""
        self._call.close()
        number = self.process
        if number is not None:
            _end(number)


def _runs_on(number: int, path: Path) -> bool:
    """Whether the process is a node of ours: its arguments name the home."""
    try:
        arguments = Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return False
    return b"cli.noded" in arguments and os.fsencode(path) in arguments


def _end(number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(number, signal.SIGKILL)
    until_s = time.monotonic() + STOP_S_MAX
    while time.monotonic() < until_s:
        try:
            os.kill(number, 0)
            state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return
        if state == "Z":
            # Dead; whoever adopted it will reap it.
            return
        time.sleep(0.01)


# -- waiting ------------------------------------------------------------------------------------


def wait_until(
    what: str, is_so: Any, *, within_s: float, poll_s: float = 0.05, on_failure: Any = None
) -> float:
    """Seconds until *is_so()*; an assertion fails if that takes longer than *within_s*."""
    began_s = time.monotonic()
    while True:
        if is_so():
            return time.monotonic() - began_s
        if time.monotonic() - began_s > within_s:
            told = "" if on_failure is None else f": {on_failure()}"
            raise AssertionError(f"{what}: not within {within_s:g} s{told}")
        time.sleep(poll_s)


def are_equal(machines: Sequence[Machine]) -> bool:
    """Whether all hold the same state."""
    return len({machine.status()["state_hash"] for machine in machines}) == 1


def brief(machines: Sequence[Machine]) -> str:
    """Where each stands, for the words of a failure."""
    rows = []
    for machine in machines:
        status = machine.status()
        peers = [
            (peer["name"], peer["state"], peer["in_sync"], peer.get("last_error"))
            for peer in status["peers"]
        ]
        keys = ("worknodes", "entries", "deferred", "parked", "refused", "goodbyes", "dials")
        rows.append({"at": machine.name, "peers": peers, **{key: status.get(key) for key in keys}})
    return "\n".join(["", *map(str, rows)])


def wait_equal(machines: Sequence[Machine], *, within_s: float) -> float:
    """Seconds until all hold the same state."""
    return wait_until(
        f"{machines} equal",
        lambda: are_equal(machines),
        within_s=within_s,
        on_failure=lambda: brief(machines),
    )
