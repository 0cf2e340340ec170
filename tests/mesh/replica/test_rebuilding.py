"""What of a home's own entries is set aside when it is rebuilt."""

from __future__ import annotations

import copy

import pytest
from attrs import evolve

from capability.entry import Entry, verify_entry
from capability.errors import CapabilityError
from crdt.codec import encode
from mesh.core.errors import StorageError
from mesh.core.records import PutEntry, PutMeta, PutPeer, PutPending, PutProof
from mesh.core.writes import Create
from mesh.replica import rebuilding
from mesh.replica.rebuilding import Rebuilt, Remains, rebuild, sent_marks
from mesh.replica.recovery import (
    META_BLOCKED,
    META_KEPT,
    META_RECOVER,
    WAIT_FOR_ALL,
    WAIT_FOR_ONE,
    encode_kept,
)
from mesh.storage.memory import MemoryStore
from tests.mesh.replica.hand import hand, put
from tests.mesh.replica.stage import Stage
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


# By hand: what can be read of Bob's home, who has written his `Stage` entry and two more.


def read_of(stage: Stage, *entries: Entry, **what: object) -> Remains:
    fields = {
        "mesh_id": stage.mesh.id,
        "entries": [*stage.node.log(), *entries],
        "meta": {"sent": encode((0, 9)), "name": b"bob"},
        "pending": [(4, b"row")],
        "peers": [(b"p" * 32, b"peer")],
        "proofs": [(b"a" * 32, 1, b"proof")],
        "unreadable": 0,
        "is_damaged": False,
    }
    return Remains(**(fields | what))  # type: ignore[arg-type]


def made_of(stage: Stage, found: Remains, *, signed: bool = True) -> Rebuilt:
    author = stage.bob.author
    return rebuild(found, author=author, mode=WAIT_FOR_ONE, is_signed=lambda entry: signed)


def metas(result: Rebuilt) -> dict[str, bytes]:
    return {r.key: r.value for r in result.records if isinstance(r, PutMeta)}


def logged(result: Rebuilt) -> list[bytes]:
    return [r.entry.id for r in result.records if isinstance(r, PutEntry)]


def test_a_whole_home_has_all_that_the_old_one_had() -> None:
    stage = Stage()
    result = made_of(stage, read_of(stage))
    entries = [r for r in result.records if isinstance(r, PutEntry)]
    assert [(r.n, r.entry, r.own) for r in entries] == [
        (n, entry, entry.header.author == stage.bob.author)
        for n, entry in enumerate(stage.node.log(), start=1)
    ]
    assert [set(r.touched) for r in entries] == [set(), set(), {stage.task}]
    assert (result.entries, result.kept, result.unreadable, result.waits) == (3, 0, 0, True)
    assert metas(result) == {
        "sent": encode((0, 9)),
        "name": b"bob",
        "mesh_id": stage.mesh.id,
        META_RECOVER: WAIT_FOR_ONE,
    }
    assert result.records[-3:] == (
        PutPending(4, b"row"),
        PutPeer(b"p" * 32, b"peer"),
        PutProof(b"a" * 32, 1, b"proof"),
    )


def test_own_entries_that_never_left_are_set_aside() -> None:
    stage = Stage()
    more = [stage.bob.data(put(stage.task, "f", at)) for at in range(2)]
    grant = stage.bob.grant(b"k" * 32)
    meta = {"sent": encode((0, 2))}
    result = made_of(stage, read_of(stage, *more, grant, meta=meta))
    assert (result.entries, result.kept) == (4, 2)
    assert metas(result)[META_KEPT] == encode_kept([more[1], grant])
    assert more[0].id in logged(result)
    # What a damaged home has lost may stand between: nothing is set aside that has its place.
    damaged = made_of(stage, read_of(stage, *more, grant, meta=meta, is_damaged=True))
    assert (damaged.entries, damaged.kept) == (6, 0)


def test_entries_out_of_order_find_their_places() -> None:
    stage = Stage()
    more = [stage.bob.data(put(stage.task, "f", at)) for at in range(3)]
    found = read_of(stage)
    mixed = evolve(found, entries=[more[2], more[0], *reversed(found.entries), more[1]])
    result = made_of(stage, mixed)
    assert (result.entries, result.kept) == (6, 0)
    numbers = [r.n for r in result.records if isinstance(r, PutEntry)]
    assert numbers == list(range(1, 7))


