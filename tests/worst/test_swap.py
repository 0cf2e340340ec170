"""A change of key that the disk refuses at any of its writes, or a person cuts off."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mesh.core.errors import StorageError
from mesh.node.clock import wall_ms
from mesh.node.rekey import rekey_home
from mesh.node.repair import repair_home
from mesh.node.swap import PART, keep_aside, new_database, new_key
from mesh.replica.recovery import decode_kept, encode_kept
from mesh.storage import Home, SqliteStore
from mesh.storage.schema import repair_mark
from tests.crash.homes import signer_of, ticket_of
from tests.crash.power import read_trace, traced
from tests.crash.rounds import ROOT
from tests.crash.test_power import REKEY
from tests.worst.homes import copy_home, pair, settle, up


def change(home: Path, trace: Path, ticket: str, full: tuple[int, int]) -> bool:
    """Change the key in a process whose disk is full at some writes; whether it said it did."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **traced(home, trace, full=full)}
    command = [sys.executable, "-c", REKEY, str(home), ticket]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    assert done.returncode == 0 or b"mesh.core.errors.StorageError: " in done.stderr
    return done.returncode == 0


def held_or_kept(home: Path) -> set[bytes]:
    with SqliteStore(Home(home).database_path) as store:
        held = {stored.entry.id for stored in store.entries()}
        return held | {e.id for e in decode_kept(store.meta("stranded") or encode_kept(()))}


async def test_full_disk_in_a_change_of_key_leaves_a_home_that_goes_on(tmp_path: Path) -> None:
    """While the old home is read, and at the last writes, which decide."""
    await _full_in_a_change(tmp_path, lambda writes: {writes // 8, writes - 1, writes})


@pytest.mark.slow
async def test_full_disk_at_each_write_of_a_change_of_key(tmp_path: Path) -> None:
    await _full_in_a_change(tmp_path, lambda writes: set(range(1, writes + 1)))


async def _full_in_a_change(tmp_path: Path, places: Callable[[int], set[int]]) -> None:
    a, b = await pair(tmp_path)
    async with up(a) as alpha:
        ticket = await ticket_of(alpha)
    settle(b)
    own, home = held_or_kept(b), tmp_path / "home"
    old, names = signer_of(b).public, {path.name for path in b.iterdir()}
    copy_home(b, home)
    assert change(home, tmp_path / "trace", ticket, (0, 0))
    writes = sum(step.kind == "W" for step in read_trace(tmp_path / "trace"))
    for first in sorted(places(writes)):
        copy_home(b, home)
        (tmp_path / "trace").unlink()
        is_changed = change(home, tmp_path / "trace", ticket, (first, writes))
        if not is_changed and not repair_mark(Home(home).database_path).exists():
            left = {path.name for path in home.iterdir()} - names
            assert not [
                name for name in left if not name.startswith(("identity.key.old-", "mesh.db.old-"))
            ]
            for copy in home.glob("mesh.db.old-*"):
                assert copy.read_bytes() == (b / "mesh.db").read_bytes(), "half a copy"
        repair_home(Home(home))
        is_new = signer_of(home).public != old
        assert is_new or not is_changed
        assert own <= held_or_kept(home)
        if not is_new:
            # The same command again, when there is space.
            rekey_home(Home(home), ticket, wall_ms())
            assert own <= held_or_kept(home)


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


async def test_interrupt_before_the_mark_leaves_the_old_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await pair(tmp_path)
    async with up(a) as alpha:
        ticket = await ticket_of(alpha)
    settle(b)
    old = signer_of(b).public
    for place in ("os.fsync", "shutil.copyfileobj", "os.link"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(f"mesh.node.swap.{place}", interrupt)
            rekey_home(Home(b), ticket, wall_ms())
        left = (new_database(Home(b)), new_key(Home(b)), b / PART)
        assert not any(path.exists() for path in left)
        assert repair_home(Home(b)).reason == "" and signer_of(b).public == old
    rekey_home(Home(b), ticket, wall_ms())
    assert signer_of(b).public != old
    # Two names for the old key would be one too many.
    assert len(list(b.glob("identity.key.old-*"))) == 1


@pytest.mark.parametrize("text", [b"", b"\0" * 40, b"../elsewhere/mesh.db.old-1 key", b"\xff"])
async def test_damaged_mark_is_named_with_the_remedy(tmp_path: Path, text: bytes) -> None:
    _, b = await pair(tmp_path)
    home = Home(b)
    aside = keep_aside(home)
    mark = repair_mark(home.database_path)
    mark.write_bytes(text)
    with pytest.raises(StorageError, match="does not name the old database") as caught:
        repair_home(home)
    assert "mesh.db.damaged-" in caught.value.hint
    mark.write_text(aside.name)
    assert repair_home(home).reason == "a repair was interrupted"
    assert not mark.exists()
