"""The replica as a whole: what it says of itself, whom it lets in, when it goes on writing."""

from __future__ import annotations

import pytest

from capability import permissions
from capability.bodies import CAVEAT_CHILD_PERMS, JOIN, Pin, PinRow, decode_pin
from capability.entry import KIND_PIN, LANE_AUTHORITY, LANE_DATA, Entry
from capability.ids import worknode_id
from capability.keys import SeedSigner
from capability.limits import NEVER_MS
from crdt.hlc import pack
from mesh.core.effects import Emit, Log, Persist
from mesh.core.errors import Denied
from mesh.core.inputs import LOCAL, IssueGrant, Now
from mesh.core.limits import EXPECTED_MAX, SKEW_MS_MAX
from mesh.core.records import PutMeta, PutSnapshot
from mesh.core.writes import Increment
from mesh.replica.found import META_FOUND
from mesh.replica.pending import META_EARLY
from mesh.replica.rebuilding import PlacedLog
from mesh.replica.recovery import (
    META_BLOCKED,
    META_KEPT,
    META_RECOVER,
    PARTED,
    WAIT_FOR_ALL,
    encode_kept,
)
from mesh.replica.reissue import META_REISSUE, META_REISSUED, META_STRANDED
from mesh.replica.replica import RESTORED, SNAPSHOT_ENTRIES
from mesh.worknode.cells import COUNTER, CounterCell
from tests.mesh.replica.desk import Desk, entries_of, field_of
from tests.mesh.replica.hand import Hand, create, hand, inc, put
from tests.mesh.replica.stage import Stage
from tests.mesh.replica.world import Node, node_of, seed

DOOR = SeedSigner(seed("door"))


# What it says of itself.


def test_one_hash_stands_for_both_frontiers() -> None:
    replica = Stage().node.replica
    authority, data = replica.port.roots()
    assert replica.frontier_hash() == authority[:16] + data[:16]
    assert len(replica.frontier_hash()) == 32


def test_a_member_is_called_as_its_member_grant_says() -> None:
    stage = Stage()
    carol = hand(stage.mesh, "carol")
    stage.node.receive([stage.root.grant(carol, akind=JOIN, label="door")])
    replica = stage.node.replica
    assert replica.label(carol.author) == ""
    stage.node.receive([stage.root.grant(carol, label="Carol")])
    assert replica.label(carol.author) == "Carol"
    assert replica.label(b"?" * 32) == ""
    assert replica.name == "acme"


def test_what_is_held_and_waits_is_counted() -> None:
    stage = Stage()
    carol = hand(stage.mesh, "carol")
    born = create(stage.top, shared=b"later")
    early = stage.bob.data(put(born.node, "f", 1))
    parked = stage.bob.data(put(stage.task, "f", 1), hlc=pack(stage.node.now.wall_ms + 10**9, 0))
    stage.bob.data(put(stage.task, "f", 1))
    gap = stage.bob.data(put(stage.task, "f", 2))
    stage.node.receive([early, parked, gap, carol.data(put(stage.task, "f", 1))])
    assert stage.node.replica.counts() == {
        "entries": 5,
        "worknodes": stage.node.replica.store.count(),
        "deferred": 1,
        "waiting": 1,
        "parked": 1,
        "undecided": 1,
        "pending": 0,
    }
    assert stage.node.replica.lowest_deferred(stage.bob.author, LANE_DATA) == gap.header.seq
    assert stage.node.replica.lowest_deferred(stage.bob.author, LANE_AUTHORITY) == 0


def test_the_own_chain_is_that_of_a_member_not_of_a_session() -> None:
    desk = Desk()
    replica = desk.node.replica
    member = replica.port.chain_of(desk.bob.leaf)
    assert replica.own_chain() == member
    desk.node.write(field_of(desk, "a"), session="agent")
    assert replica.own_chain() == member
    root = node_of(desk.mesh, desk.root.signer)
    assert root.replica.own_chain() == (desk.mesh.genesis.encode(),)
    stranger = node_of(desk.mesh, SeedSigner(seed("stranger")))
    assert stranger.replica.own_chain() == ()


# Joining: the inviter's pins, and who is shown them.


def invite(node: Node, top: bytes) -> bytes:
    request = IssueGrant(1, DOOR.public, JOIN, (top,), permissions.MEMBER, 8, NEVER_MS)
    effects, grant_id = node.replica.issue_grant(request, node.now)
    node.run(effects)
    return grant_id


