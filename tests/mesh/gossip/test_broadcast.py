"""The eager half of the push: who is pushed what, and who is pruned; clause by clause."""

from __future__ import annotations

from mesh.gossip.bisect import ForkFound
from mesh.gossip.broadcast import LinkPush
from mesh.gossip.limits import (
    BARREN_MAX,
    ENTRIES_MAX,
    HAVE_DELAY_MS,
    HOPS_MAX,
    KNOWN_LANES_MAX,
)
from mesh.gossip.messages import Graft, Missed, Prune, Push
from mesh.gossip.parcels import batches
from tests.mesh.gossip.lone import ME, A, B, C, Node, have, known_by_push, push, said, say
from tests.mesh.gossip.world import chain, name

# -- eager push


def test_own_entries_go_at_once_to_every_ready_link_in_one_message() -> None:
    node, (one, two) = Node(2, 1), chain(ME, 2)
    node.machine.opened(3)
    assert node.write(one, two) == [push(1, one, two), push(2, one, two)]
    assert node.machine.deadline is None


def test_what_was_pushed_is_pushed_on_with_one_hop_more_and_not_back() -> None:
    node, (entry,) = Node(1, 2, 3), chain(A, 1)
    assert node.take(2, entry, hops=4) == [push(1, entry, hops=5), push(3, entry, hops=5)]
    (other,) = chain(B, 1)
    assert node.take(1, other, hops=HOPS_MAX)[0] == push(2, other, hops=HOPS_MAX)


def test_what_repair_brought_is_pushed_on_and_says_nothing_of_the_tree() -> None:
    node, (one, two) = Node(1, 2, 3), chain(A, 2)
    assert node.replica.take(one) == "held"
    new = node.machine.new_entries([one], 1, node.now, None, [(A, 1, 1)])
    assert new == [push(2, one, hops=1), push(3, one, hops=1)]
    # Nobody has pushed it, so that link 2, which does, is the first and is kept.
    assert node.take(2, one) == []
    assert node.take(3, one) == [say(3, Prune((A,)))]
    assert node.take(2, two, hops=6) == [push(1, two, hops=7)]


def test_who_brings_what_others_waited_for_is_told_of_those() -> None:
    # They came over other links before; that the one who brings the first has them nobody knows.
    node, entries = Node(1, 2), chain(A, 3)
    assert [node.replica.take(entry) for entry in entries] == ["held"] * 3
    places = [(A, 1, 1)]
    new = node.machine.new_entries(entries, 1, node.now, 0, places)
    assert new == [push(2, *entries, hops=1)]
    assert node.wait(HAVE_DELAY_MS) == [say(1, have(A, 3, hops=1))]


def test_an_entry_is_not_sent_to_who_showed_it_nor_to_its_author() -> None:
    node, entries = Node(1, 2, 3), chain(A, 2)
    node.machine.heard(1, [(A, 1, 1)])
    node.machine.heard(2, [(A, 0, 9), (B, 1, 9)])
    node.machine.heard(9, [(A, 1, 1)])
    node.machine.ready(4, A)
    assert node.take(3, *entries, hops=1) == [
        push(1, entries[1], hops=2),
        push(2, *entries, hops=2),
    ]


def test_an_older_row_does_not_undo_what_is_known() -> None:
    node, entries = Node(1), chain(ME, 2)
    node.machine.heard(1, [(ME, 1, 5)])
    node.machine.heard(1, [(ME, 1, 1)])
    assert node.write(*entries) == []


def test_messages_stay_below_the_bound() -> None:
    node = Node(1)
    counts = []
    for _, message in said(node.write(*chain(ME, 9, size=250_000))):
        assert isinstance(message, Push)
        counts.append(len(message.entries))
    assert counts == [3, 3, 3]
    assert [len(part) for part in batches([b""] * (ENTRIES_MAX + 1))] == [ENTRIES_MAX, 1]


# -- prune (algorithm 1, "Receive GOSSIP", else)


