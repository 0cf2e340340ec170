"""A disk that is full, read-only, slow, or that forgets what was not synced."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from capability.ids import root_worknode
from mesh.core.errors import StorageError
from mesh.core.inputs import LOCAL
from mesh.core.writes import Append, SetRegister
from mesh.node.node import Node
from mesh.storage import Home, SqliteStore
from mesh.storage.wal import wal_of
from tests.cli.machine import APART, Machine
from tests.crash.homes import agree
from tests.worst.homes import copy_home, pair, tokens, until, up, write

ROOT = Path(__file__).resolve().parents[2]
DISK_BYTES = 3 * 1024 * 1024


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MiB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a file system of its own needs Linux and root")
    place = tmp_path / "disk"
    place.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "tmpfs", str(place))
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextmanager
def filled(disk: Path, *, leave: int = 0) -> Iterator[None]:
    """No byte is left on *disk*, or only so many."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
    os.truncate(ballast, max(0, ballast.stat().st_size - leave))
    try:
        yield
    finally:
        ballast.unlink()


async def _fill(node: Node) -> tuple[int, StorageError]:
    """Write until the disk refuses: how many were acknowledged, and the error."""
    for number in range(40):
        # The log may have room from before; each of these takes eight pages of it.
        root = root_worknode(node.mesh_id)
        try:
            await node.submit([Append(root, 0, "notes", f"big{number:02}" + "x" * 30_000)])
        except StorageError as error:
            return number, error
    raise AssertionError("the disk took more than it has")


@pytest.mark.parametrize("leave", [0, 4096, 20_000, 60_000])
async def test_full_disk_refuses_writes_loses_nothing_and_goes_on(
    tmp_path: Path, disk: Path, leave: int
) -> None:
    a, b = await pair(tmp_path)
    home = disk / "b"
    copy_home(b, home)
    async with up(a) as alpha:
        async with up(home, alpha) as beta:
            root = root_worknode(beta.mesh_id)
            await beta.submit([SetRegister(root, 1, "row", "kept")], level=LOCAL)
            with filled(disk, leave=leave):
                count, error = await _fill(beta)
                assert "full" in error.message or "disk" in error.message
                assert str(home) in f"{error.message} {error.hint}" and "space" in error.hint
                await until(lambda: beta.status()["writing"] != "ok", "the node says so")
                assert {f"b{n}" for n in range(3)} <= set(tokens(beta)), "reads go on"
            await until(lambda: beta.status()["writing"] == "ok", "it goes on by itself")
            await write(beta, "after")
            await beta.seal()
            await agree(alpha, beta)
            big = [token[:5] for token in tokens(alpha) if token.startswith("big")]
            assert big == [f"big{number:02}" for number in range(count)]
            assert tokens(alpha).count("after") == 1
            assert alpha.replica.forked() == []
        async with up(home) as beta:
            assert tokens(beta).count("after") == 1


def test_commands_on_a_full_disk_say_what_to_do(tmp_path: Path, disk: Path) -> None:
    machine = Machine(disk / "a")
    machine.ok("init", "--name", "acme")
    machine.ok("create", "first")
    with filled(disk):
        error = machine.fails(1, "create", "second")
        assert "space" in error["hint"] and str(disk) in error["message"]
    machine.ok("create", "third")
    titles = [row["title"] for row in machine.ok("list")]
    assert sorted(titles) == ["first", "third"]


def test_read_only_home_is_named(tmp_path: Path, disk: Path) -> None:
    machine = Machine(disk / "a")
    machine.ok("init", "--name", "acme")
    machine.ok("create", "first")
    _mount("-o", "remount,ro", str(disk))
    for words in (["create", "x"], ["list"], ["up", *APART], ["doctor", "--repair"]):
        error = machine.fails(1, *words)
        assert "Read-only file system" in error["message"]
        assert f"see that you may write in {disk / 'a'}" in error["hint"]
    run = machine.run("doctor")
    assert run.returncode == 1
    assert "Read-only file system" in run.stdout
    _mount("-o", "remount,rw", str(disk))
    assert [row["title"] for row in machine.ok("list")] == ["first"]


#: A commit is so slow that the event loop comes round so often meanwhile, unless it is held up.
SLOW_TURNS = 20
HELD_UP_S = 30


