"""kill -9 at random instants: what was acknowledged is there, and no batch is there in part."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from mesh.storage.sqlite import SqliteStore
from tests.mesh.storage.conformance import a_node, an_event

ROOT = Path(__file__).resolve().parents[3]
KILLS = 12


def acknowledged_before_kill(path: Path, delay_s: float) -> int | None:
    """Run the committer, kill it *delay_s* after its first batch may begin."""
    command = [sys.executable, "-m", "tests.mesh.storage.committer", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(delay_s)
        child.kill()
        *_, last = [b"", *child.stdout.read().split(b"\n")[:-1]]
    return int(last) if last else None


def test_acknowledged_commits_survive_kill_9_and_none_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "mesh.db"
    rnd = random.Random(48213)
    acknowledged = 0
    for _ in range(KILLS):
        told = acknowledged_before_kill(path, rnd.uniform(0.0, 0.05))
        acknowledged = max(acknowledged, told or 0)
        with SqliteStore(path) as store:
            last = store.last_n()
            # One more may be on disk: killed between the commit and its announcement.
            assert acknowledged <= last <= acknowledged + 1
            acknowledged = last
            assert [stored.n for stored in store.entries()] == list(range(1, last + 1))
            if last:
                assert store.meta("a") == b"%d" % last
                assert store.pending() == [(last, b"%d" % last)]
                assert store.events(last - 1, 10) == [an_event(last)]
                assert store.touching(a_node(last % 10))[-1] == last
            assert store.check() == []
    assert acknowledged > KILLS
