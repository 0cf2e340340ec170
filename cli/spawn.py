"""Starting the node's process, and learning in one line whether it runs."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from cli import client
from cli.client import Answered
from cli.door import BUSY_S_MAX
from cli.noded import Options
from mesh.core.errors import LocalError, MeshError, Unknown
from mesh.storage.errors import HomeInUse
from mesh.storage.home import Home

#: Loading a log of a hundred thousand entries takes seconds on a slow disk.
START_S_MAX: Final = 60.0
STOP_S_MAX: Final = 15.0
_POLL_S: Final = 0.02
_SITE_FOLDERS: Final = ("site-packages", "dist-packages")


def start(options: Options) -> dict[str, Any]:
    """
    Start a node as `_start` does, after a command that has the home for a moment.

    Raises:
        HomeInUse: A node runs on the home, or whoever has it does not give it back.
    """
    home = Home(Path(options.home))
    until_s = time.monotonic() + BUSY_S_MAX
    while True:
        try:
            # Asked for here as well, since this answer comes at once.
            home.lock().release()
            return _start(options)
        except MeshError as error:
            is_over = time.monotonic() >= until_s or client.is_served(home.find_socket())
            if error.code != HomeInUse.code or is_over:
                raise
        time.sleep(_POLL_S)


def _start(options: Options) -> dict[str, Any]:
    """
    Start a node in the background and wait until it can be spoken to.

    Returns:
        Its `node_id`, `listen` and `pid`.

    Raises:
        MeshError: Why it did not start.
        Unknown: It has not said anything in time.
    """
    read_end, write_end = os.pipe()
    try:
        # Arguments, no shell; a session of its own, so that the terminal's end is not its end.
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, a fixed list
            [sys.executable, "-P", "-m", "cli.noded", options.encode(), str(write_end)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(write_end,),
            env=_environment(),
        )
    finally:
        os.close(write_end)
    try:
        line = _read_line(read_end)
    finally:
        os.close(read_end)
    log = Home(Path(options.home)).log_path
    if not line:
        if line is None:
            raise Unknown(
                f"the node (process {process.pid}) has not said within {START_S_MAX:g} s that it "
                "is ready",
                hint=f"see `mesh status` and {log}",
            )
        # It has closed its end, by ending.
        raise LocalError(f"the node ended at its start ({_ended(process)})", hint=f"see {log}")
    told = json.loads(line)
    if "error" in told:
        _ended(process)
        error = Answered(told["error"], 500)
        error.exit_code = told["exit_code"]
        raise error
    data: dict[str, Any] = told["data"]
    return data


def _ended(process: subprocess.Popen[bytes]) -> str:
    """How a process that is ending has ended; the system may take a moment to say so."""
    try:
        return f"exit {process.wait(STOP_S_MAX)}"
    except subprocess.TimeoutExpired:
        return f"process {process.pid} is still ending"


def _environment() -> dict[str, str]:
    """With -P the folder one happens to be in is not searched, so this one must be named."""
    folder = Path(__file__).resolve().parent.parent
    environment = dict(os.environ)
    if folder.name not in _SITE_FOLDERS:
        before = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{folder}{os.pathsep}{before}" if before else str(folder)
    return environment


def _read_line(descriptor: int) -> bytes | None:
    """One line, within the time for a start; None after that, empty if there will be none."""
    data, until_s = b"", time.monotonic() + START_S_MAX
    while not data.endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], max(0.0, until_s - time.monotonic()))
        if not ready:
            return None
        chunk = os.read(descriptor, 65_536)
        if not chunk:
            return b""
        data += chunk
    return data


def wait_until_stopped(home: Home) -> bool:
    """Wait until nobody holds the home's lock; False if somebody still does."""
    until_s = time.monotonic() + STOP_S_MAX
    while True:
        try:
            home.lock().release()
        except HomeInUse:
            if time.monotonic() >= until_s:
                return False
            time.sleep(_POLL_S)
        else:
            return True
