"""The work that is measured: a mesh, its authors, and their entries as bytes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from attrs import define

from capability.ids import root_worknode
from capability.keys import SeedSigner
from capability.ops import Op
from crdt.codec import Value
from mesh.core.effects import Effect, Persist
from mesh.core.inputs import Now
from mesh.core.records import PutEntry, PutMeta
from mesh.replica.replica import Replica
from mesh.storage import SqliteStore
from tests.mesh.replica.hand import Hand, create, hand, put, root_hand
from tests.mesh.replica.world import TODAY_MS, Mesh, new_mesh, seed

#: As in the peers' benchmark: keys are tasks, values are short words.
KEYS: Final = 1_000
UPDATES: Final = 100_000
STATES: Final = ("pending", "claimed", "in_progress", "review", "done")
#: Bytes of entries that one window of repair brings.
WINDOW_BYTES: Final = 256 * 1024
#: Fields of a Worknode, as a task has them, and their values.
FIELDS: Final = (
    "title",
    "status",
    "priority",
    "assignee",
    "estimate",
    "due",
    "branch",
    "summary",
    "reviewer",
    "progress",
)


@define
class Writer:
    """An author with a member's grant, who writes by hand: what a peer would send."""

    mesh: Mesh
    root: Hand
    author: Hand

    @classmethod
    def make(cls) -> Writer:
        mesh = new_mesh("bench")
        root, author = root_hand(mesh), hand(mesh, "bench author")
        mesh.grants.append(root.grant(author))
        return cls(mesh, root, author)

    @property
    def top(self) -> bytes:
        """The Worknode under which everything is made."""
        return root_worknode(self.mesh.id)

    def entries(self, listed: Sequence[Op], group: int) -> list[bytes]:
        """The operations as signed entries of *group* each."""
        return [
            self.author.data(*listed[at : at + group]).encode()
            for at in range(0, len(listed), group)
        ]


def tasks(writer: Writer, count: int) -> tuple[list[Op], list[bytes]]:
    """Creates of *count* tasks under the mesh's root, and their ids."""
    made = [create(writer.top, shared=b"task-%d" % i) for i in range(count)]
    return made, [op.node for op in made]


def state_of(i: int) -> str:
    """What the i-th update sets."""
    return STATES[(i + i // KEYS) % len(STATES)]


def updates(nodes: Sequence[bytes], count: int) -> list[Op]:
    """*count* writes of a status, over *nodes* in turn."""
    return [put(nodes[i % len(nodes)], "status", state_of(i)) for i in range(count)]


def field_value(name: str, i: int) -> Value:
    """A value as a task has it: small numbers, words, one sentence."""
    match name:
        case "title":
            return f"Mend the {i}th thing that broke"
        case "status":
            return state_of(i)
        case "priority" | "estimate" | "progress":
            return i % 5
        case "summary":
            return f"It came up in the review of change {i * 7919 % 100_000}"
        case _:
            return f"{name}-{i % 97}"


def filled(node: bytes, i: int) -> list[Op]:
    """The ten fields of the i-th task."""
    return [put(node, name, field_value(name, i)) for name in FIELDS]


def windows(entries: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Entries as repair sends them: as many as fit a window."""
    window: list[bytes] = []
    size = 0
    for entry in entries:
        if window and size + len(entry) > WINDOW_BYTES:
            yield window
            window, size = [], 0
        window.append(entry)
        size += len(entry)
    if window:
        yield window


@define
class Disk:
    """A replica over a real file, run as the driver runs it: one commit per batch."""

    store: SqliteStore
    signer: SeedSigner
    replica: Replica
    now: Now

    def run(self, effects: Sequence[Effect]) -> None:
        """One transaction for all records, then let go of what was not committed."""
        records = [r for e in effects if isinstance(e, Persist) for r in e.records]
        self.store.commit(records)
        self.replica.held.committed()

    def receive(self, entries: Sequence[bytes]) -> None:
        """Take in what a peer sends, window by window."""
        for window in windows(entries):
            outcome, effects, offence = self.replica.receive(window, self.now)
            assert not offence and len(outcome.held) == len(window), (offence, outcome)
            self.run(effects)

    def load(self) -> Replica:
        """A restart."""
        return Replica.load(self.store, signer=self.signer, now=self.now)


@contextmanager
def disk(mesh: Mesh, *, name: str = "bench reader") -> Iterator[Disk]:
    """A new home's replica, which holds the genesis and the grants."""
    signer = SeedSigner(seed(name))
    now = Now(0, TODAY_MS + 1000)
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        SqliteStore(Path(folder) / "mesh.db") as store,
    ):
        store.commit([PutMeta("mesh_id", mesh.id), PutEntry(1, mesh.genesis, (), own=False)])
        made = Disk(store, signer, Replica.load(store, signer=signer, now=now), now)
        made.receive([grant.encode() for grant in mesh.grants])
        yield made
