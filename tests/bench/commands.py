"""
What a command takes, from its start as a process to its end: bare, with a node, without one.

Bare is `mesh --help`; with a node a command asks its socket; without one it opens the replica, and
for that loads trio and the log. Python's own start is given beside it. Expected: O(1) in the mesh's
size with a node, O(log) without.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.measure import Answer, Row

RUNS = 10
REPOSITORY = Path(__file__).resolve().parents[2]


def _run(home: Path, arguments: Sequence[str]) -> float:
    env = {**os.environ, "MESH_HOME": str(home), "PYTHONPATH": str(REPOSITORY)}
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        env=env,
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - start


def _row(home: Path, what: str, arguments: Sequence[str], aim: str = "") -> Row:
    taken = min(_run(home, arguments) for _ in range(RUNS))
    return Row("a command, start to end", what, f"least of {RUNS}", taken * 1e3, "ms", aim)


def answer() -> Answer:
    """Milliseconds of the commands that are used most."""
    mesh = ("-m", "cli")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        home = Path(folder) / "home"
        rows = [_row(home, "python -c pass", ("-c", "pass"))]
        rows.append(_row(home, "mesh --help", (*mesh, "--help"), "< 100 ms"))
        _run(home, (*mesh, "init", "--name", "bench"))
        _run(home, (*mesh, "create", "first"))
        rows.append(_row(home, "mesh list, no node", (*mesh, "list")))
        _run(home, (*mesh, "up", "--listen", "127.0.0.1:0", "--no-mdns"))
        try:
            rows.append(_row(home, "mesh list, with a node", (*mesh, "list"), "< 100 ms"))
            rows.append(_row(home, "mesh status, with a node", (*mesh, "status"), "< 100 ms"))
            rows.append(
                _row(home, "mesh create, with a node", (*mesh, "create", "another"), "< 100 ms")
            )
        finally:
            _run(home, (*mesh, "down"))
    return Answer(tuple(rows))
