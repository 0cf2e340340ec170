"""Reconciliation between honest nodes: they converge, and it costs what was promised."""

from __future__ import annotations

import random

import pytest

from capability.entry import Entry
from mesh.core.effects import Send
from mesh.core.inputs import Now
from mesh.core.limits import REPAIR_INTERVAL_MS, WINDOW_BYTES
from mesh.gossip.limits import SETTLE_MS
from mesh.gossip.messages import (
    Entries,
    ForkProof,
    Get,
    NeedFull,
    Push,
    Range,
    Roots,
    RootsReply,
    Rows,
)
from mesh.gossip.reconcile import ForkFound, Outcome, Reconcile
from mesh.wire import decode_message, encode_message
from tests.mesh.gossip.world import FakeReplica, World, chain, name

AUTHORS = [name(i) for i in range(12)]
ALL = [(author, lane) for author in AUTHORS for lane in (0, 1)]


def some_prefixes(rng: random.Random, full: list[list[Entry]]) -> list[list[Entry]]:
    return [entries[: rng.randint(0, len(entries))] for entries in full]


@pytest.mark.parametrize("seed", range(25))
def test_two_diverged_nodes_converge_without_time_passing(seed: int) -> None:
    rng = random.Random(seed)
    full = [chain(author, rng.randint(0, 9), lane=lane) for author, lane in ALL]
    world = World(
        seed=seed,
        a=FakeReplica(*some_prefixes(rng, full)),
        b=FakeReplica(*some_prefixes(rng, full)),
    )
    world.connect("a", "b")
    world.settle()
    assert world.in_sync()
    assert len(world.sent) <= 20


@pytest.mark.parametrize("seed", range(15))
def test_a_line_of_three_converges(seed: int) -> None:
    rng = random.Random(seed)
    full = [chain(author, rng.randint(0, 9), lane=lane) for author, lane in ALL]
    parts = {label: FakeReplica(*some_prefixes(rng, full)) for label in "abc"}
    world = World(seed=seed, **parts)
    world.connect("a", "b")
    world.connect("b", "c")
    world.run_until(world.in_sync, for_ms=4 * REPAIR_INTERVAL_MS)


@pytest.mark.parametrize("seed", range(10))
def test_a_triangle_asks_for_no_entry_twice(seed: int) -> None:
    full = [chain(author, 20, lane=1, size=500) for author in AUTHORS]
    world = World(seed=seed, a=FakeReplica(*full), b=FakeReplica(), c=FakeReplica(*full))
    for one, two in (("a", "b"), ("b", "c"), ("a", "c")):
        world.connect(one, two)
    world.run_until(world.in_sync, for_ms=2 * REPAIR_INTERVAL_MS)
    got = [e for _, m, _ in world.sent if isinstance(m, Entries) for e in m.entries]
    assert len(got) == len(set(got)) == 12 * 20


def test_proofs_go_before_questions_and_questions_before_the_answer() -> None:
    left, right = chain(AUTHORS[0], 1, mark=b"l"), chain(AUTHORS[0], 1, mark=b"r")
    halves = sorted((left[0].signed_header, right[0].signed_header), key=lambda half: half.id)
    replica = FakeReplica(left, chain(AUTHORS[1], 1))
    replica.add_proof(ForkFound(*halves))
    machine = Reconcile(name("b"), replica, encode_message)
    now = Now(0, 0)
    machine.link_ready(1, name("a"), b"r" * 32, b"r" * 32, now)
    theirs = FakeReplica(right, chain(AUTHORS[2], 2, lane=0), chain(AUTHORS[2], 2))
    rows = Rows(2, b"", 0, True, (*theirs.rows(0), *theirs.rows(1)))
    ranges = tuple(Range(AUTHORS[2], lane, 1, 2) for lane in (0, 1))
    answer = (replica.row(AUTHORS[0], 1), replica.row(AUTHORS[1], 1))
    assert machine.handle(1, rows, now) == Outcome(
        [
            Send(1, encode_message(ForkProof(*halves))),
            Send(1, encode_message(Get(1, ranges, WINDOW_BYTES))),
            Send(1, encode_message(Rows(2, b"", 0, True, answer))),
        ]
    )


def test_one_way_repair_asks_for_roots_once() -> None:
    world = World(a=FakeReplica(chain(AUTHORS[0], 5)), b=FakeReplica())
    world.connect("a", "b")
    world.settle()
    assert world.in_sync()
    assert world.count() == {"Rows": 2, "Get": 1, "Entries": 1, "Roots": 1, "RootsReply": 1}


