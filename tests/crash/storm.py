"""
A real node under a storm of writes, until it is killed: run as a process of its own.

    python -m tests.crash.storm HOME ROUND SEED HOST:PORT

Each line on standard output is a JSON list. What is submitted is said before, what is acknowledged
after; so whoever reads the pipe of the dead process knows what must be there and what may be.

    ["begin"]                                the interpreter is up, nothing is open yet
    ["submit", id, [step…]]                  about to be asked; see `tests.crash.model`
    ["ack", id, hlc, entry]                  durable, as the node says
    ["granted", id, grant]                   the same of an authority entry
    ["left", lane, seq, id]                  an own entry is about to be sent
    ["event", cursor, hlc, type, node]       a subscriber was told
    ["error", id, text]                      nothing of the sort is expected
"""

from __future__ import annotations

import itertools
import json
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import trio
from attrs import define, field

from capability.entry import decode_entry
from capability.ids import root_worknode, worknode_id
from capability.keys import SeedSigner
from mesh.core.errors import MeshError
from mesh.core.inputs import EVENTUAL, LOCAL
from mesh.core.writes import (
    AddToSet,
    Append,
    Create,
    Increment,
    Move,
    RemoveFromSet,
    SetMulti,
    SetRegister,
    Write,
)
from mesh.gossip.messages import Entries, Push
from mesh.node.clock import wall_ms
from mesh.node.links import Links
from mesh.node.node import Node, open_node
from mesh.replica.writer import Submitted
from mesh.transport.tcp import parse_address
from mesh.wire import decode_message
from tests.crash.homes import grant_join, is_member, signer_of

WRITERS = 4
#: Pauses between two writes of one writer, so that batches of one and of many both occur.
PAUSES_S = (0.0, 0.0, 0.0, 0.004)

#: Pause after a refusal, which comes at once.
REFUSED_S = 0.02


def say(*row: object) -> None:
    # One write per line: a kill leaves whole lines, and a last one that is cut short.
    os.write(1, json.dumps(row).encode() + b"\n")


def step_of(write: Write, author: bytes) -> list[object]:
    """A write as the model reads it."""
    match write:
        case Create(parent=parent, nonce=nonce):
            assert nonce is not None
            return ["create", worknode_id(parent, 0, author + nonce).hex(), parent.hex()]
        case Move(node=node, parent=parent):
            return ["move", node.hex(), parent.hex()]
        case Increment(node=node, name=name, amount=amount):
            return ["count", node.hex(), name, amount]
        case _:
            verbs = {
                SetRegister: "put",
                SetMulti: "multi",
                AddToSet: "add",
                RemoveFromSet: "remove",
                Append: "append",
            }
            return [verbs[type(write)], write.node.hex(), write.name, write.value]


