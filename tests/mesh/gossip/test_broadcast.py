"""The push policy: no echo, no duplicate, nothing on a link that is blocked or not ready."""

from __future__ import annotations

from mesh.core.effects import Send
from mesh.core.limits import MESSAGE_BYTES_MAX
from mesh.gossip.broadcast import Broadcast, LinkPush, NewEntry
from mesh.gossip.limits import ENTRIES_MAX, KNOWN_LANES_MAX
from mesh.gossip.messages import Push
from mesh.wire import decode_message, encode_message

A, B = b"a" * 32, b"b" * 32
ONE: NewEntry = (A, 1, 1, b"one")
TWO: NewEntry = (A, 1, 2, b"two")
OTHER: NewEntry = (B, 0, 7, b"other")


def broadcast(*links: int) -> Broadcast:
    machine = Broadcast(encode_message)
    for link in links:
        machine.opened(link)
        machine.ready(link)
    return machine


def push(link: int, *entries: bytes) -> Send:
    return Send(link, encode_message(Push(entries)))


def test_own_entries_go_to_every_ready_link_in_one_message() -> None:
    machine = broadcast(2, 1)
    machine.opened(3)
    assert machine.new_entries([ONE, TWO], None) == [
        push(1, b"one", b"two"),
        push(2, b"one", b"two"),
    ]


def test_an_entry_is_not_echoed_to_its_source() -> None:
    machine = broadcast(1, 2)
    assert machine.new_entries([ONE], 1) == [push(2, b"one")]
    assert machine.new_entries([ONE], None) == []


def test_an_entry_is_not_sent_to_who_showed_it() -> None:
    machine = broadcast(1, 2, 3)
    machine.heard(1, [(A, 1, 1)])
    machine.heard(2, [(A, 0, 9), (B, 1, 9)])
    machine.heard(9, [(A, 1, 1)])
    assert machine.new_entries([ONE, TWO], 3) == [push(1, b"two"), push(2, b"one", b"two")]


def test_nothing_is_sent_twice() -> None:
    machine = broadcast(1)
    assert machine.new_entries([ONE], None) == [push(1, b"one")]
    assert machine.new_entries([ONE, OTHER], None) == [push(1, b"other")]
    assert machine.new_entries([ONE, OTHER], 2) == []


def test_an_older_row_does_not_undo_what_is_known() -> None:
    machine = broadcast(1)
    machine.heard(1, [(A, 1, 5)])
    machine.heard(1, [(A, 1, 1)])
    assert machine.new_entries([TWO], None) == []


def test_a_blocked_link_gets_nothing_and_says_so() -> None:
    machine = broadcast(1, 2)
    machine.blocked(1)
    assert machine.new_entries([ONE], None) == [push(2, b"one")]
    machine.drained(1)
    # What was dropped is repair's; what comes after is pushed again, and shows the gap.
    assert machine.new_entries([TWO], None) == [push(1, b"two"), push(2, b"two")]
    assert machine.status() == (LinkPush(1, 1, 1), LinkPush(2, 2, 0))


def test_a_closed_link_is_forgotten() -> None:
    machine = broadcast(1)
    machine.closed(1)
    machine.closed(1)
    machine.blocked(1)
    machine.drained(1)
    assert machine.new_entries([ONE], None) == []
    machine.ready(1)
    assert machine.new_entries([ONE], None) == [push(1, b"one")]


def test_messages_stay_below_the_bound() -> None:
    machine = broadcast(1)
    entries = [(A, 1, seq, bytes(250_000)) for seq in range(1, 10)]
    effects = machine.new_entries(entries, None)
    counts = []
    for effect in effects:
        assert isinstance(effect, Send)
        message = decode_message(effect.data, size_max=MESSAGE_BYTES_MAX)
        assert isinstance(message, Push)
        counts.append(len(message.entries))
    assert counts == [3, 3, 3]
    many = [(B, 1, seq, b"") for seq in range(1, ENTRIES_MAX + 2)]
    assert len(machine.new_entries(many, None)) == 2


def test_memory_of_a_link_is_bounded() -> None:
    machine = broadcast(1)
    shown = [(index.to_bytes(32, "big"), 1, 1) for index in range(KNOWN_LANES_MAX + 1)]
    machine.heard(1, shown)
    first, last = shown[0][0], shown[-1][0]
    # The lane learnt first is the one that was forgotten.
    assert machine.new_entries([(last, 1, 1, b"l")], None) == []
    assert machine.new_entries([(first, 1, 1, b"f")], None) == [push(1, b"f")]