def test_equal_nodes_say_little() -> None:
    full = [chain(author, 3) for author in AUTHORS]
    world = World(a=FakeReplica(*full), b=FakeReplica(*full))
    world.connect("a", "b")
    world.run(for_ms=0)
    start, ticks = len(world.sent), 20
    world.run(for_ms=ticks * REPAIR_INTERVAL_MS)
    assert world.in_sync()
    assert world.count(start) == {"Roots": ticks, "RootsReply": ticks}
    for label in "ab":
        assert world.bytes_of(label, start) <= 100 * ticks


def test_after_a_common_root_only_moved_rows_are_sent() -> None:
    full = [chain(author, 3) for author in AUTHORS]
    world = World(a=FakeReplica(*full), b=FakeReplica(*full))
    world.connect("a", "b")
    world.settle()
    for author in AUTHORS[:2]:
        world.peers["a"].replica.take(chain(author, 4)[-1])
    world.peers["b"].replica.take(chain(AUTHORS[5], 4)[-1])
    start = len(world.sent)
    world.run_until(world.in_sync, for_ms=2 * REPAIR_INTERVAL_MS)
    rows = [m for _, m, _ in world.sent[start:] if isinstance(m, Rows)]
    assert all(message.base for message in rows)
    assert sum(len(message.rows) for message in rows) == 3
    assert sum(size for _, m, size in world.sent[start:] if isinstance(m, Rows)) <= 3 * 80 + 2 * 50


def test_a_base_that_the_peer_forgot_costs_one_question() -> None:
    full = [chain(author, 3) for author in AUTHORS]
    world = World(a=FakeReplica(*full), b=FakeReplica(*full))
    link = world.connect("a", "b")
    world.settle()
    world.cut(link)
    again = world.peers["b"]
    again.reconcile = Reconcile(again.key, again.replica, encode_message)
    again.replica.take(chain(AUTHORS[0], 4)[-1])
    start = len(world.sent)
    world.connect("a", "b")
    world.settle()
    assert world.in_sync()
    assert world.count(start)["NeedFull"] == 1


def test_one_window_is_under_way_and_each_entry_comes_once() -> None:
    full = chain(AUTHORS[0], 40, size=60_000)
    world = World(a=FakeReplica(), b=FakeReplica(full))
    world.connect("a", "b")
    under_way = most = 0
    seen = 0
    while world.step():
        for _, message, size in world.sent[seen:]:
            under_way += isinstance(message, Get) - isinstance(message, Entries)
            assert not isinstance(message, Entries) or size <= WINDOW_BYTES + 61_000
        seen = len(world.sent)
        most = max(most, under_way)
    assert world.in_sync()
    assert most == 1
    got = [e for _, m, _ in world.sent if isinstance(m, Entries) for e in m.entries]
    assert len(got) == len(set(got)) == 40


def test_ten_interruptions_cost_at_most_a_window_each() -> None:
    full = chain(AUTHORS[0], 120, size=30_000)
    world = World(a=FakeReplica(), b=FakeReplica(full))
    link = world.connect("a", "b")
    for _ in range(10):
        while not isinstance(world.sent[-1][1], Entries):
            assert world.step()
        world.cut(link)
        link = world.connect("a", "b")
        assert world.step()
        assert world.step()
        while not isinstance(world.sent[-1][1], Entries):
            assert world.step()
        assert world.step()
    world.settle()
    assert world.in_sync()
    total = sum(size for _, m, size in world.sent if isinstance(m, Entries))
    assert total <= 120 * 30_300 + 10 * WINDOW_BYTES


def test_authority_comes_before_data() -> None:
    lanes = [chain(AUTHORS[i], 3, lane=lane) for i in range(3) for lane in (0, 1)]
    world = World(b=FakeReplica(), c=FakeReplica(*lanes))
    world.connect("b", "c")
    world.settle()
    order = [lane for _, lane, _ in world.peers["b"].held]
    assert order == sorted(order)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("common", "one", "two"), [(0, 1, 1), (5, 3, 3), (40, 1, 60), (300, 9, 2)])
def test_a_fork_ends_in_the_same_proof_on_both_sides(
    seed: int, common: int, one: int, two: int
) -> None:
    base = chain(AUTHORS[0], common)
    left = chain(AUTHORS[0], one, after=base, mark=b"l")
    right = chain(AUTHORS[0], two, after=base, mark=b"r")
    world = World(seed=seed, a=FakeReplica(left), b=FakeReplica(right))
    world.connect("a", "b")
    world.settle()
    assert world.in_sync()
    rows = [world.peers[label].replica.row(AUTHORS[0], 1) for label in "ab"]
    assert rows[0] == rows[1]
    assert rows[0].seq == common
    assert rows[0].proof