@define(eq=False)
class Writer:
    """One task that writes, waits for the answer, and writes again; its cells are its own."""

    node: Node
    rnd: random.Random
    name: str
    ids: itertools.count[int]
    task: bytes = b""
    folders: list[bytes] = field(factory=list)
    labels: list[str] = field(factory=list)

    async def run(self) -> None:
        root = root_worknode(self.node.mesh_id)
        creates = [Create(root, "task", nonce=self.rnd.randbytes(16)) for _ in range(3)]
        author = self.node.node_key
        places = [worknode_id(root, 0, author + (c.nonce or b"")) for c in creates]
        self.task, *self.folders = places
        while not await self.submit(creates):
            pass
        for k in itertools.count(1):
            await self.once(k)
            await trio.sleep(self.rnd.choice(PAUSES_S))

    async def once(self, k: int) -> None:
        match self.rnd.randrange(13):
            case 0 | 1 | 2:
                await self.submit([self.rnd.choice(self.local_writes(k))], LOCAL)
            case 3:
                label = f"{self.name}.{k}"
                # Removing what was never added is no operation: its answer has no stamp of its own.
                if await self.submit([AddToSet(self.task, 0, "labels", label)]):
                    self.labels.append(label)
            case 4 if self.labels:
                label = self.labels.pop(self.rnd.randrange(len(self.labels)))
                await self.submit([RemoveFromSet(self.task, 0, "labels", label)])
            case 5 if k % 4 == 0:
                await self.grant()
            case 6 if k % 8 == 0:
                # As `mesh sync` does; this is also when a snapshot is taken.
                await self.seal()
            case 5 | 6:
                # Another session: a group of its own, and at first a grant of its own.
                session = self.rnd.choice(["agent", f"agent-{self.name}-{k % 3}"])
                said = [Append(self.task, 0, "said", f"{self.name}.{k}")]
                await self.submit(said, session=session)
            case _:
                await self.submit(self.rnd.choice(self.shared_writes(k)))

    def local_writes(self, k: int) -> list[Write]:
        return [
            SetRegister(self.task, 1, "progress", k),
            Increment(self.task, 1, "ticks", 1),
            Append(self.task, 1, "trace", f"{self.name}.{k}"),
        ]

    def shared_writes(self, k: int) -> list[list[Write]]:
        token, task = f"{self.name}.{k}", self.task
        return [
            [SetRegister(task, 0, "title", k)],
            [SetMulti(task, 0, "status", token)],
            [Append(task, 0, "notes", token)],
            [Increment(task, 0, "spent", self.rnd.randint(1, 9))],
            [Move(task, self.folders[k % 2])],
            [Create(task, "task", nonce=self.rnd.randbytes(16))],
            # Two Worknodes in one submit: both or neither.
            [Append(at, 0, "both", token) for at in (task, self.folders[0])],
        ]

    async def submit(
        self, writes: Sequence[Write], level: str = EVENTUAL, *, session: str = ""
    ) -> bool:
        """Say it, ask for it, say what came of it; whether it was acknowledged."""
        number = next(self.ids)
        say("submit", number, [step_of(write, self.node.node_key) for write in writes])
        try:
            done = await self.node.submit(writes, session=session, level=level)
        except MeshError as error:
            say("error", number, f"{type(error).__name__}: {error} ({error.__cause__!r})")
            await trio.sleep(REFUSED_S)
            return False
        assert isinstance(done, Submitted)
        say("ack", number, done.hlc, done.entry.hex())
        return True

    async def seal(self) -> None:
        try:
            await self.node.seal()
        except MeshError as error:
            say("error", next(self.ids), f"{type(error).__name__}: {error} ({error.__cause__!r})")
            await trio.sleep(REFUSED_S)

    async def grant(self) -> None:
        number = next(self.ids)
        key = SeedSigner(self.rnd.randbytes(32)).public
        try:
            granted = await grant_join(self.node, key, expires_ms=wall_ms() + 600_000)
        except MeshError as error:
            say("error", number, f"{type(error).__name__}: {error} ({error.__cause__!r})")
            return
        say("granted", number, granted.hex())


async def tell(node: Node) -> None:
    """Say what subscribers are told."""
    with node.subscribe() as events:
        async for event in events:
            say("event", event.cursor, event.hlc, event.type, event.node.hex())


def tell_what_leaves(author: bytes) -> None:
    """Say which own entries are handed to a link, before they are."""
    send = Links.send

    def telling(links: Links, number: int, data: bytes) -> bool:
        message = decode_message(data, size_max=len(data))
        if isinstance(message, Push | Entries):
            for raw in message.entries:
                entry = decode_entry(raw)
                if entry.header.author == author:
                    say("left", entry.header.lane, entry.header.seq, entry.id.hex())
        return send(links, number, data)

    # For all of this process, which runs one node.
    Links.send = telling  # type: ignore[method-assign]


async def storm(home: Path, number: int, seed: int, peer: str) -> None:
    rnd = random.Random(f"{seed}/{number}")
    ids = itertools.count(1)
    say("begin")
    tell_what_leaves(signer_of(home).public)
    options = {"listen": (), "mdns": False, "peers": [parse_address(peer)]}
    async with open_node(home, **options) as node, trio.open_nursery() as nursery:
        await is_member(node)
        nursery.start_soon(tell, node)
        for index in range(WRITERS):
            own = random.Random(rnd.random())
            nursery.start_soon(Writer(node, own, f"{number}.{index}", ids).run)


if __name__ == "__main__":
    trio.run(storm, Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