def test_who_brings_what_another_brought_is_pruned() -> None:
    node, (one, two) = Node(1, 2, 3), chain(A, 2)
    node.take(1, one, hops=2)
    assert node.take(2, one, hops=2) == [say(2, Prune((A,)))]
    # And is announced to from now on, not pushed to (algorithm 1: it becomes lazy here, too).
    assert node.take(1, two, hops=2) == [push(3, two, hops=3)]
    assert node.wait_for_deadline() == [say(2, have(A, 2, hops=3))]


def test_who_is_pruned_announces_to_who_pruned_it() -> None:
    node, (one, two, three) = Node(1, 2), chain(ME, 3)
    node.write(one)
    assert node.tell(2, Prune((ME,))) == []
    assert node.write(two) == [push(1, two)]
    assert node.write(three) == [push(1, three)]
    assert node.wait_for_deadline() == [say(2, have(ME, 3))]
    assert node.machine.deadline is None


def test_a_prune_is_for_the_authors_that_it_names() -> None:
    node = Node(1, 2, 3)
    first, second = chain(A, 2), chain(B, 1)
    node.take(1, first[0])
    node.tell(3, Prune((A,)))
    assert node.take(1, first[1]) == [push(2, first[1], hops=1)]
    assert node.take(1, second[0]) == [push(2, second[0], hops=1), push(3, second[0], hops=1)]


def test_part_of_a_message_may_be_old_without_a_prune() -> None:
    node, (one, two), (other,) = Node(1, 2), chain(A, 2), chain(B, 1)
    node.take(1, one, other, hops=1)
    assert node.take(2, one, two, hops=1) == [push(1, two, hops=2)]
    assert node.take(2, one, two, other, hops=1) == [say(2, Prune((B,)))]


def test_of_two_links_one_is_kept_although_entries_cross_the_prune() -> None:
    node, (one, two, three) = Node(1, 2), chain(A, 3)
    node.take(1, one, hops=1)
    assert node.take(2, one, hops=1) == [say(2, Prune((A,)))]
    # Sent before the prune arrived there, and faster this time: link 1 is no duplicate's.
    node.take(2, two, hops=1)
    assert node.take(1, two, hops=1) == []
    assert node.take(2, two, hops=1) == [say(2, Prune((A,)))]
    assert node.take(1, three, hops=1) == []


def test_the_authors_own_link_is_kept_and_the_relay_pruned() -> None:
    node, (one, two) = Node(1), chain(A, 2)
    node.machine.ready(2, A)
    node.take(1, one, hops=1)
    assert node.take(2, one) == [say(1, Prune((A,)))]
    assert node.take(2, two) == []
    assert node.take(1, two, hops=1) == [say(1, Prune((A,)))]


def test_what_waits_for_its_predecessor_or_stands_on_a_fork_is_no_duplicate() -> None:
    node = Node(1, 2)
    entries = chain(A, 3)
    node.take(1, entries[0])
    assert node.machine.pushed(2, 0, [], [(A, 1, 3)]) == []
    node.take(1, *entries[1:])
    left, right = chain(A, 1, after=entries, mark=b"l")[-1], chain(A, 1, after=entries)[-1]
    halves = sorted((left.signed_header, right.signed_header), key=lambda half: half.id)
    node.replica.add_proof(ForkFound(*halves))
    assert node.machine.pushed(2, 0, [], [(A, 1, 3)]) == []


def test_a_link_that_relays_nothing_new_is_pruned_for_whoever_comes() -> None:
    node = Node(1, 2)
    authors = [name(number) for number in range(BARREN_MAX)]
    for author in authors[:-1]:
        (entry,) = chain(author, 1)
        node.take(1, entry, hops=1)
        assert node.take(2, entry, hops=1) == [say(2, Prune((author,)))]
    (entry,) = chain(authors[-1], 1)
    node.take(1, entry, hops=1)
    assert node.take(2, entry, hops=1) == [say(2, Prune((authors[-1],), rest=True))]


def test_one_relayed_entry_makes_a_link_worth_keeping_but_the_peers_own_do_not() -> None:
    for relayed, rest in ((name("peer 2"), True), (C, False)):
        node = Node(1, 2)
        for number in range(BARREN_MAX):
            (entry,) = chain(name(number), 1)
            node.take(1, entry, hops=1)
            if number == BARREN_MAX - 1:
                node.take(2, *chain(relayed, 1))
            last = node.take(2, entry, hops=1)
        assert last == [say(2, Prune((name(BARREN_MAX - 1),), rest=rest))]


