"""
Rounds of: storm, kill, look at the disk, start again, agree with the peer.

One node storms in a process of its own and is killed; its peer runs here and writes, too. A home
is killed many times, and every promise of every round is looked at after each. A round may also
take the power away: then what was not synced is lost or torn (`tests.crash.power`), at the kill
and, to look only, at places of the storm before it.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import trio
from attrs import define, field, frozen

from capability.entry import LANE_AUTHORITY, LANE_DATA, Entry
from capability.ids import root_worknode
from crdt.codec import decode
from mesh.core.inputs import Now
from mesh.core.writes import Append, Create
from mesh.node import crashpoints
from mesh.node.clock import wall_ms
from mesh.node.node import Node, open_node
from mesh.replica.replica import Replica
from mesh.storage import Home, SqliteStore
from mesh.transport.tcp import text_of
from tests.crash.homes import AGREE_S_MAX, LOOPBACK, agree, found, invite, is_member, signer_of
from tests.crash.model import Story, broken_promises
from tests.crash.power import Disk, Step, read_trace, traced

ROOT = Path(__file__).resolve().parents[2]
#: A crash point that is not reached by then is a mistake of the test.
STORM_S_MAX = 60.0
LANES = (LANE_AUTHORITY, LANE_DATA)


@frozen
class Kill:
    """
    How one round ends: at a crash point, or so long after the interpreter is up.

    Attributes:
        outages: Losses of power that are worked out besides; none: the process alone dies.
        full: From which write on the disk is full, and for how many writes.
    """

    point: str = ""
    after_s: float = 0.0
    outages: int = 0
    full: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        return self.point or f"{self.after_s:.3f} s"


#: How likely it is that a sector or a name that was not synced is there after all.
CHANCES = (0.0, 0.5, 0.9, 1.0)


class WithoutSnapshot:
    """A store whose log is all that there is."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def snapshot(self) -> None:
        return None


