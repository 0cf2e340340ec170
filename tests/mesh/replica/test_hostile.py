"""P3: what no valid chain covers changes nothing, and shows under its own name."""

from __future__ import annotations

from random import Random

import pytest

from capability import permissions
from capability.bodies import Scope
from capability.entry import KIND_DATA, KIND_ENCRYPTED, KIND_REVOKE
from capability.ids import TRASH
from capability.limits import VALUE_DEPTH_MAX
from crdt.codec import Value, encode
from crdt.hlc import pack
from mesh.core.limits import SKEW_MS_MAX
from mesh.core.writes import SetRegister
from tests.mesh.replica.hand import add, create, hand, inc, move, multi, put, rem
from tests.mesh.replica.stage import Stage
from tests.mesh.replica.world import TODAY_MS, new_mesh


def test_without_a_chain_it_waits_and_counts_once_its_grant_comes() -> None:
    stage = Stage()
    carol = hand(stage.mesh, "carol")
    grant = stage.root.grant(carol)
    entry = carol.data(put(stage.task, "f", "carol's", age=0), hlc=pack(TODAY_MS + 500, 0))
    stage.stays(entry)
    assert stage.node.receive([entry]).unknown == {carol.author}  # type: ignore[attr-defined]
    assert stage.node.replica.counts()["waiting"] == 1
    stage.node.receive([grant])
    assert stage.node.replica.counts()["waiting"] == 0
    cell = stage.node.replica.store.cell(stage.task, (0, "f", 3))
    assert cell.value == "carol's"  # type: ignore[union-attr]


def test_a_broken_chain_is_void() -> None:
    stage = Stage()
    carol = hand(stage.mesh, "carol")
    grant = stage.root.grant(carol)
    # Bob acts by the grant to Carol, and by one that does not exist.
    entries = [
        stage.bob.data(put(stage.task, "f", "bad"), leaf=leaf)
        for leaf in (grant.id, b"\7" * 32, b"")
    ]
    before = stage.node.replica.state_hash()
    stage.node.receive([grant, *entries])
    assert stage.refused == {"not the audience": 1, "no such grant": 1, "not a root key": 1}
    assert stage.node.replica.state_hash() == before


def test_a_child_wider_than_its_parent_passes_on_nothing() -> None:
    stage = Stage()
    mallory = hand(stage.mesh, "mallory")
    grant = stage.bob.grant(mallory, perms=permissions.MEMBER | permissions.ADMIN)
    stage.stays(grant, reason="wider than its parent: permissions")
    stage.stays(mallory.data(put(stage.task, "f", "bad")))
    assert stage.node.replica.counts()["waiting"] == 0  # the restart has emptied it
    assert not stage.node.replica.held.ledger.introduced(mallory.author)


def test_expired_is_judged_by_the_stamp_of_the_entry() -> None:
    stage = Stage()
    carol = hand(stage.mesh, "carol")
    grant = stage.root.grant(carol, exp_ms=TODAY_MS + 10)
    late = carol.data(put(stage.task, "f", "bad"), hlc=pack(TODAY_MS + 10, 0))
    stage.node.receive([grant])
    stage.node.receive([late])
    assert stage.refused == {"expired": 1}
    stage.stays(carol.data(put(stage.task, "f", "bad")))


def test_an_entry_of_another_mesh_closes_the_link() -> None:
    stage = Stage()
    other = new_mesh("other")
    stage.offends(stage.bob.data(put(stage.task, "f", "bad"), mesh_id=other.id).encode())
    stage.offends(other.genesis.encode())


def test_bytes_that_are_not_canonical_close_the_link() -> None:
    stage = Stage()
    good = stage.bob.data(put(stage.task, "f", "bad"))
    header, signature, body = good.header_bytes, good.signature, good.body
    assert len(body) < 256
    stage.offends(b"\x93" + encode(header) + encode(signature) + b"\xc5\0%c" % len(body) + body)
    stage.offends(good.encode() + b"\0")
    stage.offends(b"")
    stage.offends(encode((header, signature)))


def test_a_bit_flipped_anywhere_closes_the_link() -> None:
    stage = Stage()
    data = stage.bob.data(put(stage.task, "f", "bad"), add(stage.task, "s", "bad")).encode()
    for at in Random(1).sample(range(len(data) * 8), 150):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        stage.offends(bytes(flipped))