def test_of_what_continues_nothing_only_ones_own_is_kept() -> None:
    stage = Stage()
    stage.bob.data(put(stage.task, "f", 1))
    mine = stage.bob.data(put(stage.task, "f", 2))
    carol = hand(stage.mesh, "carol").data(put(stage.task, "f", 3))
    result = made_of(stage, read_of(stage, mine, carol, is_damaged=True))
    assert metas(result)[META_KEPT] == encode_kept([mine])
    assert (result.entries, result.kept) == (3, 1)


def test_what_an_earlier_repair_set_aside_is_kept_on_if_it_is_signed() -> None:
    stage = Stage()
    kept = stage.bob.data(put(stage.task, "f", 1))
    meta = {"sent": encode((0, 9)), META_KEPT: encode_kept([kept, stage.first])}
    found = read_of(stage, meta=meta)
    assert metas(made_of(stage, found))[META_KEPT] == encode_kept([kept])
    assert META_KEPT not in metas(made_of(stage, found, signed=False))
    broken = evolve(found, meta={**meta, META_KEPT: b"\xc1"}, unreadable=2)
    result = made_of(stage, broken)
    assert (result.unreadable, result.kept) == (3, 0)
    assert META_KEPT not in metas(result)


def alone(stage: Stage, **what: object) -> Remains:
    """A founder's home: the genesis and what its one member wrote."""
    root = stage.root.data(put(stage.task, "f", 1))
    fields = {"entries": [stage.mesh.genesis, root], "peers": (), "meta": {}}
    return read_of(stage, **(fields | what))


def founders(stage: Stage, found: Remains) -> Rebuilt:
    author = stage.root.author
    return rebuild(found, author=author, mode=WAIT_FOR_ALL, is_signed=lambda entry: True)


def test_who_has_never_met_anybody_waits_for_nobody() -> None:
    stage = Stage()
    blocked = {META_BLOCKED: b"because", META_RECOVER: b"", "sent": encode((0, 0))}
    found = alone(stage, meta=blocked, entries=[stage.mesh.genesis])
    result = founders(stage, found)
    assert not result.waits
    assert metas(result) == {"sent": encode((0, 0)), "mesh_id": stage.mesh.id}
    for more in (
        {"peers": [(b"p" * 32, b"peer")]},
        {"unreadable": 1},
        {"meta": {"sent": encode((1, 0))}},
        {"meta": {"sent": b"\xc1"}},
        {"is_damaged": True, "meta": {}},
        {"is_damaged": True, "entries": stage.node.log()[:2]},
        {"entries": stage.node.log()[:2]},
    ):
        result = founders(stage, evolve(found, **more))
        assert result.waits, more
        assert metas(result)[META_RECOVER] == WAIT_FOR_ALL


def test_a_founder_alone_waits_if_something_of_its_own_is_set_aside() -> None:
    stage = Stage()
    result = founders(stage, alone(stage))
    assert (result.entries, result.kept, result.waits) == (1, 1, True)


def test_marks_of_what_has_left_are_two_numbers_or_unknown() -> None:
    stage = Stage()

    def marks(data: bytes | None, *, is_damaged: bool = False) -> tuple[int, int] | None:
        meta = {} if data is None else {"sent": data}
        return sent_marks(read_of(stage, meta=meta, is_damaged=is_damaged))

    assert marks(encode((3, 4))) == (3, 4)
    assert marks(None) == (0, 0)
    assert marks(None, is_damaged=True) is None
    for bad in (b"\xc1", encode(3), encode((3,)), encode((3, 4, 5)), encode(("3", 4))):
        assert marks(bad) is None
    assert marks(encode((3, b"4"))) is None
    assert marks(encode((3, "4" * 80))) is None


def test_what_may_be_set_aside_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    more = stage.bob.data(put(stage.task, "f", 1))
    found = read_of(stage, more, meta={"sent": encode((0, 1))})
    size = len(encode_kept([more]))
    monkeypatch.setattr(rebuilding, "KEPT_BYTES_MAX", size)
    assert made_of(stage, found).kept == 1
    monkeypatch.setattr(rebuilding, "KEPT_BYTES_MAX", size - 1)
    with pytest.raises(StorageError, match="1 own entries") as caught:
        made_of(stage, found)
    assert caught.value.hint