@pytest.mark.parametrize("seed", range(6))
def test_a_fork_that_one_side_knows_is_not_fetched_beyond(seed: int) -> None:
    base = chain(AUTHORS[0], 10)
    left = chain(AUTHORS[0], 1, after=base, mark=b"l")
    right = chain(AUTHORS[0], 9, after=base, mark=b"r")
    halves = sorted((left[10].signed_header, right[10].signed_header), key=lambda half: half.id)
    for knows, other in (("a", "b"), ("b", "a")):
        # It knows the fork from a proof alone.
        replica = FakeReplica(base)
        replica.add_proof(ForkFound(*halves))
        world = World(seed=seed, **{knows: replica, other: FakeReplica(right)})
        world.connect("a", "b")
        world.settle()
        assert world.in_sync()
        assert world.peers[knows].logs == []
        gets = [m.ranges for _, m, _ in world.sent if isinstance(m, Get)]
        assert gets == []


def test_three_branches_on_a_line_end_in_the_canonical_proof() -> None:
    base = chain(AUTHORS[0], 4)
    branches = {
        label: FakeReplica(chain(AUTHORS[0], n, after=base[:n], mark=label.encode()))
        for label, n in (("a", 4), ("b", 3), ("c", 4))
    }
    world = World(seed=3, **branches)
    world.connect("a", "b")
    world.connect("b", "c")
    world.run_until(world.in_sync, for_ms=8 * REPAIR_INTERVAL_MS)
    assert len({peer.replica.row(AUTHORS[0], 1).proof for peer in world.peers.values()}) == 1


def test_a_proof_goes_over_each_link_at_most_once() -> None:
    base = chain(AUTHORS[0], 4)
    left = FakeReplica(chain(AUTHORS[0], 2, after=base, mark=b"l"))
    right = FakeReplica(chain(AUTHORS[0], 2, after=base, mark=b"r"))
    world = World(a=left, b=right, c=FakeReplica(base))
    for one, two in (("a", "b"), ("b", "c"), ("a", "c")):
        world.connect(one, two)
    world.run_until(world.in_sync, for_ms=4 * REPAIR_INTERVAL_MS)
    proofs = [label for label, m, _ in world.sent if isinstance(m, ForkProof)]
    assert len(proofs) <= 6


def test_a_pushed_entry_after_a_gap_asks_for_the_gap_at_once() -> None:
    full = chain(AUTHORS[0], 6)
    world = World(a=FakeReplica(full[:2]), b=FakeReplica(full[:2]))
    link = world.connect("a", "b")
    world.settle()
    for entry in full[2:]:
        world.peers["b"].replica.take(entry)
    world.execute("b", [Send(link, encode_message(Push((full[5].encode(),))))])
    start = len(world.sent)
    world.settle()
    gets = [m for _, m, _ in world.sent[start:] if isinstance(m, Get)]
    assert gets[0].ranges == (Range(AUTHORS[0], 1, 3, 5),)
    world.run_until(world.in_sync, for_ms=2 * REPAIR_INTERVAL_MS)


def test_more_rows_than_a_part_holds_are_compared_whole() -> None:
    many = [chain(name(f"n{i}"), 1) for i in range(1_500)]
    world = World(a=FakeReplica(*many[:1_000]), b=FakeReplica(*many[500:]))
    world.connect("a", "b")
    world.settle()
    assert world.in_sync()
    parts = [m for label, m, _ in world.sent if isinstance(m, Rows) and label == "a"]
    assert [part.part for part in parts] == [0, 1]


def test_a_blocked_link_answers_when_it_drains() -> None:
    full = chain(AUTHORS[0], 3)
    machine = Reconcile(name("b"), FakeReplica(full), encode_message)
    now = Now(0, 0)
    assert machine.link_ready(1, name("a"), b"r" * 32, b"r" * 32, now) == []
    machine.blocked(1)
    get = Get(9, (Range(AUTHORS[0], 1, 2, 3),), 1 << 20)
    assert machine.handle(1, get, now) == Outcome([])
    answer = Entries(9, tuple(entry.encode() for entry in full[1:]), done=True)
    assert machine.drained(1, now) == [Send(1, encode_message(answer))]
    assert machine.drained(1, now) == []


