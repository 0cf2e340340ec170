"""What of a home's own entries is set aside when it is rebuilt."""

from __future__ import annotations

import copy

from capability.entry import verify_entry
from capability.errors import CapabilityError
from mesh.core.writes import Create
from mesh.replica.rebuilding import Rebuilt, Remains, rebuild
from mesh.replica.recovery import META_RECOVER, WAIT_FOR_ALL
from mesh.storage.memory import MemoryStore
from tests.mesh.swarm import check
from tests.mesh.swarm.host import Host
from tests.mesh.swarm.world import World


def rebuilt(host: Host, *, is_damaged: bool = False, **meta: bytes) -> Rebuilt:
    mesh_id = host.store.meta("mesh_id")
    assert mesh_id is not None

    def is_signed(entry: object) -> bool:
        try:
            verify_entry(entry, mesh_id)  # type: ignore[arg-type]
        except CapabilityError:
            return False
        return True

    sent = host.store.meta("sent")
    remains = Remains(
        mesh_id=mesh_id,
        entries=[stored.entry for stored in host.store.entries()],
        meta={**({"sent": sent} if sent is not None else {}), **meta},
        pending=host.store.pending(),
        peers=host.store.peers(),
        proofs=(),
        unreadable=0,
        is_damaged=is_damaged,
    )
    author = host.signer.public
    return rebuild(remains, author=author, mode=WAIT_FOR_ALL, is_signed=is_signed)


def put_back() -> tuple[World, Host]:
    """Bob, whose copy is from before his first entry, has written one that nobody has."""
    world = World(seed=3)
    world.join("bob", by="ann")
    check.converges(world)
    bob = world.hosts["bob"]
    backup = copy.deepcopy(bob.store)
    root = bob.engine.replica.store.root
    assert bob.write(Create(root, "task", b"one")).error is None
    check.converges(world)
    world.partition(["ann"], ["bob"])
    bob.die()
    bob.store = backup
    bob.events.clear()
    bob.start()
    assert bob.write(Create(root, "task", b"two")).error is None
    return world, bob


def test_a_whole_home_without_a_mark_has_sent_nothing() -> None:
    _, bob = put_back()
    assert bob.store.meta("sent") is None
    result = rebuilt(bob)
    assert result.kept == 1
    assert result.entries == bob.store.last_n() - 1
    assert META_RECOVER in {getattr(record, "key", "") for record in result.records}


def test_what_cannot_be_read_of_the_mark_may_have_left() -> None:
    _, bob = put_back()
    result = rebuilt(bob, sent=b"\xc1")
    assert result.kept == 0
    assert result.entries == bob.store.last_n()


def test_a_damaged_home_keeps_in_its_log_what_continues_it() -> None:
    _, bob = put_back()
    assert rebuilt(bob, is_damaged=True).kept == 0


def test_the_genesis_stays_in_its_place() -> None:
    world = World(seed=3)
    ann = world.hosts["ann"]
    assert ann.store.meta("sent") is None
    result = rebuilt(ann)
    store = MemoryStore()
    store.commit(result.records)
    assert store.entry(1) == ann.store.entry(1)