def test_a_squatted_shared_key_needs_write_on_the_parent() -> None:
    stage = Stage()
    carol = hand(stage.mesh, "carol")
    grant = stage.root.grant(carol, perms=permissions.READ | permissions.CREATE)
    reason = "a key that is not the author's own needs WRITE on the parent"
    stage.node.receive([grant])
    stage.node.receive([carol.data(create(stage.top, shared=b"import-7"))])
    # Somebody else's own key is no better; one's own is fine.
    stage.node.receive([carol.data(create(stage.top, own=(stage.bob.author, 9)))])
    assert stage.refused == {reason: 2}
    mine = create(stage.top, own=(carol.author, 1))
    stage.node.receive([carol.data(mine)])
    assert stage.node.replica.store.exists(mine.node)
    assert not stage.node.replica.store.exists(create(stage.top, shared=b"import-7").node)


def test_a_kill_of_what_does_not_exist_kills_nothing() -> None:
    stage = Stage()
    stage.stays(
        stage.bob.data(
            rem(stage.task, "s", [(1, 0), (1, 40), (2, 0)]), refs=[b"\7" * 32, stage.first.id]
        )
    )


def test_a_kill_of_another_cells_dot_kills_nothing() -> None:
    stage = Stage()
    twin = stage.bob.data(add(stage.task, "t", "b"), multi(stage.task, "s", "c"))
    stage.node.receive([twin])
    # The dots are those of "s" as a set, of "t", and of "s" as a multi-value.
    stage.stays(
        stage.bob.data(rem(stage.task, "t", [(1, 2)]), refs=[stage.first.id]),
        stage.bob.data(rem(stage.task, "s", [(1, 0), (1, 1)]), refs=[twin.id]),
        stage.bob.data(rem(stage.top, "s", [(1, 2)]), refs=[stage.first.id]),
    )


def test_a_dot_before_the_first_entry_makes_the_op_malformed() -> None:
    stage = Stage()
    stage.node.receive([stage.bob.data(add(stage.task, "s", "bad", kills=[(-2, 0)]))])
    assert stage.refused == {"cites an entry before the first": 1}
    # −1 is the entry in which "a" was added; it is on the author's own chain.
    before = stage.bob.data(rem(stage.task, "s", [(-2, 2)]))
    stage.node.receive([before])
    cell = stage.node.replica.store.cell(stage.task, (0, "s", 5))
    assert cell.empty()  # type: ignore[union-attr]


def test_a_strict_op_with_an_age_is_inert() -> None:
    stage = Stage()
    stage.node.receive([stage.bob.data(create(stage.top, own=(stage.bob.author, 2), age=1))])
    stage.node.receive([stage.bob.data(move(stage.task, TRASH, age=5))])
    assert stage.refused == {"a strict operation is stamped at sealing": 2}
    assert stage.node.replica.store.parent(stage.task) == stage.top


def test_an_op_older_than_time_is_inert() -> None:
    stage = Stage()
    stage.node.receive([stage.bob.data(inc(stage.task, "n", 1, age=1 << 62))])
    assert stage.refused == {"operation older than time": 1}


def test_unknown_and_malformed_ops_strand_no_other() -> None:
    stage = Stage()
    rows: tuple[Value, ...] = (
        (99, 0, 0, ()),
        (3, 0, 0, (), 0, 0),
        "nonsense",
        (3, 0, 7, (), 0, 0, 1),
        (3, 0, 0, (), 0, 0, (77, 1)),
        (3, 0, 0, (), 9, 0, 1),
        (13, 0, 0, (), 1, None),
        (3, 0, 0, (), 0, 0, "new"),
    )
    body = encode((b"", (), 0, b"", (stage.task,), ("f",), rows))
    stage.node.receive([stage.bob.write(KIND_DATA, body)])
    assert stage.refused == {"malformed or unknown operation": 6, "inert in this version": 1}
    cell = stage.node.replica.store.cell(stage.task, (0, "f", 3))
    assert cell.value == "new"  # type: ignore[union-attr]


