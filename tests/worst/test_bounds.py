"""A peer that stops reading, a flood of entries before a gap, and a home with a long name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from capability.entry import LANE_DATA
from capability.ids import root_worknode
from capability.keys import SeedSigner
from mesh.core.limits import DEFERRED_BYTES_MAX, DEFERRED_ENTRIES_MAX, OUTBOX_BYTES_MAX
from mesh.core.writes import SetRegister
from mesh.node.node import Node
from mesh.storage import Home
from mesh.transport.tcp import text_of
from tests.cli.machine import APART, Machine
from tests.crash.homes import agree
from tests.mesh.replica.hand import Hand, put
from tests.mesh.replica.world import admit, new_mesh, node_of, seed
from tests.worst.homes import pair, tokens, until, up, write

FLOOD = 100_000
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_hundred_thousand_deferred_entries_stay_within_their_room() -> None:
    _flood(FLOOD)


def test_more_deferred_entries_than_there_is_room_for() -> None:
    _flood(DEFERRED_ENTRIES_MAX + 2_000)


def _flood(count: int) -> None:
    mesh, bob = new_mesh(), SeedSigner(seed("bob"))
    grant = admit(mesh, bob.public)
    node = node_of(mesh, mesh.root, [grant])
    hand = Hand(bob, mesh, grant.id)
    root = node.replica.store.root
    log = [hand.data(put(root, "f", number)).encode() for number in range(count)]
    room = node.replica.admission.deferred
    tracemalloc.start()
    for first in range(1, count, 256):
        node.receive(log[first : first + 256])
        assert len(room) <= DEFERRED_ENTRIES_MAX and room.size <= DEFERRED_BYTES_MAX
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Two small objects and three places in tables for each; what is evicted leaves nothing.
    assert used < DEFERRED_ENTRIES_MAX * 6_000
    assert room.evicted == count - 1 - DEFERRED_ENTRIES_MAX
    assert node.replica.port.row(bob.public, LANE_DATA).seq == 0
    # Repair asks from the head on; what still waited is not asked for twice.
    asked = 0
    while (seq := node.replica.port.row(bob.public, LANE_DATA).seq) < count:
        node.receive(log[seq : seq + 256])
        asked += 256
        assert asked <= count + 256
    assert len(room) == 0 and room.size == 0
    assert node.replica.forked() == []


@asynccontextmanager
async def frozen(home: Path, node: Node) -> AsyncIterator[None]:
    """A member in a process of its own that is linked and writes, and is then stopped."""
    (address,) = node.listen_addresses
    before = node.replica.counts()["worknodes"]
    child = await trio.lowlevel.open_process(
        [sys.executable, "-m", "tests.crash.storm", str(home), "1", "1", text_of(address)],
        stdout=subprocess.DEVNULL,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        await until(lambda: node.replica.counts()["worknodes"] > before + 5, "it writes")
        child.send_signal(signal.SIGSTOP)
        yield
    finally:
        child.kill()
        with trio.CancelScope(shield=True):
            await child.wait()


async def test_peer_that_stops_reading_holds_up_nobody(tmp_path: Path) -> None:
    """A stopped process: its kernel takes what fits, then nothing."""
    a, b, c = await pair(tmp_path, "b", "c")
    async with up(a) as alpha, up(c, alpha) as gamma:
        async with frozen(b, alpha):
            await agree(alpha, gamma)
            root, value = root_worknode(alpha.mesh_id), "x" * 60_000
            worst_s = 0.0
            # Twice what may wait for one peer, and more than its kernel takes.
            for number in range(2 * OUTBOX_BYTES_MAX // len(value)):
                before = trio.current_time()
                await alpha.submit([SetRegister(root, 1, f"f{number}", value)])
                worst_s = max(worst_s, trio.current_time() - before)
                assert all(
                    link.outbox_bytes <= OUTBOX_BYTES_MAX
                    for link in alpha._parts.links.open.values()
                )
            assert worst_s < 3
            await write(alpha, "past the flood")
            await agree(alpha, gamma)
            assert tokens(gamma).count("past the flood") == 1
            await until(lambda: _is_away(alpha, b.name), "it is not shown as connected")
        lines = Home(a).log_path.read_text()
        assert "silent for" in lines or "takes nothing" in lines, "the reason is named"
        async with up(b, alpha) as beta:
            await agree(alpha, beta, gamma)
            assert tokens(beta).count("past the flood") == 1
            assert alpha.replica.forked() == []


def _is_away(node: Node, name: str) -> bool:
    rows = node.status()["peers"]
    assert isinstance(rows, list)
    return [row["state"] for row in rows if row["name"] == name] != ["connected"]


@pytest.mark.parametrize("length", [90, 180])
def test_home_whose_socket_path_is_too_long(tmp_path: Path, length: int) -> None:
    """It works all the same: the socket stands elsewhere, and commands find it."""
    folder = tmp_path / ("long-" * 40)[:length]
    machine = Machine(folder)
    machine.ok("init", "--name", "acme")
    assert len(bytes(folder / "run" / "node.sock")) > 103
    try:
        machine.ok("up", *APART)
        assert not (folder / "run" / "node.sock").exists()
        machine.ok("create", "by the running node")
        assert machine.ok("status")["running"]
        found = machine.run("doctor")
        assert "socket" in found.stdout and "BAD  socket" not in found.stdout
        assert [row["title"] for row in machine.ok("list")] == ["by the running node"]
    finally:
        machine.run("down")
    assert [row["title"] for row in machine.ok("list")] == ["by the running node"]