def use(desk: Desk, leaf: bytes, name: str) -> tuple[Hand, Entry]:
    door, guest = Hand(DOOR, desk.mesh, leaf), hand(desk.mesh, name)
    now = pack(desk.node.now.wall_ms, 9)
    return guest, door.grant(guest, entry={"hlc": now})


def test_the_inviter_pins_the_first_use_of_a_ticket() -> None:
    desk = Desk()
    guest, entry = use(desk, invite(desk.node, desk.top), "guest")
    _, effects, _ = desk.node.replica.receive([entry.encode()], desk.node.now)
    desk.node.run(effects)
    (pin,) = [e for e in entries_of(effects) if e.header.kind == KIND_PIN]
    assert decode_pin(pin.body) == Pin((PinRow(DOOR.public, (1, entry.id), None),), 0)
    assert pin.header.leaf == desk.bob.leaf
    assert pin in desk.node.replica.take_fresh()
    assert desk.node.replica.take_fresh() == []
    assert guest.author in desk.node.replica.held.ledger.members()
    # The guest shows it with its chain, so that nobody need have heard of the use.
    theirs = node_of(desk.mesh, guest.signer, desk.node.log()[1:])
    chain = theirs.replica.own_chain()
    assert chain == (*theirs.replica.port.chain_of(entry.id), pin.encode())
    # Nobody else pins, and nothing is pinned for data.
    data = guest.data(put(desk.task, "f", 1))
    _, effects, _ = desk.node.replica.receive([data.encode()], desk.node.now)
    assert entries_of(effects) == [data]


def test_a_root_pins_by_itself() -> None:
    desk = Desk()
    root = node_of(desk.mesh, desk.root.signer, desk.node.log()[1:])
    root.reload()
    leaf = invite(root, desk.top)
    _, entry = use(desk, leaf, "guest")
    _, effects, _ = root.replica.receive([entry.encode()], root.now)
    (pin,) = entries_of(effects)[1:]
    assert (pin.header.leaf, pin.header.author) == (b"", desk.root.author)


def test_a_pin_has_its_rows_in_order_and_a_stopped_pen_makes_none() -> None:
    desk = Desk()
    writer, now = desk.node.replica.writer, desk.node.now
    rows = [PinRow(key * 32, (1, key * 32), None) for key in (b"b", b"a")]
    (pin,) = entries_of(writer.pin(rows, desk.bob.leaf, now))
    assert decode_pin(pin.body) == Pin((rows[1], rows[0]), 0)
    writer.blocked = "because"
    assert writer.pin(rows, desk.bob.leaf, now) == []
    writer.blocked = ""
    halves = [
        Hand(desk.bob.signer, desk.mesh, desk.bob.leaf).pin(entry).signed_header
        for entry in desk.node.log()[:2]
    ]
    desk.node.replica.receive_proof(halves[0], halves[1], now)
    assert writer.standing.has_forked(LANE_AUTHORITY)
    assert writer.pin(rows, desk.bob.leaf, now) == []


def test_the_first_grant_that_covers_what_is_asked_is_passed_on() -> None:
    desk = Desk()
    more = desk.root.grant(desk.bob.author, perms=permissions.ALL)
    mask = ((CAVEAT_CHILD_PERMS, permissions.READ),)
    desk.node.receive([more, desk.root.grant(desk.bob.author, perms=permissions.ALL, caveats=mask)])

    def issue(perms: int) -> Entry:
        request = IssueGrant(1, b"k" * 32, 0, (desk.top,), perms, 8, NEVER_MS)
        effects, _ = desk.node.replica.issue_grant(request, desk.node.now)
        desk.node.run(effects)
        return entries_of(effects)[0]

    assert issue(permissions.ADMIN).header.leaf == more.id
    with pytest.raises(Denied, match="may not delegate"):
        issue(1 << 20)


# What waits for peers.


def with_row(desk: Desk) -> None:
    desk.node.run(desk.submit(Increment(desk.task, 0, "n", 1), level=LOCAL))
    desk.node.reload()


def test_found_rows_go_when_a_peer_is_equal_and_the_pen_is_free() -> None:
    desk = Desk()
    with_row(desk)
    replica, now = desk.node.replica, desk.node.now
    assert replica.found.waits
    assert replica.say_again(list, now) == []
    assert replica.found.waits
    replica.writer.blocked = "because"
    replica.say_again(lambda: [b"p" * 32], now)
    assert replica.found.waits
    replica.writer.blocked = ""
    assert replica.say_again(lambda: [b"p" * 32], now) == []
    assert not replica.found.waits
    assert replica.pending.due_ms == 0
    desk.node.run(replica.seal_pending(now))
    assert replica.counts()["pending"] == 0
    assert not any(map(desk.node.store.meta, (META_FOUND, META_EARLY)))