def test_unknown_kinds_and_malformed_bodies_are_held_and_inert() -> None:
    stage = Stage()
    later = [
        stage.bob.write(KIND_ENCRYPTED, b"\x90"),
        stage.bob.write(200, b"anything"),
        stage.bob.write(KIND_DATA, b"\x93\1\2\3"),
        stage.bob.write(KIND_REVOKE, b"\xc0"),
    ]
    before = stage.node.replica.state_hash()
    stage.node.receive(later)
    assert stage.refused == {"unknown kind": 2, "malformed body": 1}
    assert stage.node.replica.state_hash() == before
    assert [e.id for e in stage.node.log()[-4:]] == [e.id for e in later]
    assert stage.node.replica.port.row(stage.bob.author, 1).seq == 4


def test_a_move_of_the_root_is_inert() -> None:
    stage = Stage()
    stage.node.receive([stage.bob.data(move(stage.top, TRASH))])
    assert stage.refused == {"the root Worknode does not move": 1}
    assert stage.node.replica.store.parent(stage.top) is None


def test_out_of_scope_is_judged_by_birth_and_not_by_place() -> None:
    stage = Stage()
    carol = hand(stage.mesh, "carol")
    yard = create(stage.top, shared=b"yard")
    grant = stage.root.grant(carol, scopes=(Scope(0, ((1, b"yard"),), yard.node),))
    stage.node.receive([grant, stage.bob.data(yard, move(stage.task, yard.node))])
    assert stage.node.replica.store.parent(stage.task) == yard.node
    stage.node.receive([carol.data(put(stage.task, "f", "bad"), put(yard.node, "f", "good"))])
    assert stage.refused == {"outside the grant's scope": 1}


def test_values_at_the_depth_limit_and_sums_beyond_63_bits_are_ordinary() -> None:
    stage = Stage()
    deep: Value = 1
    for _ in range(VALUE_DEPTH_MAX):
        deep = (0, deep)
    big = (1 << 63) - 1
    stage.node.receive(
        [
            stage.bob.data(
                add(stage.task, "s", deep), inc(stage.task, "n", big), inc(stage.task, "n", 9)
            )
        ]
    )
    state_hash = stage.node.replica.state_hash()
    stage.node.run(stage.node.replica.snapshot(least=1))
    stage.node.reload()
    assert stage.node.replica.state_hash() == state_hash
    cell = stage.node.replica.store.cell(stage.task, (0, "n", 7))
    assert cell.total == big + 9  # type: ignore[union-attr]


def test_not_later_than_the_one_before_is_refused_for_good() -> None:
    stage = Stage()
    stamp = stage.first.header.hlc
    for hlc in (stamp, stamp - 1):
        outcome = stage.node.receive([stage.bob.twin().data(put(stage.task, "f", "bad"), hlc=hlc)])
        assert [r.reason for r in outcome.refused] == ["stamp not after the one before it"]
    assert [r.reason for r in stage.node.replica.admission.refusals] == [
        "stamp not after the one before it"
    ] * 2
    stage.stays(stage.bob.twin().data(put(stage.task, "f", "bad"), hlc=stamp))


@pytest.mark.parametrize("room", ["deferred", "waiting"])
def test_rooms_evict_the_oldest_at_their_bound_and_never_grow(room: str) -> None:
    stage = Stage()
    admission = stage.node.replica.admission
    getattr(admission, room).entries_max = 3
    writer = stage.bob if room == "deferred" else hand(stage.mesh, "stranger")
    writer.data(put(stage.task, "f", 0))
    later = [writer.data(put(stage.task, "f", at)) for at in range(4)]
    outcome = stage.node.receive(later[:3])
    assert stage.node.replica.counts()[room] == 3 and getattr(admission, room).evicted == 0
    stage.node.receive(later[3:])
    assert stage.node.replica.counts()[room] == 3 and getattr(admission, room).evicted == 1
    assert list(getattr(admission, room).entries) == [e.id for e in later[1:]]
    lane = (writer.author, 1)
    assert (lane in outcome.gaps) == (room == "deferred")  # type: ignore[attr-defined]


