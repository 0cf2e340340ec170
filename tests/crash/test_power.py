"""
Loss of power, down to the sync: what was acknowledged is there, whatever else is lost or torn.

Each process here runs under a trace; what an outage would have left at many places of it is then
laid out as a home and opened again.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mesh.core.errors import Conflict, MeshError
from mesh.node.repair import repair_home
from mesh.node.setup import init_mesh
from mesh.replica.recovery import decode_kept, encode_kept
from mesh.storage import Home, SqliteStore
from tests.crash.homes import signer_of, ticket_of
from tests.crash.power import Disk, Step, read_trace, traced
from tests.crash.rounds import CHANCES, ROOT, Kill, yard
from tests.worst.homes import pair, settle, up

COMMITS = """
import os, sys
from pathlib import Path
from mesh.core.records import PutMeta
from mesh.storage.sqlite import SqliteStore
store = SqliteStore(Path(sys.argv[1]) / "mesh.db")
store._writer.execute(f"PRAGMA synchronous = {sys.argv[2]}")
# Checkpoints, and a write-ahead log that begins anew, many times within a few commits.
store._writer.execute("PRAGMA wal_autocheckpoint = 12")
for number in range(60):
    value = b"%d" % number * 900
    store.commit([PutMeta(f"{number % 7}", value), PutMeta(f"last", b"%d" % number)])
    os.write(1, b"%d\\n" % number)