async def test_slow_fsync_does_not_stall_heart_beats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await pair(tmp_path)
    commit = SqliteStore.commit
    turns, held_up = 0, 0

    def slow(store: SqliteStore, records: object) -> None:
        nonlocal held_up
        before, until_s = turns, time.monotonic() + HELD_UP_S
        while turns < before + SLOW_TURNS and not held_up:
            held_up += time.monotonic() > until_s
            time.sleep(0.005)
        commit(store, records)  # type: ignore[arg-type]

    async with up(a) as alpha, up(b, alpha) as beta:
        await agree(alpha, beta)
        await until(lambda: bool(alpha._parts.links.open), "linked")
        monkeypatch.setattr(SqliteStore, "commit", slow)
        links = set(alpha._parts.links.open), set(beta._parts.links.open)
        assert links[0] and links[1]

        async def turn() -> None:
            nonlocal turns
            while True:
                await trio.sleep(0.01)
                turns += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(turn)
            with trio.move_on_after(6):
                number = 0
                while True:
                    await write(beta, f"slow {number}")
                    number += 1
            assert (set(alpha._parts.links.open), set(beta._parts.links.open)) == links
            rows: list[dict[str, Any]] = []
            for node in (alpha, beta):
                rows += node.status()["peers"]  # type: ignore[arg-type]
            assert all(row["state"] == "connected" for row in rows)
            monkeypatch.undo()
            await agree(alpha, beta)
            nursery.cancel_scope.cancel()
        assert turns and not held_up, "a commit held up the event loop"
        assert alpha.replica.forked() == []


CHILD = """
import json, os, shutil, sys
from pathlib import Path
import trio
from mesh.storage.sqlite import SqliteStore
from mesh.storage.wal import wal_of
from tests.worst.homes import up, write

home, sizes = Path(sys.argv[1]), Path(sys.argv[2])
commit = SqliteStore.commit

def noted(store, records):
    commit(store, records)
    # What the disk has surely got when the commit is acknowledged.
    wal = wal_of(store.path)
    shutil.copyfile(store.path, sizes / "mesh.db.next")
    shutil.copyfile(wal, sizes / "wal.next")
    os.replace(sizes / "mesh.db.next", sizes / "mesh.db")
    os.replace(sizes / "wal.next", sizes / "mesh.db-wal")

SqliteStore.commit = noted

async def main():
    async with up(home) as node:
        number = 0
        while True:
            os.write(1, (json.dumps(["try", number]) + "\\n").encode())
            await write(node, f"t{number:04}")
            os.write(1, (json.dumps(["ack", number]) + "\\n").encode())
            number += 1

trio.run(main)
"""


@pytest.mark.parametrize("junk", [b"", b"\0" * 5_000, os.urandom(9_000)])
async def test_power_loss_keeps_what_was_acknowledged(tmp_path: Path, junk: bytes) -> None:
    """All bytes after the last acknowledged sync are gone, or are anything."""
    a, b = await pair(tmp_path)
    kept = tmp_path / "kept"
    kept.mkdir()
    child = await trio.lowlevel.open_process(
        [sys.executable, "-c", CHILD, str(b), str(kept)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
    said = b""
    assert child.stdout is not None
    with trio.fail_after(30):
        async for part in child.stdout:
            said += part
            if said.count(b'"ack"') >= 15 and child.returncode is None:
                child.kill()
        await child.wait()
    assert child.returncode == -signal.SIGKILL
    acknowledged = [int(line.split()[1][:-1]) for line in said.splitlines() if b'"ack"' in line]
    path = Home(b).database_path
    for name in (path, wal_of(path)):
        shutil.copyfile(kept / name.name, name)
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    with wal_of(path).open("ab") as file:
        file.write(junk)
    async with up(a) as alpha, up(b, alpha) as beta:
        await agree(alpha, beta)
        held = tokens(beta)
        for number in acknowledged:
            assert held.count(f"t{number:04}") == 1
        assert set(held) <= {f"{n}{i}" for n in "ab" for i in range(3)} | {
            f"t{number:04}" for number in range(len(acknowledged) + 1)
        }
        await write(beta, "and on")
        await agree(alpha, beta)
        assert alpha.replica.forked() == beta.replica.forked() == []
        assert beta.replica.writer.blocked == ""