@define
class Yard:
    """A home that is killed again and again, and its peer."""

    home: Path
    peer: Node
    rounds: int = 0
    acknowledged: int = 0
    outages: int = 0
    refused: int = 0
    story: list[Story] = field(factory=list)
    #: Ids by local number, as of the last look.
    log: list[bytes] = field(factory=list)

    async def round(self, kill: Kill, *, seed: int) -> None:
        """One round; AssertionError says what was not kept."""
        self.rounds += 1
        trace = self.home.with_name(f"{self.home.name}.trace")
        before = Disk.of(self.home)
        story = Story.read(await self._storm(kill, seed, trace))
        for _, text in story.errors:
            assert kill.full[0] and text.startswith(("StorageError: ", "Unknown: ")), text
        self.refused += len(story.errors)
        if kill.outages:
            self._lose_power(before, read_trace(trace), kill.outages, random.Random(seed))
            trace.unlink()
        self.story.append(story)
        self.acknowledged += len(story.acknowledged) + len(story.grants)
        await self._peer_is_alone()
        self._look_at_disk(story)
        self._look_at_peer()
        await self._start_again()

    # -- the storm ------------------------------------------------------------------------------

    async def _storm(self, kill: Kill, seed: int, trace: Path) -> bytes:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        if kill.outages:
            environment |= traced(self.home, trace, full=kill.full)
        environment.pop(crashpoints.VARIABLE, None)
        if kill.point:
            environment[crashpoints.VARIABLE] = kill.point
        (address,) = self.peer.listen_addresses
        arguments = [str(self.home), str(self.rounds), str(seed), text_of(address)]
        child = await trio.lowlevel.open_process(
            [sys.executable, "-m", "tests.crash.storm", *arguments],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=environment,
        )
        said = bytearray()
        begun = trio.Event()

        async def listen() -> None:
            assert child.stdout is not None
            async for part in child.stdout:
                said.extend(part)
                begun.set()

        with trio.move_on_after(STORM_S_MAX) as patience:
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(listen)
                    if not kill.point:
                        await begun.wait()
                        await trio.sleep(kill.after_s)
                        child.kill()
                    with_peer = trio.CancelScope()
                    nursery.start_soon(self._write_at_peer, with_peer)
                    await child.wait()
                    with_peer.cancel()
            finally:
                if child.returncode is None:
                    child.kill()
        assert not patience.cancelled_caught, f"not reached within {STORM_S_MAX} s: {kill}"
        # Without space for the write-ahead log's index a node does not start, and says so.
        ended = [-signal.SIGKILL, 1] if kill.full[0] else [-signal.SIGKILL]
        assert child.returncode in ended, f"{kill}: ended by itself: {child.returncode}"
        return bytes(said)

    async def _write_at_peer(self, scope: trio.CancelScope) -> None:
        root = root_worknode(self.peer.mesh_id)
        with scope:
            made = await self.peer.submit([Create(root, "task", nonce=os.urandom(16))])
            assert made is not None
            number = 0
            while True:
                number += 1
                token = f"peer.{self.rounds}.{number}"
                await self.peer.submit([Append(root, 0, "peer", token)])
                await trio.sleep(0.01)

    async def _peer_is_alone(self) -> None:
        """What the dead process sent has arrived, all of it."""
        with trio.fail_after(10):
            while self._peer_is_busy():  # noqa: ASYNC110
                await trio.sleep(0.005)
            # A round through the engine, behind everything that waited.
            await self.peer.sync_now()

    def _peer_is_busy(self) -> bool:
        status = self.peer.status()
        return bool(status["links"] or status["inputs_waiting"])

    # -- the power ------------------------------------------------------------------------------

    def _lose_power(
        self, disk: Disk, steps: list[Step], outages: int, source: random.Random
    ) -> None:
        """Look at what earlier outages would have left; then the home is what the last one left."""
        places = sorted(source.choices(range(len(steps)), k=outages - 1))
        at = 0
        for place in [*places, len(steps)]:
            while at < place:
                disk.take(steps[at])
                at += 1
            image = self.home.with_name(f"{self.home.name}.image")
            disk.lose_power(image, source.choice(CHANCES), source)
            self.outages += 1
            if at == len(steps):
                shutil.rmtree(self.home)
                image.rename(self.home)
            else:
                self._look_at_image(image, Story.read(bytes(disk.said)))
                shutil.rmtree(image)

    def _look_at_image(self, image: Path, story: Story) -> None:
        seen = Yard(image, self.peer, story=[*self.story, story], log=list(self.log))
        seen._look_at_disk(story)

    # -- the disk -------------------------------------------------------------------------------

    def _look_at_disk(self, story: Story) -> None:
        with SqliteStore(Home(self.home).database_path) as store:
            stored = list(store.entries())
            entries = [item.entry for item in stored]
            ids = [entry.id for entry in entries]
            assert [item.n for item in stored] == list(range(1, len(stored) + 1))
            assert ids[: len(self.log)] == self.log, "a local number was used again"
            self.log = ids
            self._look_at_chain(entries)
            self._look_at_what_left(store, story)
            for cursor, hlc, kind, node in story.events:
                (event,) = store.events(cursor - 1, 1)
                seen = (event.cursor, event.hlc, event.type, event.node.hex())
                assert seen == (cursor, hlc, kind, node), "a cursor was used again"
            signer, now = signer_of(self.home), Now(0, wall_ms())
            replica = Replica.load(store, signer=signer, now=now)
            self._look_at_promises(replica)
            from_scratch = Replica.load(WithoutSnapshot(store), signer=signer, now=now)
            assert from_scratch.state_hash() == replica.state_hash()
            assert store.check() == []

    def _own(self, entries: list[Entry], lane: int) -> list[Entry]:
        author = signer_of(self.home).public
        return [e for e in entries if e.header.author == author and e.header.lane == lane]

    def _look_at_chain(self, entries: list[Entry]) -> None:
        """Own lanes are one chain each; no stamp was given out twice, whatever it stamped."""
        stamps: list[int] = []
        for lane in LANES:
            own = self._own(entries, lane)
            assert [e.header.seq for e in own] == list(range(1, len(own) + 1))
            for before, after in pairwise(own):
                assert after.header.prev == before.id
                assert after.header.hlc > before.header.hlc
            stamps += [e.header.hlc for e in own]
        by_id = {entry.id.hex(): entry for entry in entries}
        promises = [p for story in self.story for p in story.acknowledged]
        for promise in promises:
            if promise.entry:
                assert promise.entry in by_id, "an acknowledged entry is lost"
                assert by_id[promise.entry].header.hlc == promise.hlc
            else:
                stamps.append(promise.hlc)
        twice = {stamp for stamp, count in Counter(stamps).items() if count > 1}
        whose = [promise for promise in promises if promise.hlc in twice]
        assert not twice, f"a stamp was given out twice: {whose}"
        for story in self.story:
            assert set(story.grants) <= set(by_id), "an acknowledged grant is lost"

    def _look_at_what_left(self, store: SqliteStore, story: Story) -> None:
        """Whatever was sent of this node's log is on its disk, and was marked as sent."""
        sent = store.meta("sent")
        marked = decode(sent, size_max=64) if sent is not None else (0, 0)
        assert isinstance(marked, tuple)
        for lane, seq, key in story.left:
            assert bytes.fromhex(key) in self.log, "something left that this node lost"
            assert seq <= marked[lane], "something left before it was marked"

    def _look_at_peer(self) -> None:
        """Whatever the peer holds of this node is on this node's disk."""
        author = signer_of(self.home).public
        for lane in LANES:
            row = self.peer.replica.port.row(author, lane)
            assert row.seq == 0 or row.head in self.log, "the peer has what this node lost"

    def _look_at_promises(self, replica: Replica) -> None:
        for number, story in enumerate(self.story, start=1):
            broken = broken_promises(story, replica)
            assert not broken, f"of round {number}: {broken}"

    # -- after it -------------------------------------------------------------------------------

    async def _start_again(self) -> None:
        options = {"listen": (), "mdns": False, "peers": self.peer.listen_addresses}
        async with open_node(self.home, **options) as node:
            await is_member(node)
            with trio.fail_after(AGREE_S_MAX):
                # Rows that were found at the start wait for the peer's word before they are sealed.
                while len(node.replica.pending):
                    await node.seal()
                    await trio.sleep(0.005)
            await agree(node, self.peer)
            for replica in (node.replica, self.peer.replica):
                self._look_at_promises(replica)
                assert replica.forked() == []
                assert replica.counts()["parked"] == replica.counts()["undecided"] == 0
            assert node.status()["blocked"] == ""
            assert node.status()["goodbyes"] == self.peer.status()["goodbyes"] == []


@asynccontextmanager
async def yard(folder: Path, *, storms: str) -> AsyncIterator[Yard]:
    """
    A founder and a member of whom one *storms*: "founder" or "member".

    A member's first round begins before it has joined.
    """
    home, other = found(folder / "founder"), folder / "member"
    async with open_node(home, listen=LOOPBACK, mdns=False) as founder:
        await invite(founder, other)
        if storms == "member":
            yield Yard(other, founder)
            return
        peers = founder.listen_addresses
        async with open_node(other, listen=LOOPBACK, mdns=False, peers=peers) as member:
            await agree(founder, member)
    async with open_node(other, listen=LOOPBACK, mdns=False) as member:
        yield Yard(home, member)
