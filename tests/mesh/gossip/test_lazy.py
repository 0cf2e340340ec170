"""The lazy half of the push: announcements, what is missing, grafts; clause by clause."""

from __future__ import annotations

from mesh.gossip.bisect import ForkFound
from mesh.gossip.limits import (
    GRAFT_MS,
    HAVE_DELAY_MS,
    HAVE_LINKS_MAX,
    OPTIMIZE_HOPS_MIN,
    REGRAFT_MS,
    UNANSWERED_MAX,
)
from mesh.gossip.messages import Graft, Have, Held, Missed, Prune
from tests.mesh.gossip.lone import ME, A, B, Node, graft, have, known_by_push, push, said, say
from tests.mesh.gossip.world import chain, name

# -- lazy push (algorithm 1, "lazyPush" and "dispatch")


def test_announcements_gather_for_a_while_and_say_the_last_number_of_a_lane() -> None:
    node = Node(1, 2)
    mine, others = chain(ME, 3), chain(A, 2, lane=0)
    node.tell(1, Prune(tuple(sorted((A, ME)))))
    node.write(mine[0])
    start_ms = node.now_ms
    assert node.machine.deadline == start_ms + HAVE_DELAY_MS
    assert node.wait(HAVE_DELAY_MS - 1) == []
    node.write(*mine[1:])
    node.take(2, *others, hops=3)
    assert node.machine.deadline == start_ms + HAVE_DELAY_MS
    held = (Held(0, 1, 3, 0), Held(1, 0, 2, 4))
    assert node.wait(1) == [say(1, Have(0, (ME, A), held))]
    assert node.machine.deadline is None


def test_an_author_is_named_once_per_link() -> None:
    node, mine = Node(1), chain(ME, 3)
    node.tell(1, Prune((ME,)))
    node.write(mine[0])
    assert node.wait_for_deadline() == [say(1, have(ME, 1))]
    node.write(mine[1])
    assert node.wait_for_deadline() == [say(1, Have(0, (), (Held(0, 1, 2, 0),)))]
    # After a full send buffer nobody knows what was lost: all are named anew.
    node.machine.blocked(1)
    node.machine.drained(1, node.now)
    node.write(mine[2])
    assert node.wait_for_deadline() == [say(1, have(ME, 3))]


def test_who_has_announced_it_first_is_spared_the_announcement() -> None:
    node, (entry,) = Node(1, 2), chain(A, 1)
    node.tell(2, Prune((A,)))
    node.take(1, entry)
    assert node.tell(2, have(A, 1)) == []
    assert node.wait_for_deadline() == []
    assert node.machine.deadline is None


def test_an_entry_is_announced_on_so_many_links_and_the_next_on_others() -> None:
    links = range(1, HAVE_LINKS_MAX + 4)
    node, entries = Node(*links), chain(ME, len(links))
    for link in links:
        node.tell(link, Prune((ME,)))
    told = set()
    for entry in entries:
        node.write(entry)
        effects = said(node.wait_for_deadline())
        assert len(effects) == HAVE_LINKS_MAX
        told |= {link for link, _ in effects}
    assert told == set(links)


# -- missing entries (algorithm 2, "Receive IHAVE" and "Timer")


def test_what_is_announced_and_comes_in_time_is_not_asked_for() -> None:
    node, entries = known_by_push(1, 2)
    assert node.tell(2, have(A, 2, hops=3)) == []
    assert node.machine.deadline == node.now_ms + GRAFT_MS
    node.take(1, entries[1], hops=2)
    assert node.machine.deadline is None
    assert node.tell(2, Have(0, (), (Held(0, 1, 2, 3),))) == []
    assert node.machine.deadline is None


def test_what_does_not_come_is_grafted_from_its_announcer() -> None:
    node, entries = known_by_push(1, 2, 3)
    node.tell(2, have(A, 2, hops=3))
    assert node.wait(GRAFT_MS - 1) == []
    assert node.wait(1) == [graft(2, A, after=1)]
    # The announcer is eager now in both directions (algorithm 2, line 12).
    assert node.take(2, entries[1], hops=3) == [
        push(1, entries[1], hops=4),
        push(3, entries[1], hops=4),
    ]
    assert node.machine.deadline is None
    assert node.take(1, entries[1], hops=2) == [say(1, Prune((A,)))]


def test_a_steady_stream_that_is_always_under_way_is_not_asked_for() -> None:
    node, entries = Node(1, 2), chain(A, 60)
    node.take(1, entries[0], hops=2)
    node.tell(2, have(A, 1))
    for at in range(1, 58):
        # The announcement is always one ahead of the push.
        assert node.tell(2, Have(0, (), (Held(0, 1, at + 2, 1),))) == []
        assert node.wait(20) == []
        assert graft(2, A, at) not in node.take(1, entries[at], hops=2)


