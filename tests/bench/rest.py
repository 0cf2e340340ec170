"""
What a node at rest holds in memory: embedded in a program without a door, and `mesh up` with one.

Resident memory a second after the start, of a process that does nothing else. Expected: O(1).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import trio

from mesh.node.node import open_node
from tests.bench.commands import REPOSITORY
from tests.bench.joined import LOOPBACK, founded
from tests.bench.measure import Answer, Row, rss_bytes

REST_S = 1.0


async def _embedded(home: Path) -> None:
    async with open_node(home, listen=LOOPBACK, mdns=False):
        await trio.sleep(REST_S)
        print(rss_bytes(), flush=True)


def _mesh(home: Path, *arguments: str) -> None:
    env = {**os.environ, "MESH_HOME": str(home), "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "cli", *arguments]
    subprocess.run(command, env=env, cwd=REPOSITORY, stdout=subprocess.DEVNULL, check=True)


def answer() -> Answer:
    """MiB of each."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        home = founded(Path(folder) / "a")
        command = [sys.executable, "-m", "tests.bench.rest", str(home)]
        alone = int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
        _mesh(home, "up", "--listen", "127.0.0.1:0")
        try:
            time.sleep(REST_S)
            with_door = rss_bytes(int((home / "node.lock").read_text()))
        finally:
            _mesh(home, "down")
    what = "resident memory at rest"
    return Answer(
        (
            Row(what, "embedded, no door, no mDNS", "-", alone / 2**20, "MiB", "≤ 30"),
            Row(what, "mesh up: door and mDNS", "-", with_door / 2**20, "MiB", "≤ 45"),
        )
    )


if __name__ == "__main__":
    trio.run(_embedded, Path(sys.argv[1]))