"""
FOUND = """
import os, sys
from pathlib import Path
from mesh.node.setup import init_mesh
init_mesh(Path(sys.argv[1]) / "home", "acme", 1_700_000_000_000)
os.write(1, b"made\\n")
"""
REPAIR = """
import os, sys
from pathlib import Path
from mesh.node.repair import repair_home
from mesh.node.setup import init_mesh
from mesh.storage import Home
done = repair_home(Home(Path(sys.argv[1])))
os.write(1, b"%d\\n" % done.entries)
"""


REKEY = """
import os, sys
from pathlib import Path
from mesh.node.clock import wall_ms
from mesh.node.rekey import rekey_home
from mesh.storage import Home
done = rekey_home(Home(Path(sys.argv[1])), sys.argv[2], wall_ms())
os.write(1, done.node_key.hex().encode())
"""


def run(folder: Path, out: Path, program: str, *arguments: str) -> tuple[Disk, list[Step]]:
    """Run a program on *folder*: the disk as it was before, and what was done to it."""
    disk = Disk.of(folder)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **traced(folder, out)}
    command = [sys.executable, "-c", program, str(folder), *arguments]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    return disk, read_trace(out)


def outages(
    disk: Disk, steps: list[Step], to: Path, *, every: int, seed: int = 5
) -> Iterator[tuple[bytes, Path]]:
    """What was said before, and what is left, of an outage after every so many records."""
    source = random.Random(seed)
    for number, step in enumerate(steps, start=1):
        disk.take(step)
        if number % every == 0 or number == len(steps):
            disk.lose_power(to, source.choice(CHANCES), source)
            yield bytes(disk.said), to
            shutil.rmtree(to)


def lost(tmp_path: Path, synchronous: str, *, every: int) -> int:
    """In how many outages something was gone that had been acknowledged."""
    folder = tmp_path / "store"
    folder.mkdir()
    disk, steps = run(folder, tmp_path / "trace", COMMITS, synchronous)
    assert sum(step.kind == "W" for step in steps) > 200
    count = 0
    for said, image in outages(disk, steps, tmp_path / "image", every=every):
        told = [int(line) for line in said.split()]
        try:
            with SqliteStore(image / "mesh.db") as store:
                last = int(store.meta("last") or b"-1")
                assert store.check() == []
                for number in range(max(0, last - 6), last + 1):
                    assert store.meta(f"{number % 7}") == b"%d" % number * 900
        except (MeshError, AssertionError):
            # Torn in the midst: looks like damage, and is none only where each commit is synced.
            assert synchronous != "FULL"
            last = -1
        # At most one was under way.
        assert last <= max(told, default=-1) + 1
        count += last < max(told, default=-1)
    return count


def test_commits_survive_an_outage_at_any_write(tmp_path: Path) -> None:
    assert lost(tmp_path, "FULL", every=6) == 0


@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
def test_without_a_sync_in_each_commit_they_do_not(tmp_path: Path, synchronous: str) -> None:
    assert lost(tmp_path, synchronous, every=12) > 10


def test_new_home_is_there_whole_or_can_be_made(tmp_path: Path) -> None:
    """Also the names: a file whose folder was not synced may have none."""
    folder = tmp_path / "folder"
    folder.mkdir()
    disk, steps = run(folder, tmp_path / "trace", FOUND)
    for said, image in outages(disk, steps, tmp_path / "image", every=2):
        home = image / "home"
        if b"made" in said:
            with SqliteStore(Home.open(home).database_path) as store:
                assert store.meta("mesh_id") == next(store.entries()).entry.id
            assert len(Home(home).seed()) == 32
        else:
            # May be repeated; if it had come through after all, it says so.
            with suppress(Conflict):
                init_mesh(home, "acme", 1_700_000_000_000)
            with SqliteStore(Home.open(home).database_path) as store:
                assert store.last_n() == 1


async def test_outage_in_a_repair_loses_nothing(tmp_path: Path) -> None:
    _, b = await pair(tmp_path)
    path = settle(b)
    with SqliteStore(path) as store:
        whole = {stored.entry.id for stored in store.entries()}
    data = bytearray(path.read_bytes())
    page = next(at for at in range(4096, len(data), 4096) if data[at] == 13)
    data[page + 3 : page + 5] = b"\xff\xff"
    path.write_bytes(data)
    disk, steps = run(b, tmp_path / "trace", REPAIR)
    told = int(json.loads([s.data for s in steps if s.kind == "M"][-1]))
    for said, image in outages(disk, steps, tmp_path / "image", every=20):
        done = repair_home(Home(image))
        with SqliteStore(Home(image).database_path) as store:
            held = {stored.entry.id for stored in store.entries()}
            assert store.check() == []
        assert held <= whole
        assert len(held) == told, "as much as without the outage"
        if said:
            assert done.aside is None, "it was over, and stays so"


async def test_outage_in_a_change_of_key_leaves_the_old_home_or_the_new_one(tmp_path: Path) -> None:
    a, b = await pair(tmp_path)
    async with up(a) as alpha:
        ticket = await ticket_of(alpha)
    old = signer_of(b).public
    with SqliteStore(Home(b).database_path) as store:
        own = [s.entry.id for s in store.entries() if s.entry.header.author == old]
    disk, steps = run(b, tmp_path / "trace", REKEY, ticket)
    new = bytes.fromhex([s.data for s in steps if s.kind == "M"][-1].decode())
    seen = set()
    for said, image in outages(disk, steps, tmp_path / "image", every=20):
        assert repair_home(Home(image)).reason in {"", "a change of key was interrupted"}
        key = signer_of(image).public
        seen.add(key)
        with SqliteStore(Home(image).database_path) as store:
            assert store.check() == []
            held = {stored.entry.id for stored in store.entries()}
            kept = {entry.id for entry in decode_kept(store.meta("stranded") or encode_kept(()))}
        assert key == new or not said, "it was answered"
        lost = set(own) - held - kept
        assert not lost
        assert bool(kept) is (key == new)
        assert list(image.glob("identity.key.old-*")) or key == old
    assert seen == {old, new}


@pytest.mark.parametrize("storms", ["founder", "member"])
async def test_storms_survive_outages(tmp_path: Path, storms: str) -> None:
    """Processes that are killed and lose power at once; their peer holds what they had sent."""
    async with yard(tmp_path, storms=storms) as made:
        for number, point in enumerate(["in_commit:20", ""]):
            await made.round(Kill(point, after_s=0.4, outages=5), seed=number)
        assert made.outages == 10
        assert made.acknowledged > 10 * made.rounds


async def test_disk_that_is_full_at_any_write(tmp_path: Path) -> None:
    """Wherever it begins, and for however long; then the power goes."""
    await _full(tmp_path, [(number, 1 + number % 40) for number in (3, 50, 151)])


@pytest.mark.slow
async def test_disk_that_is_full_at_each_write(tmp_path: Path) -> None:
    await _full(tmp_path, [(number, 1 + number % 40) for number in range(1, 240, 3)])


async def _full(tmp_path: Path, fulls: list[tuple[int, int]]) -> None:
    async with yard(tmp_path, storms="member") as made:
        await made.round(Kill(after_s=0.3), seed=0)
        for number, full in enumerate(fulls, start=1):
            await made.round(Kill(after_s=0.8, outages=3, full=full), seed=number)
        print(f"{made.refused} refusals, {made.acknowledged} acknowledged writes, none lost")
        assert made.refused > len(fulls) / 2
        assert made.acknowledged > 10 * made.rounds