def test_rooms_are_bounded_in_bytes_too() -> None:
    stage = Stage()
    stage.bob.data(put(stage.task, "f", 0))
    later = [stage.bob.data(put(stage.task, "f", "x" * 1000)) for _ in range(4)]
    room = stage.node.replica.admission.deferred
    room.bytes_max = 2 * len(later[0].body)
    stage.node.receive(later)
    assert len(room) == 2 and room.size == room.bytes_max and room.evicted == 2


def test_what_waits_behind_a_gap_counts_when_the_gap_is_filled() -> None:
    stage = Stage()
    listed = [stage.bob.data(put(stage.task, "f", at)) for at in range(5)]
    outcome = stage.node.receive(listed[1:])
    assert outcome.gaps == {(stage.bob.author, 1)}  # type: ignore[attr-defined]
    assert stage.node.replica.counts()["deferred"] == 4
    stage.node.receive(listed[:1])
    assert stage.node.replica.counts()["deferred"] == 0
    assert stage.node.replica.port.row(stage.bob.author, 1).seq == 6


@pytest.mark.parametrize("beyond", [0, 1])
def test_the_greatest_skew_is_folded_and_a_millisecond_more_is_parked(beyond: int) -> None:
    stage = Stage()
    ahead = pack(stage.node.now.wall_ms + SKEW_MS_MAX + beyond, 0)
    before = stage.node.replica.state_hash()
    stage.node.receive([stage.bob.data(put(stage.task, "f", "soon"), hlc=ahead)])
    assert stage.node.replica.counts()["parked"] == beyond
    assert (stage.node.replica.state_hash() == before) is bool(beyond)


def test_the_future_parks_its_own_tail_only_and_does_not_move_the_clock() -> None:
    stage = Stage()
    carol = hand(stage.mesh, "carol")
    stage.node.receive([stage.root.grant(carol)])
    ahead_ms = stage.node.now.wall_ms + SKEW_MS_MAX + 1
    clock = stage.node.replica.held.clock.last
    child = create(stage.task, own=(stage.bob.author, 2))
    tail = [
        stage.bob.data(put(stage.task, "f", "later"), child, hlc=pack(ahead_ms, 0)),
        stage.bob.data(put(stage.task, "f", "last")),
    ]
    before = stage.node.replica.state_hash()
    stage.node.receive(tail)
    assert stage.node.replica.counts()["parked"] == 2
    assert stage.node.replica.state_hash() == before
    assert stage.node.replica.held.clock.last == clock
    # Its births are known all the same, and other lanes go on.
    stage.node.receive([carol.data(put(child.node, "g", 1), put(stage.task, "g", 2))])
    assert stage.node.replica.counts()["undecided"] == 0
    assert stage.node.replica.state_hash() != before
    wake = stage.node.replica.wake_mono_ms
    assert wake is not None and wake - stage.node.now.mono_ms == 1
    stage.node.reload()
    assert stage.node.replica.counts()["parked"] == 2
    stage.node.tick(1)
    stage.node.run(stage.node.replica.wake(stage.node.now))
    assert stage.node.replica.counts()["parked"] == 0
    assert stage.node.replica.wake_mono_ms is None
    cell = stage.node.replica.store.cell(stage.task, (0, "f", 3))
    assert cell.value == "last"  # type: ignore[union-attr]
    assert stage.node.replica.store.exists(child.node)


def test_a_node_does_not_learn_a_parked_stamp_from_its_own_next_write() -> None:
    stage = Stage()
    me = hand(stage.mesh, "observer")
    stage.node.receive([stage.root.grant(me)])
    far = pack(stage.node.now.wall_ms + SKEW_MS_MAX * 2, 0)
    stage.node.receive([stage.bob.data(put(stage.task, "f", "later"), hlc=far)])
    stage.node.write(SetRegister(stage.task, 0, "f", "mine"))
    assert stage.node.log()[-1].header.hlc < far


def test_own_branches_elsewhere_stop_the_pen() -> None:
    stage = Stage()
    me = hand(stage.mesh, "observer")
    stage.node.receive([stage.root.grant(me)])
    stage.node.write(SetRegister(stage.task, 0, "f", "mine"))
    outcome = stage.node.receive([me.data(put(stage.task, "f", "doubled home"))])
    assert outcome.own_branch  # type: ignore[attr-defined]
    assert stage.node.replica.writer.blocked