def test_nobody_is_asked_who_is_equal_while_nothing_waits() -> None:
    desk = Desk()

    def nobody() -> list[bytes]:
        raise AssertionError("asked")

    assert desk.node.replica.say_again(nobody, desk.node.now) == []


def test_what_an_old_key_left_is_said_when_it_is_due() -> None:
    desk = Desk()
    carol = hand(desk.mesh, "carol")
    entries = [carol.data(inc(desk.task, "n", 1)) for _ in range(2)]
    desk.node.store.commit(
        [PutMeta(META_STRANDED, encode_kept(entries)), PutMeta(META_REISSUE, WAIT_FOR_ALL)]
    )
    desk.node.reload()
    replica = desk.node.replica
    assert replica.reissue.is_active
    assert replica.say_again(list, desk.node.now) == []
    effects = replica.say_again(lambda: [desk.root.author], desk.node.now)
    desk.node.run(effects)
    assert len(entries_of(effects)) == 2
    assert any(isinstance(effect, Emit) for effect in effects)
    assert not replica.reissue.is_active
    assert not any(map(desk.node.store.meta, (META_STRANDED, META_REISSUE, META_REISSUED)))


def test_it_wakes_for_what_is_parked_and_for_what_is_to_be_said() -> None:
    stage = Stage()
    replica = stage.node.replica
    assert replica.wake_mono_ms is None
    replica.reissue.due_ms = 70
    assert replica.wake_mono_ms == 70
    far = stage.node.now.wall_ms + SKEW_MS_MAX + 50
    stage.node.receive([stage.bob.data(put(stage.task, "f", 2), hlc=pack(far, 0))])
    assert replica.wake_mono_ms == stage.node.now.mono_ms + 50
    replica.reissue.due_ms = 30
    assert replica.wake_mono_ms == 30
    replica.reissue.due_ms = None
    later = Now(stage.node.now.mono_ms + 7, stage.node.now.wall_ms + 20)
    replica.look_at_clocks(later)
    assert replica.wake_mono_ms == later.mono_ms + 30
    assert replica.wake(later) == []
    due = Now(later.mono_ms + 30, later.wall_ms + 30)
    assert [type(effect) for effect in replica.wake(due)] == [Persist, Emit]
    assert replica.wake_mono_ms is None


# A home that recovers.


def recovering(desk: Desk, *kept: Entry) -> Node:
    metas = [PutMeta(META_RECOVER, WAIT_FOR_ALL)]
    if kept:
        metas.append(PutMeta(META_KEPT, encode_kept(kept)))
    desk.node.store.commit(metas)
    desk.node.reload()
    return desk.node


@pytest.mark.parametrize("came_back", [False, True])
def test_a_home_that_recovers_says_for_whom_it_waits_and_then_goes_on(came_back: bool) -> None:
    desk = Desk()
    kept = Hand(desk.bob.signer, desk.mesh, desk.bob.leaf)
    own = desk.node.log()[-1]
    kept.tips[LANE_DATA] = (own.header.seq, own.id, own.header.hlc)
    with_row(desk)
    (row,) = desk.node.replica.pending.of_node(desk.task)
    more = kept.data(inc(desk.task, "n", 5), hlc=row.hlc)
    node = recovering(desk, *(() if came_back else (more,)))
    replica = node.replica
    node.run(replica.finish())
    assert replica.writer.blocked.endswith(
        f"{desk.root.author.hex()[:8]} to say what they hold of its log"
    )
    if came_back:
        node.receive([more])
    head = (more if came_back else own).signed_header
    assert replica.check_heads([None, head], desk.root.author) == ""
    effects = replica.finish()
    node.run(effects)
    assert replica.writer.blocked == ""
    assert [effect.event for effect in effects if isinstance(effect, Log)] == ["node.recovered"]
    assert entries_of(effects) == replica.take_fresh() == ([] if came_back else [more])
    cell = replica.store.cell(desk.task, (0, "n", COUNTER))
    assert isinstance(cell, CounterCell) and cell.total == 5
    assert replica.port.own_heads(desk.bob.author)[1] == more.header.seq
    # A row of which the log that came back has a later write was sealed before it was found.
    assert replica.counts()["pending"] == len(node.store.pending()) == (not came_back)
    assert replica.pending.due_ms == (None if came_back else 0)
    assert replica.finish() == []
    node.reload()
    assert not node.replica.recovery.is_active
    assert node.replica.writer.blocked == ""


