"""What was announced and has not come: one timer for each lane, and bounds on all of it."""

from __future__ import annotations

from mesh.core.effects import Send
from mesh.core.limits import MESSAGE_BYTES_MAX
from mesh.gossip.awaited import Ask, Awaited
from mesh.gossip.limits import (
    ANNOUNCED_MAX,
    AWAITED_MAX,
    GRAFT_MS,
    GRAFTS_MAX,
    HAVE_AUTHORS_MAX,
    HAVES_MAX,
    REGRAFT_MS,
    TREES_MAX,
)
from mesh.gossip.messages import Have, Held, Prune
from mesh.gossip.tree import Lane, Link, haves
from mesh.wire import decode_message, encode_message
from tests.mesh.gossip.lone import A, Node
from tests.mesh.gossip.world import chain, name

LANE = (A, 1)


def lane(number: int) -> Lane:
    return number.to_bytes(32, "big"), 1


def ask(awaited: Awaited, now_ms: int, seq: int = 0) -> tuple[list[Ask], list[int]]:
    return awaited.due(now_ms, lambda _: seq, lambda _: (False, 0))


def test_a_link_may_announce_so_many_lanes_and_its_end_frees_them() -> None:
    awaited = Awaited()
    for number in range(AWAITED_MAX + 5):
        awaited.announced(1, lane(number), 1, 0, 0, at_once=False)
    assert len(awaited) == AWAITED_MAX
    # Another link's are its own, and a lane that is known already takes no room.
    awaited.announced(2, lane(AWAITED_MAX), 1, 0, 0, at_once=False)
    awaited.announced(1, lane(0), 9, 0, 0, at_once=False)
    assert len(awaited) == AWAITED_MAX + 1
    awaited.closed(1)
    assert len(awaited) == 1
    awaited.closed(2)
    assert awaited.deadline is None


def test_so_many_are_asked_for_at_once_and_the_rest_right_after() -> None:
    awaited = Awaited()
    for number in range(GRAFTS_MAX + 1):
        awaited.announced(1, lane(number), 1, 0, 0, at_once=False)
    asks, _ = ask(awaited, GRAFT_MS)
    assert [item.lane for item in asks] == [lane(number) for number in range(GRAFTS_MAX)]
    assert awaited.deadline == GRAFT_MS
    assert ask(awaited, GRAFT_MS) == ([Ask(1, lane(GRAFTS_MAX), 0, 0)], [])
    assert awaited.deadline == GRAFT_MS + REGRAFT_MS


def test_a_later_announcement_does_not_put_off_the_first() -> None:
    awaited = Awaited()
    awaited.announced(1, LANE, 1, 4, 0, at_once=False)
    awaited.announced(1, LANE, 2, 2, GRAFT_MS - 1, at_once=False)
    assert ask(awaited, GRAFT_MS) == ([Ask(1, LANE, 0, 2)], [])


def test_what_came_by_repair_counts_as_come() -> None:
    awaited = Awaited()
    awaited.announced(1, LANE, 3, 0, 0, at_once=False)
    awaited.announced(1, LANE, 5, 0, 100, at_once=False)
    # Up to 4 it is here: the fifth has its own time, from when it was announced.
    assert ask(awaited, GRAFT_MS, seq=4) == ([], [])
    assert awaited.deadline == GRAFT_MS + 100
    assert ask(awaited, GRAFT_MS + 100, seq=5) == ([], [])
    assert awaited.deadline is None


def test_who_answers_in_part_is_asked_for_the_rest() -> None:
    awaited = Awaited()
    awaited.announced(1, LANE, 9, 0, 0, at_once=True)
    assert ask(awaited, 0) == ([Ask(1, LANE, 0, 0)], [])
    for seq in (1, 2, 3):
        assert awaited.arrived(LANE, seq) == ((0, 1) if seq == 9 else None)
    assert ask(awaited, GRAFT_MS, seq=3) == ([Ask(1, LANE, 3, 0)], [])


def test_an_older_announcement_takes_nothing_back() -> None:
    awaited = Awaited()
    awaited.announced(1, LANE, 5, 1, 0, at_once=False)
    awaited.announced(1, LANE, 2, 9, 1, at_once=False)
    assert ask(awaited, GRAFT_MS, seq=3) == ([Ask(1, LANE, 3, 1)], [])


def test_when_the_one_that_was_asked_is_gone_the_next_is_asked() -> None:
    awaited = Awaited()
    awaited.announced(1, LANE, 1, 0, 0, at_once=True)
    awaited.announced(2, LANE, 1, 0, 0, at_once=True)
    assert ask(awaited, 0) == ([Ask(1, LANE, 0, 0)], [])
    awaited.closed(1)
    assert awaited.deadline == 0
    assert ask(awaited, 0) == ([Ask(2, LANE, 0, 0)], [])


def test_an_answer_that_brings_nothing_strikes_the_announcer_out() -> None:
    awaited = Awaited()
    awaited.announced(1, LANE, 9, 0, 0, at_once=True)
    ask(awaited, 0)
    assert ask(awaited, REGRAFT_MS) == ([], [1])
    assert (len(awaited), awaited.deadline) == (0, None)
    assert awaited.arrived(LANE, 9) is None


def test_announcements_that_wait_are_bounded_and_leave_in_messages_that_are() -> None:
    link = Link(ready=True)
    for number in range(ANNOUNCED_MAX + 1):
        link.announcements.add(lane(number), 1, 0)
    messages = [have for _, have in haves({1: link}, 0)]
    assert [len(have.held) for have in messages] == [HAVES_MAX] * (ANNOUNCED_MAX // HAVES_MAX)
    named: dict[int, bytes] = {}
    heard = []
    for have in messages:
        # As it is read at the other end: numbers are given anew when they have run out.
        assert decode_message(encode_message(have), size_max=MESSAGE_BYTES_MAX) == have
        named |= dict(enumerate(have.authors, have.first))
        heard += [named[item.number] for item in have.held]
    assert max(named) < HAVE_AUTHORS_MAX
    assert sorted(heard) == [lane(number)[0] for number in range(1, ANNOUNCED_MAX + 1)]
    assert list(haves({1: link}, 0)) == []


def test_two_lanes_of_one_author_have_one_number() -> None:
    link = Link(ready=True)
    for where in ((A, 1), (A, 0)):
        link.announcements.add(where, 7, 1)
    (have,) = (have for _, have in haves({1: link}, 0))
    assert have == Have(0, (A,), (Held(0, 0, 7, 1), Held(0, 1, 7, 1)))


def test_what_is_remembered_of_authors_is_bounded() -> None:
    node = Node(1, 2)
    for number in range(TREES_MAX + 1):
        node.machine.handle(1, Prune((lane(number)[0],)), node.now)
    # The author pruned first is the one that was forgotten: he is pushed again.
    (first,), (last,) = chain(lane(0)[0], 1), chain(lane(TREES_MAX)[0], 1)
    assert [type(effect) for effect in node.take(2, first)] == [Send]
    assert node.take(2, last) == []
    state = node.machine._links[1]
    for number in range(TREES_MAX + 1):
        state.refuse(lane(number)[0])
    assert len(state.refused) == len(state.eager) == TREES_MAX


def test_nobody_is_blamed_for_a_question_that_could_not_leave() -> None:
    node = Node(1, 2)
    for author in (name("x"), name("y")):
        node.tell(1, Have(0, (author,), (Held(0, 1, 4, 0),)))
        node.wait(0)
        node.machine.blocked(1)
        node.wait(REGRAFT_MS)
        node.machine.drained(1, node.now)
    assert node.machine._links[1].unanswered == 0