def test_the_nearest_announcer_is_asked_first_and_the_others_in_turn() -> None:
    node, _ = known_by_push(1, 2, 3, 4)
    for link, hops in ((2, 5), (3, 2), (4, 2)):
        node.tell(link, have(A, 2, hops=hops))
    assert node.wait(GRAFT_MS) == [graft(3, A, after=1)]
    assert node.wait(REGRAFT_MS - 1) == []
    assert node.wait(1) == [graft(4, A, after=1)]
    assert node.wait(REGRAFT_MS) == [graft(2, A, after=1)]
    # Nobody is left: it is repair's.
    assert node.wait(REGRAFT_MS) == []
    assert node.machine.deadline is None


def test_who_did_not_answer_is_asked_after_the_others_until_it_pushes() -> None:
    node, entries = known_by_push(1, 2, 3)
    node.tell(2, have(A, 2, hops=0))
    node.wait(GRAFT_MS)
    node.wait(REGRAFT_MS)
    for link, hops in ((2, 0), (3, 9)):
        node.tell(link, have(A, 3, hops=hops))
    assert node.wait(GRAFT_MS) == [graft(3, A, after=1)]
    node.take(2, entries[1], entries[2], hops=0)
    for link, hops in ((2, 0), (3, 9)):
        node.tell(link, have(A, 4, hops=hops))
    assert node.wait(GRAFT_MS) == [graft(2, A, after=3)]


def test_where_nobody_is_expected_to_push_the_announcer_is_asked_at_once() -> None:
    node, entries = known_by_push(1, 2, 3)
    # An author who never came by push.
    node.tell(2, have(B, 4))
    assert node.machine.deadline == node.now_ms
    assert node.wait(0) == [graft(2, B, after=0)]
    # One whose link is gone.
    node.machine.closed(1)
    node.tell(3, have(A, 2))
    assert node.wait(0) == [graft(3, A, after=1)]
    # One whom the link that used to push him announces itself.
    node.take(3, entries[1])
    node.tell(3, Have(0, (), (Held(0, 1, 3, 0),)))
    assert node.wait(0) == [graft(3, A, after=2)]


def test_announcements_of_a_closed_link_are_forgotten() -> None:
    node, _ = known_by_push(1, 2, 3)
    node.tell(2, have(A, 2))
    node.tell(3, have(A, 2, hops=7))
    node.machine.closed(2)
    assert node.wait(GRAFT_MS) == [graft(3, A, after=1)]
    node.machine.closed(3)
    assert node.machine.deadline is None


def test_an_announcement_under_an_unknown_number_or_on_a_fork_means_nothing() -> None:
    node, entries = known_by_push(1, 2)
    assert node.tell(2, Have(0, (), (Held(5, 1, 9, 0),))) == []
    other = chain(A, 1, after=entries[:1], mark=b"y")[-1]
    halves = sorted((entries[1].signed_header, other.signed_header), key=lambda half: half.id)
    node.replica.add_proof(ForkFound(*halves))
    node.tell(2, have(A, 5))
    assert node.machine.deadline is None


# -- graft (algorithm 2, "Receive GRAFT")


def test_a_graft_is_answered_from_the_log_and_makes_the_link_eager() -> None:
    node, entries = Node(1, 2), chain(A, 4)
    node.take(1, *entries[:3], hops=1)
    node.tell(2, Prune((A,)))
    answer = node.tell(2, Graft((Missed(A, 1, 1),)))
    assert answer == [push(2, *entries[1:3], hops=2)]
    assert node.take(1, entries[3], hops=1) == [push(2, entries[3], hops=2)]


def test_what_was_sent_and_lost_is_sent_again_when_it_is_grafted() -> None:
    node, entries = Node(1), chain(ME, 2)
    node.write(*entries)
    assert node.tell(1, Graft((Missed(ME, 1, 0),))) == [push(1, *entries)]


def test_a_graft_of_what_is_not_held_is_answered_by_nothing_now() -> None:
    node, (entry,) = Node(1, 2), chain(B, 1)
    assert node.tell(1, Graft((Missed(B, 1, 0),))) == []
    assert node.take(2, entry) == [push(1, entry, hops=1)]


def test_what_exceeds_the_budget_of_a_graft_is_announced() -> None:
    node, entries = Node(1), chain(ME, 5, size=100_000)
    node.tell(1, Prune((ME,)))
    node.write(*entries)
    node.wait_for_deadline()
    assert node.tell(1, Graft((Missed(ME, 1, 0),))) == [push(1, *entries[:2])]
    assert node.wait_for_deadline() == [say(1, Have(0, (), (Held(0, 1, 5, 0),)))]
    assert node.tell(1, Graft((Missed(ME, 1, 2),))) == [push(1, *entries[2:4])]