def test_two_logs_of_one_home_are_told_apart_for_good() -> None:
    desk = Desk()
    node = recovering(desk)
    other = Hand(desk.bob.signer, desk.mesh, desk.bob.leaf).data(put(desk.task, "f", 1))
    assert node.replica.check_heads([None, other.signed_header], desk.root.author) == RESTORED
    assert node.replica.writer.blocked == PARTED
    node.run(node.replica.finish())
    assert node.replica.writer.blocked == PARTED, "no sentence takes its place"
    assert node.store.meta(META_BLOCKED) == PARTED.encode()


def test_a_home_whose_peers_know_more_stops_once() -> None:
    desk = Desk()
    replica = desk.node.replica
    more = Hand(desk.bob.signer, desk.mesh, desk.bob.leaf)
    own = desk.node.log()[-1]
    more.tips[LANE_DATA] = (own.header.seq, own.id, own.header.hlc)
    entries = [more.data(put(desk.task, "f", at)) for at in range(2)]
    for number, entry in enumerate(entries):
        _, effects, _ = replica.receive([entry.encode()], desk.node.now)
        desk.node.run(effects)
        stops = [e for e in effects if isinstance(e, Log) and e.event == "home.restored"]
        assert len(stops) == (number == 0)
    assert replica.writer.blocked == RESTORED
    assert desk.node.store.meta(META_BLOCKED) == RESTORED.encode()
    desk.node.reload()
    assert desk.node.replica.writer.blocked == RESTORED


# Its own snapshot.


def test_a_snapshot_is_made_when_enough_has_come() -> None:
    stage = Stage()
    replica = stage.node.replica
    assert replica.snapshot() == []
    last = replica.table.last
    assert last < SNAPSHOT_ENTRIES
    assert replica.snapshot(least=last + 1) == []
    (persist,) = replica.snapshot(least=last)
    assert isinstance(persist, Persist)
    (record,) = persist.records
    assert isinstance(record, PutSnapshot) and record.n == last
    stage.node.run([persist])
    assert replica.snapshot(least=1) == []
    stage.node.reload()
    assert stage.node.replica.snapshot_n == last
    stage.node.receive([stage.bob.data(put(stage.task, "f", 2))])
    assert len(stage.node.replica.snapshot(least=1)) == 1


# Parts that few meshes ever need.


def test_births_that_only_an_uncovered_own_entry_stated_are_forgotten() -> None:
    stage = Stage()
    twin = stage.bob.twin()
    born = create(stage.top, shared=b"stray")
    stray, rival = stage.bob.data(born), twin.data(put(stage.task, "f", 1))
    stage.node.receive([stray, rival])
    held = stage.node.replica.held
    n = held.table.number[stray.id]
    held.table.required[n] = 1
    held.fold.learn_birth(born.node, born.payload)  # type: ignore[arg-type]
    held.cover(n)
    assert held.table.required[n] == 0
    assert born.node == worknode_id(stage.top, 1, b"stray")
    assert born.node not in held.store.births
    first = held.table.number[stage.first.id]
    assert held.cover(first) == set()
    assert held.table.required[first] == 1


def test_what_is_expected_is_bounded_and_the_oldest_is_forgotten() -> None:
    held = Stage().node.replica.held
    ids = [at.to_bytes(32, "big") for at in range(EXPECTED_MAX + 1)]
    held.expect(ids[:-1])
    held.expect(ids[:1])
    assert len(held.expected) == EXPECTED_MAX
    held.expect(ids[-1:])
    assert ids[1] not in held.expected
    assert list(held.expected)[-2:] == [ids[0], ids[-1]]


def test_a_log_is_placed_in_parts() -> None:
    stage = Stage()
    first, second, third = (stage.bob.data(put(stage.task, "f", at)) for at in range(3))
    log = PlacedLog(stage.node.replica.held.ledger)
    log.take([third])
    log.take([second])
    assert (log.placed, log.left) == ([], [third, second])
    log.take([second, first])
    assert log.placed == [first, second]
    assert log.left == [third, second]