def test_the_higher_key_waits_for_the_lower_one_to_begin() -> None:
    replica = FakeReplica(chain(AUTHORS[0], 1))
    now = Now(0, 0)
    low = Reconcile(name("a"), replica, encode_message)
    high = Reconcile(name("b"), replica, encode_message)
    rows = Rows(2, b"", 0, True, tuple(replica.rows(1)))
    assert low.link_ready(1, name("b"), b"r" * 32, b"r" * 32, now) == [
        Send(1, encode_message(rows))
    ]
    assert high.link_ready(1, name("a"), b"r" * 32, b"r" * 32, now) == []
    later = Now(REPAIR_INTERVAL_MS * 5 // 4, 0)
    assert high.deadline == later.mono_ms
    assert high.tick(later) == [Send(1, encode_message(Roots(*replica.roots(), 1)))]


def test_in_sync_needs_digests_and_ends_with_a_change() -> None:
    replica = FakeReplica()
    machine = Reconcile(name("a"), replica, encode_message)
    asked = machine.link_ready(1, name("b"), *replica.roots(), Now(0, 0))
    assert asked == [Send(1, encode_message(Roots(*replica.roots(), 1)))]
    assert not machine.status()[0].in_sync
    reply = RootsReply(*replica.roots(), 1, equal=True)
    assert machine.handle(1, reply, Now(5, 77)) == Outcome([])
    assert machine.status()[0].in_sync
    assert machine.status()[0].compared_ms == 77
    replica.take(chain(AUTHORS[0], 1)[0])
    assert not machine.status()[0].in_sync


def test_who_is_asked_compares_for_itself() -> None:
    replica = FakeReplica()
    machine = Reconcile(name("a"), replica, encode_message)
    machine.link_ready(1, name("b"), *replica.roots(), Now(0, 0))
    machine.handle(1, RootsReply(*replica.roots(), 1, equal=True), Now(5, 77))
    assert machine.status()[0].in_sync
    for roots in ((b"r" * 32, b"r" * 32), (b"r" * 32, replica.roots()[1])):
        answer = machine.handle(1, Roots(*roots, 9), Now(6, 78))
        assert answer == Outcome([Send(1, encode_message(RootsReply(*replica.roots(), 9, False)))])
        assert not machine.status()[0].in_sync
    machine.handle(1, Roots(*replica.roots(), 9), Now(7, 79))
    assert machine.status()[0].in_sync
    assert machine.status()[0].compared_ms == 79


def test_sync_now_asks_every_link() -> None:
    replica = FakeReplica()
    machine = Reconcile(name("x"), replica, encode_message)
    for link in (2, 1):
        machine.link_ready(link, name(link), *replica.roots(), Now(0, 0))
    assert machine.sync_now(Now(9, 9)) == [
        Send(link, encode_message(Roots(*replica.roots(), 1))) for link in (1, 2)
    ]


def test_sync_now_does_not_answer_with_what_was_found_before() -> None:
    entries = chain(AUTHORS[0], 2)
    world = World(a=FakeReplica(entries[:1]), b=FakeReplica(entries[:1]))
    world.connect("a", "b")
    world.run_until(world.in_sync, for_ms=2 * REPAIR_INTERVAL_MS)
    asker = world.peers["b"].reconcile
    # What the peer holds since then has been pushed to nobody.
    assert world.peers["a"].replica.take(entries[1]) == "held"
    world.execute("b", asker.sync_now(world.now))
    assert not asker.status()[0].in_sync, "the peer has not said anything yet"
    world.settle()
    assert asker.status()[0].in_sync
    assert world.equal()


def decode(effect: object) -> object:
    assert isinstance(effect, Send)
    return decode_message(effect.data, size_max=1 << 20)


def test_need_full_for_another_exchange_is_void() -> None:
    machine = Reconcile(name("a"), FakeReplica(), encode_message)
    machine.link_ready(1, name("b"), b"r" * 32, b"r" * 32, Now(0, 0))
    assert machine.handle(1, NeedFull(77), Now(0, 0)) == Outcome([])


def test_what_was_pushed_is_known_to_be_equal_soon_after_it_is_quiet() -> None:
    author = AUTHORS[0]
    entries = chain(author, 8, lane=1)
    world = World(a=FakeReplica(entries[:1]), b=FakeReplica(entries[:1]))
    link = world.connect("a", "b")
    world.push_on(link)
    world.settle()
    start = len(world.sent)
    for entry in entries[1:]:
        world.write("a", entry)
        world.settle()
        for peer in world.peers.values():
            peer.reconcile.moved(world.now)
        world.now_ms += SETTLE_MS // 4
    assert not world.in_sync()
    world.run_until(world.in_sync, for_ms=2 * SETTLE_MS)
    assert world.count(start) == {"Push": 7, "Roots": 1, "RootsReply": 1}