# -- optimisation (section 3.8)


def test_a_much_nearer_announcer_takes_the_place_of_who_pushed() -> None:
    node, entries = known_by_push(1, 2)
    node.tell(2, have(A, 2, hops=1))
    hops = 1 + OPTIMIZE_HOPS_MIN
    assert node.take(1, entries[1], hops=hops) == [
        graft(2, A, after=2),
        say(1, Prune((A,))),
    ]
    # It is the tree's link now: what it pushes is no duplicate.
    assert node.take(2, entries[2], hops=1) == []


def test_a_little_nearer_is_not_enough() -> None:
    node, entries = known_by_push(1, 2)
    node.tell(2, have(A, 2, hops=1))
    assert (
        node.take(1, entries[1], hops=OPTIMIZE_HOPS_MIN)
        == [push(2, entries[1], hops=OPTIMIZE_HOPS_MIN + 1)][:0]
    )
    assert node.machine.deadline is None


def test_who_left_something_unanswered_does_not_lure_the_tree_away() -> None:
    node, entries = known_by_push(1, 2)
    node.tell(2, have(A, 2, hops=0))
    node.wait(GRAFT_MS)
    assert node.wait(REGRAFT_MS) == []
    node.take(1, entries[1], hops=9)
    node.tell(2, Have(0, (), (Held(0, 1, 3, 0),)))
    assert node.take(1, entries[2], hops=9) == []
    # What it writes itself pays back one question, and then its announcements count again.
    assert node.take(2, *chain(name("peer 2"), 1)) != []
    node.tell(2, Have(0, (), (Held(0, 1, 4, 0),)))
    assert graft(2, A, after=4) in node.take(1, entries[3], hops=9)


def test_every_question_that_was_left_counts_until_something_is_relayed() -> None:
    node = Node(1)
    for number in range(UNANSWERED_MAX):
        node.tell(1, have(name(number), 1, number=number))
        assert node.wait(GRAFT_MS) == [graft(1, name(number), after=0)]
        node.wait(REGRAFT_MS)
    node.tell(1, have(A, 1, number=UNANSWERED_MAX))
    assert node.machine.deadline is None
    node.take(1, *chain(B, 1), hops=1)
    node.tell(1, Have(0, (), (Held(UNANSWERED_MAX, 1, 1, 0),)))
    assert node.wait(0) == [graft(1, A, after=0)]


def test_who_was_pruned_and_is_grafted_is_the_trees_link_again() -> None:
    node, entries = known_by_push(1, 2)
    assert node.take(2, entries[0], hops=2) == [say(2, Prune((A,)))]
    node.tell(2, have(A, 2, hops=2))
    assert node.wait(GRAFT_MS) == [graft(2, A, after=1)]
    node.take(2, entries[1], hops=2)
    # Link 1 comes second now, and link 2 is not one that was pruned.
    assert node.take(1, entries[1], hops=2) == [say(1, Prune((A,)))]


def test_what_a_graft_brought_is_not_sent_again_but_what_it_lost_is() -> None:
    node, entries = Node(1, 2), chain(A, 3)
    node.take(2, *entries, hops=0)
    assert node.tell(1, Graft((Missed(A, 1, 2),))) == [push(1, entries[2], hops=1)]
    assert node.machine.new_entries(entries[2:], 2, node.now, None, [(A, 1, 3)]) == []
    assert node.tell(1, Graft((Missed(A, 1, 1),))) == [push(1, *entries[1:], hops=1)]


def test_the_budget_of_a_graft_is_for_all_its_lanes() -> None:
    node = Node(1)
    lanes = [chain(ME, 3, lane=lane, size=100_000) for lane in (0, 1)]
    for entries in lanes:
        node.write(*entries)
    missed = tuple(Missed(ME, lane, 0) for lane in (0, 1))
    assert node.tell(1, Graft(missed)) == [push(1, *lanes[0][:2]), push(1, lanes[1][0])]
    held = (Held(0, 0, 3, 0), Held(0, 1, 3, 0))
    assert node.wait_for_deadline() == [say(1, Have(0, (ME,), held))]


def test_an_announcer_with_a_full_buffer_is_asked_last() -> None:
    node, _ = known_by_push(1, 2, 3)
    node.tell(2, have(A, 2, hops=0))
    node.tell(3, have(A, 2, hops=5))
    node.machine.blocked(2)
    assert node.wait(GRAFT_MS) == [graft(3, A, after=1)]
