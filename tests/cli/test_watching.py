"""`mesh status --watch`: again and again, also while the node is away."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import IO, Any

import pytest

from tests.cli.machine import APART, ROOT, Machine

PATIENCE_S = 30.0
WATCH = ("status", "--watch", "--interval", "0.1")


def start(machine: Machine, *arguments: str, **more: Any) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80", "LINES": "24"}
    command = [sys.executable, "-m", "cli", "--home", str(machine.home), *arguments]
    return subprocess.Popen(command, env=environment, text=True, **more)


def until(read: Callable[[], str], pattern: str) -> str:
    """What is read until *pattern* is in it."""
    seen, until_s = "", time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        seen += read()
        if re.search(pattern, seen):
            return seen
    raise AssertionError(f"no {pattern!r} in {seen!r}")


def test_json_is_a_document_a_line_and_goes_on_over_a_stop(running: Machine) -> None:
    with start(running, "--json", *WATCH, stdout=subprocess.PIPE) as watch:
        out: IO[str] = watch.stdout  # type: ignore[assignment]
        try:
            until(out.readline, '"running": true')
            running.ok("down")
            line = until(out.readline, '"error"').splitlines()[-1]
            error = json.loads(line)["error"]
            assert (error["code"], error["retryable"]) == ("unavailable", True)
            assert "mesh up" in error["hint"]
            running.ok("up", *APART)
            line = until(out.readline, '"running": true').splitlines()[-1]
            assert json.loads(line)["data"]["running"] is True
        finally:
            watch.send_signal(signal.SIGINT)
        assert watch.wait(PATIENCE_S) == 0


def test_without_a_terminal_each_look_is_a_block(running: Machine) -> None:
    with start(running, *WATCH, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watch:
        out: IO[str] = watch.stdout  # type: ignore[assignment]
        seen = until(out.readline, r"(?s)wrong  nothing.*wrong  nothing")
        watch.send_signal(signal.SIGINT)
        assert watch.wait(PATIENCE_S) == 0
        assert "\x1b" not in seen
        assert len(re.findall(r"^\d\d:\d\d:\d\d$", seen, re.MULTILINE)) == 2
        assert watch.stderr is not None and watch.stderr.read() == ""


def test_on_a_terminal_the_screen_is_written_over_and_ctrl_c_is_no_error(running: Machine) -> None:
    near, far = pty.openpty()

    def read() -> str:
        ready, _, _ = select.select([near], [], [], 0.1)
        return os.read(near, 65_536).decode() if ready else ""

    with start(running, *WATCH, stdin=far, stdout=far, stderr=far, start_new_session=True) as watch:
        try:
            seen = until(read, r"(?s)\x1b\[H.*\x1b\[J.*\x1b\[H.*\x1b\[J")
            frame = seen.split("\x1b[H")[1].split("\x1b[J")[0]
            assert len(frame.split("\n")) <= 24 and "Ctrl-C ends it" in frame
            running.ok("down")
            until(read, "the node is not running")
        finally:
            watch.send_signal(signal.SIGINT)
        assert watch.wait(PATIENCE_S) == 0
        assert "Traceback" not in until(read, "")
    os.close(near)
    os.close(far)


def test_an_interval_that_is_none_is_refused(running: Machine) -> None:
    running.fails(2, "status", "--watch", "--interval", "0")


@pytest.mark.parametrize("arguments", [("status", "--watch")])
def test_without_a_home_there_is_nothing_to_watch(
    machine: Callable[[str], Machine], arguments: tuple[str, ...]
) -> None:
    machine("nobody").fails(3, *arguments)
