"""The `mesh` command as a person runs it: a process for each command, and its node's process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
#: A node that touches nothing but loopback, on a port that is free.
APART = ("--listen", "127.0.0.1:0", "--no-mdns")
RUN_S_MAX = 60


class Machine:
    """One home, and commands on it."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def run(
        self, *arguments: str, stdin: str = "", **more: str
    ) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MESH_")}
        environment |= {"PYTHONPATH": str(ROOT), "COLUMNS": "200", **more}
        return subprocess.run(
            [sys.executable, "-m", "cli", "--home", str(self.home), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            env=environment,
            timeout=RUN_S_MAX,
            check=False,
        )

    def ok(self, *arguments: str, stdin: str = "", **more: str) -> Any:
        """The data of a command that must do it."""
        run = self.run("--json", *arguments, stdin=stdin, **more)
        assert run.returncode == 0, run
        document = json.loads(run.stdout)
        assert document["schema_version"] == 1
        return document["data"]

    def fails(self, code: int, *arguments: str, stdin: str = "", **more: str) -> dict[str, Any]:
        """The error of a command that must fail so, said in one line with a remedy."""
        run = self.run("--json", *arguments, stdin=stdin, **more)
        assert run.returncode == code, run
        assert run.stderr.startswith("mesh: ") and run.stderr.count("\n") == 1, run.stderr
        error: dict[str, Any] = json.loads(run.stdout)["error"]
        assert set(error) == {"code", "message", "hint", "retryable"}
        assert error["message"] and error["hint"]
        return error

    @property
    def pid(self) -> int | None:
        """The process that holds, or last held, the home."""
        with contextlib.suppress(OSError, ValueError):
            return int((self.home / "node.lock").read_text())
        return None

    def end(self) -> None:
        """Whatever this machine's node does, it is gone afterwards."""
        if not (self.home / "run" / "node.sock").exists() or self.pid is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self.run("down").returncode == 0:
                return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def wait_for_sync(self, seconds: float = 20.0) -> dict[str, Any]:
        """The status once somebody is in sync."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            status: dict[str, Any] = self.ok("status")
            if any(peer["in_sync"] for peer in status["peers"]):
                return status
            time.sleep(0.1)
        raise AssertionError(f"not in sync after {seconds} s: {status['peers']}")
