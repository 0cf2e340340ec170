"""
What this node reads of its own disk: damage must be named, or not matter, and never be believed.

Nobody outside writes these bytes; a worn disk and a careless copy do.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

from mesh.core.effects import Persist
from mesh.core.errors import StorageError
from mesh.core.inputs import LOCAL, Now
from mesh.core.records import PutSnapshot
from mesh.core.writes import Append, Create, Increment, Move, SetRegister
from mesh.engine import Engine, EngineConfig
from mesh.replica import snapshot
from mesh.replica.replica import RULES_VERSION, Replica
from mesh.storage.sqlite import SqliteStore
from tests.fuzz.packed import pack, unpack
from tests.fuzz.scene import ANN, BOB, KEYS, copy_of, scene
from tests.fuzz.target import KIB, Broken, Target
from tests.mesh.replica.world import TODAY_MS, Node

NOW: Final = Now(0, TODAY_MS + 1_000)
EDITS_MAX: Final = 64


@cache
def _node() -> Node:
    """Ann's node with something of everything on its disk."""
    store = copy_of(scene().store)
    node = Node(ANN, store, Replica.load(store, signer=ANN, now=NOW), NOW)
    node.receive(scene().entries[:2])
    root = node.replica.store.root
    made: Any = node.write(Create(root, "task", b"two"), Create(root, "task", b"three"))
    two, three = made.created
    node.write(SetRegister(two, 0, "title", "Two"), Append(two, 0, "log", "said"))
    node.write(Move(three, two), Increment(three, 0, "count", 2))
    node.write(Append(two, 0, "log", "waits"), level=LOCAL)
    return node


# -- the snapshot


def _snapshot(data: bytes) -> None:
    """Bytes whose checksum is right, so that they come as far as they can."""
    node = _node()
    store = copy_of(node.store)
    store.commit([PutSnapshot(node.replica.table.last, data)])
    try:
        replica = Replica.load(store, signer=ANN, now=NOW)
    except StorageError:
        return
    replica.state_hash()


def _snapshot_seeds() -> Iterator[bytes]:
    yield snapshot.dump(_node().replica.held, rules=RULES_VERSION)


# -- the database


@cache
def _database() -> bytes:
    """A whole database, as it lies on disk after a clean stop. The same on every run."""
    node = _node()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mesh.db"
        with SqliteStore(path) as store:
            store.commit(list(_records(node)))
        return path.read_bytes()


def _records(node: Node) -> Iterator[Any]:
    from mesh.core.records import PutEntry, PutMeta, PutPeer, PutPending

    for stored in node.store.entries():
        own = stored.entry.header.author == ANN.public
        yield PutEntry(stored.n, stored.entry, (node.replica.store.root,), own=own)
    yield PutMeta("mesh_id", node.replica.mesh_id)
    for slot, data in node.store.pending():
        yield PutPending(slot, data)
    for peer, data in node.store.peers() or [(KEYS[BOB].public, b"\x94\x01\xa0\x00\x90")]:
        yield PutPeer(peer, data)
    for effect in node.replica.snapshot(least=0):
        assert isinstance(effect, Persist)
        yield from effect.records


def _storage(data: bytes) -> None:
    """
    [[offset, bytes]…] are laid over a good database by exclusive or.

    Only `StorageError` may come of it; or nothing, and then what is read is what was written.
    """
    try:
        edits = unpack(data)
    except (ValueError, RecursionError):
        return
    if not isinstance(edits, list):
        return
    damaged = bytearray(_database())
    for edit in edits[:EDITS_MAX]:
        _lay_over(damaged, edit)
    with tempfile.TemporaryDirectory(dir=_ram()) as folder:
        path = Path(folder) / "mesh.db"
        path.write_bytes(damaged)
        try:
            with SqliteStore(path) as store:
                _read_all(store)
        except StorageError as error:
            if not error.message or not error.hint:
                raise Broken(f"no remedy in {error!r}") from error


def _ram() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _lay_over(damaged: bytearray, edit: Any) -> None:
    if not isinstance(edit, list) or len(edit) < 2:
        return
    offset, noise = edit[0], edit[1]
    if isinstance(offset, int) and isinstance(noise, bytes):
        for at, byte in enumerate(noise[: 4 * KIB], start=offset % len(damaged)):
            damaged[at % len(damaged)] ^= byte


def _read_all(store: SqliteStore) -> None:
    store.check()
    written = {s.entry.id: s.entry for s in _node().store.entries()}
    for stored in store.entries():
        entry = written.get(stored.entry.id)
        if entry is None or entry.body != stored.entry.body:
            raise Broken(f"entry {stored.n} was never written")
    store.events(0, 1_000)
    store.touching(_node().replica.store.root)
    config = EngineConfig("ann")
    engine = Engine.load(store, signer=ANN, rng=Random(0), config=config, now=NOW)
    engine.start(NOW)
    engine.status(NOW)


def _storage_seeds() -> Iterator[bytes]:
    size = len(_database())
    yield pack([])
    for page in range(0, size, 4096):
        yield pack([[page, b"\xff" * 8], [page + 2048, b"\1"]])
        yield pack([[page + at, b"\1"] for at in (3, 8, 100, 3900, 4090)])
    kept = _node()
    for data in (kept.replica.mesh_id, *(row for _, row in kept.store.pending())):
        if (at := _database().find(data)) >= 0:
            yield pack([[at, b"\1"], [at + 3, b"\x40\1"]])


TARGETS: Final = (
    Target("snapshot", _snapshot, _snapshot_seeds, size_max=8 * KIB, memory=(16 << 20, 2_000)),
    Target("storage", _storage, _storage_seeds, size_max=2 * KIB, memory=(32 << 20, 1_000)),
)
