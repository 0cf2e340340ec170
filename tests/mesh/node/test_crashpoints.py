"""Crash points kill when they are asked to, and cost nothing when they are not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.node import crashpoints

ROOT = Path(__file__).resolve().parents[3]

WRITER = """
import sys, trio
from pathlib import Path
from mesh.core.inputs import Submit
from mesh.core.effects import Persist, Reply
from mesh.core.records import PutMeta
from mesh.node.driver import Driver
from mesh.storage import SqliteStore
from tests.mesh.node.helpers import FakeLinks

class Engine:
    deadline = None
    count = 0
    def start(self, now): return []
    def flush(self, now): return []
    def committed(self): pass
    def handle(self, item, now):
        self.count += 1
        return [Persist((PutMeta("count", b"%d" % self.count),)), Reply(item.request, self.count)]

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    driver = Driver(Engine(), load=None, store=store, links=FakeLinks(), emit=print, log=print)
    async with trio.open_nursery() as nursery:
        await nursery.start(driver.run)
        for _ in range(5):
            print(await driver.request(lambda n: Submit(n, ())), flush=True)
        nursery.cancel_scope.cancel()

trio.run(main)
"""


def run(tmp_path: Path, setting: str) -> tuple[int, list[int], int]:
    """Exit code, acknowledged writes, and what is on disk afterwards."""
    from mesh.storage import SqliteStore

    database = tmp_path / "mesh.db"
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(database)],
        env={**os.environ, crashpoints.VARIABLE: setting, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    with SqliteStore(database) as store:
        kept = int(store.meta("count") or b"0")
    return done.returncode, [int(line) for line in done.stdout.split()], kept


@pytest.mark.parametrize(
    ("setting", "acknowledged", "kept"),
    [
        ("before_commit:4", 2, 2),
        ("in_commit:3", 2, 2),
        ("after_commit:4", 2, 3),
        ("before_reply:3", 2, 3),
    ],
)
def test_what_was_acknowledged_is_there_and_what_was_not_committed_is_not(
    tmp_path: Path, setting: str, acknowledged: int, kept: int
) -> None:
    code, seen, found = run(tmp_path, setting)
    assert code == -signal.SIGKILL
    assert seen == list(range(1, acknowledged + 1))
    assert found == kept


def test_without_a_setting_nothing_is_armed(tmp_path: Path) -> None:
    assert run(tmp_path, "") == (0, [1, 2, 3, 4, 5], 5)
    assert not crashpoints.is_armed


@pytest.mark.parametrize("setting", ["nowhere", "after_commit:0", "after_commit:x"])
def test_a_setting_that_would_never_crash_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        crashpoints.parse(setting)
