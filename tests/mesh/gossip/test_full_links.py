"""A link whose send buffer is full gets nothing, loses nothing, and goes on when it has drained."""

from __future__ import annotations

import pytest

from capability.frontier import FrontierRow
from mesh.core.inputs import Now
from mesh.core.limits import REPAIR_INTERVAL_MS
from mesh.gossip.exchange import CommonRoots
from mesh.gossip.limits import COMMON_ROOTS_MAX, PROOFS_KNOWN_MAX
from mesh.gossip.messages import Entries, Get, Message, NeedFull, Range, Roots, RootsReply, Rows
from mesh.gossip.reconcile import Outcome, Reconcile
from mesh.gossip.session import Session
from tests.mesh.gossip.test_hostile import AUTHOR, PEER, ROOT, lie, ready, sent
from tests.mesh.gossip.world import FakeReplica, chain, name

EMPTY = Outcome([])
NOW = Now(1, 1)


def holder(count: int = 3) -> FakeReplica:
    """A replica with some entries of one author."""
    replica = FakeReplica()
    for entry in chain(AUTHOR, count):
        assert replica.take(entry) == "held"
    return replica


def full() -> tuple[Reconcile, int]:
    """A machine that has sent its rows on link 1, which is full now."""
    machine, exchange = ready(holder())
    machine.blocked(1)
    return machine, exchange


def compare(machine: Reconcile, now: Now) -> list[Message]:
    """What is sent when it is time to compare again."""
    assert machine.deadline is not None and machine.deadline <= now.mono_ms
    return sent(machine.tick(now))


@pytest.mark.parametrize(
    "message",
    [
        Roots(ROOT, ROOT, 7),
        Rows(1, b"", 0, True, ()),
        Rows(1, b"", 0, False, (lie(1),)),
        Get(9, (Range(AUTHOR, 1, 1, 3),), 1 << 20),
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_a_peer_asks_is_not_answered_into_a_full_link(message: Message) -> None:
    machine, _ = full()
    assert machine.handle(1, message, NOW) == EMPTY


def test_a_question_waits_and_is_answered_when_the_link_has_drained() -> None:
    machine, _ = full()
    machine.handle(1, Get(9, (Range(AUTHOR, 1, 1, 3),), 1 << 20), NOW)
    (answer,) = sent(machine.drained(1, NOW))
    assert isinstance(answer, Entries)
    assert answer.request == 9 and len(answer.entries) == 3
    assert sent(machine.drained(1, NOW)) == []


def test_what_a_peer_has_more_is_noted_and_asked_for_when_the_link_has_drained() -> None:
    machine, exchange = full()
    row = FrontierRow(lie(1).author, 1, 5, ROOT, b"")
    assert machine.handle(1, Rows(exchange, b"", 0, True, (row,)), NOW) == EMPTY
    (get,) = sent(machine.drained(1, NOW))
    assert isinstance(get, Get)
    assert get.ranges == (Range(row.author, 1, 1, 5),)


def test_nothing_is_compared_on_a_full_link_and_everything_after() -> None:
    machine, exchange = full()
    assert machine.handle(1, NeedFull(exchange), NOW) == EMPTY
    at = 20 * REPAIR_INTERVAL_MS
    assert compare(machine, Now(at, at)) == []
    machine.drained(1, Now(at, at))
    at += 20 * REPAIR_INTERVAL_MS
    (roots,) = compare(machine, Now(at, at))
    assert isinstance(roots, Roots)
    # What was refused a base is sent whole.
    reply = RootsReply(ROOT, ROOT, roots.nonce, equal=False)
    (rows,) = sent(machine.handle(1, reply, Now(at, at)).effects)
    assert isinstance(rows, Rows)
    assert rows.base == b"" and [row.seq for row in rows.rows] == [3]


def test_a_reply_that_comes_when_the_link_is_full_begins_nothing() -> None:
    machine, exchange = ready(holder())
    (roots,) = sent(machine.handle(1, Rows(exchange, b"", 0, True, ()), NOW).effects)
    assert isinstance(roots, Roots)
    machine.blocked(1)
    at = 2 * REPAIR_INTERVAL_MS
    reply = RootsReply(ROOT, ROOT, roots.nonce, equal=False)
    assert machine.handle(1, reply, Now(at, at)) == EMPTY
    machine.drained(1, Now(at, at))
    at += 20 * REPAIR_INTERVAL_MS
    assert [type(message) for message in compare(machine, Now(at, at))] == [Roots]


def test_a_link_that_is_gone_is_told_nothing() -> None:
    machine, _ = full()
    machine.link_closed(1, NOW)
    machine.blocked(1)
    assert machine.drained(1, NOW) == []
    assert machine.handle(1, Roots(ROOT, ROOT, 7), NOW) == EMPTY
    done = Entries(0, (), done=True)
    assert machine.entries_done(1, done, [(AUTHOR, 1, 1)], [((1, AUTHOR), 0)], NOW) == []


# ---- bounds of what is remembered


def test_roots_in_common_are_bounded_and_the_oldest_goes() -> None:
    common = CommonRoots()
    peers = [name(f"peer {number}") for number in range(COMMON_ROOTS_MAX + 2)]
    for version, peer in enumerate(peers):
        common.remember(peer, (peer, ROOT), version)
        # One that is confirmed again and again stays.
        common.remember(PEER, (PEER, ROOT), version)
    assert common.of_peer(peers[0]) is None
    assert common.of_peer(peers[2]) is None
    known = [peer for peer in peers if common.of_peer(peer) is not None]
    assert known == peers[3:]
    assert len(known) + 1 == COMMON_ROOTS_MAX
    found = common.of_peer(PEER)
    assert found is not None and found[1] == len(peers) - 1
    assert common.version(found[0]) == found[1]


def test_proofs_that_a_peer_knows_are_bounded_and_the_oldest_is_sent_again() -> None:
    session = Session(1, PEER, 0)
    for number in range(PROOFS_KNOWN_MAX + 3):
        session.knows_proof((1, number.to_bytes(32, "big")), b"p")
    assert len(session.proofs) == PROOFS_KNOWN_MAX
    assert next(iter(session.proofs)) == (1, (3).to_bytes(32, "big"))