def test_a_prune_of_the_rest_spares_what_was_pushed_and_ones_own() -> None:
    node = Node(1, 2)
    first, second, (mine,) = chain(A, 2), chain(B, 1), chain(ME, 1)
    node.take(1, first[0])
    assert node.tell(2, Prune((), rest=True)) == []
    assert node.take(1, first[1]) == [push(2, first[1], hops=1)]
    assert node.take(1, second[0]) == []
    assert node.write(mine) == [push(1, mine), push(2, mine)]
    assert node.wait_for_deadline() == [say(2, have(B, 1, hops=1))]


def test_a_prune_of_the_rest_lasts_though_later_ones_name_only_authors() -> None:
    node, (entry,) = Node(1, 2), chain(B, 1)
    node.tell(2, Prune((), rest=True))
    node.tell(2, Prune((A,)))
    assert node.take(1, entry) == []


def test_the_authors_own_duplicates_do_not_make_his_link_barren() -> None:
    node = Node(1)
    node.machine.ready(2, A)
    entries = chain(A, BARREN_MAX)
    for entry in entries:
        node.take(1, entry, hops=1)
        node.take(2, entry)
    (other,) = chain(B, 1)
    node.take(1, other, hops=1)
    assert node.take(2, other, hops=1) == [say(2, Prune((B,)))]


def test_no_prune_goes_into_a_full_buffer() -> None:
    node, (one,) = Node(1, 2), chain(A, 1)
    node.take(1, one, hops=1)
    node.machine.blocked(2)
    assert node.take(2, one, hops=1) == []


# -- links


def test_a_blocked_link_gets_nothing_and_hears_of_it_when_it_has_drained() -> None:
    node, mine = Node(1, 2), chain(ME, 3)
    node.machine.blocked(1)
    assert node.write(mine[0]) == [push(2, mine[0])]
    assert node.tell(1, Graft((Missed(ME, 1, 0),))) == []
    assert node.wait(HAVE_DELAY_MS) == []
    assert node.machine.deadline is None
    node.machine.drained(1, node.now)
    assert node.wait_for_deadline() == [say(1, have(ME, 1))]
    assert node.tell(1, Graft((Missed(ME, 1, 0),))) == [push(1, mine[0])]
    assert node.write(mine[1]) == [push(1, mine[1]), push(2, mine[1])]
    one = LinkPush(1, pushed=2, dropped=1, announced=1)
    assert node.machine.status() == (one, LinkPush(2, 2, 0))


def test_a_closed_link_is_forgotten() -> None:
    node, mine = Node(1), chain(ME, 2)
    for _ in range(2):
        node.machine.closed(1)
    node.machine.blocked(1)
    node.machine.drained(1, node.now)
    assert node.tell(1, Prune((ME,))) == []
    assert node.machine.pushed(1, 0, [], [(A, 1, 1)]) == []
    assert node.write(mine[0]) == []
    node.machine.ready(1, B)
    assert node.write(mine[1]) == [push(1, mine[1])]


def test_a_new_neighbour_is_eager() -> None:
    node, entries = known_by_push(1)
    node.machine.opened(2)
    assert node.tell(2, Prune((A,))) == [], "it is not ready, so nobody heard this"
    node.machine.ready(2, B)
    assert node.take(1, entries[1], hops=2) == [push(2, entries[1], hops=3)]


def test_memory_of_a_link_is_bounded() -> None:
    node = Node(1, 2)
    shown = [(index.to_bytes(32, "big"), 1, 1) for index in range(KNOWN_LANES_MAX + 1)]
    node.machine.heard(1, shown)
    (first,), (last,) = (chain(place[0], 1) for place in (shown[0], shown[-1]))
    # The lane learnt first is the one that was forgotten.
    assert node.take(2, last) == []
    assert node.take(2, first) == [push(1, first, hops=1)]
