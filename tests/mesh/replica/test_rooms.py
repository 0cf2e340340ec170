"""Rooms: bounds, and that whoever has little waiting loses nothing to who has much."""

from __future__ import annotations

from random import Random

import pytest

from capability.entry import Entry
from capability.keys import SeedSigner
from capability.ops import Op
from mesh.replica.rooms import Room
from tests.mesh.replica.hand import Hand, hand, put
from tests.mesh.replica.world import new_mesh, seed

MESH = new_mesh()
NODE = bytes(16)


def said(name: str, count: int, size: int = 1) -> list[Entry]:
    by = hand(MESH, name)
    return [by.data(_op(size)) for _ in range(count)]


def _op(size: int) -> Op:
    return put(NODE, "f", "x" * size)


def test_at_the_bound_nothing_is_evicted_and_one_beyond_it_one_is() -> None:
    room = Room(3, 1 << 20)
    mine = said("mal", 4)
    for entry in mine[:3]:
        assert room.put(entry)
    assert (len(room), room.evicted) == (3, 0)
    assert not room.put(mine[0])
    assert room.put(mine[3])
    assert (list(room.entries), room.evicted) == ([e.id for e in mine[1:]], 1)


@pytest.mark.parametrize("size", [1, 4_000])
def test_a_flood_of_one_author_evicts_nobody_else(size: int) -> None:
    room = Room(50, 100_000)
    others = [said(name, 1)[0] for name in ("ann", "bob", "cec")]
    for entry in others:
        room.put(entry)
    for entry in said("mal", 200, size):
        room.put(entry)
        assert len(room) <= room.entries_max and room.size <= room.bytes_max
    assert room.evicted > 100
    assert all(entry.id in room.entries for entry in others)


def test_many_keys_take_no_more_than_one_entry_of_each_from_who_has_one() -> None:
    """A sybil costs a grant each; even so, who has one entry waiting is no worse off than any."""
    room = Room(20, 1 << 20)
    honest = said("ann", 1)[0]
    room.put(honest)
    for number in range(19):
        for entry in said(f"sybil {number}", 3):
            room.put(entry)
    assert honest.id in room.entries
    assert max(len(room.of_author(e.header.author)) for e in room.entries.values()) <= 2


def test_what_waits_is_told_by_lane_and_place() -> None:
    room = Room(20, 1 << 20)
    by = hand(MESH, "ann")
    twin = by.twin()
    first, second = by.data(_op(1)), by.data(_op(1))
    rival = twin.data(_op(2))
    grant = by.grant(b"k" * 32)
    other = said("bob", 1)[0]
    for entry in (second, first, other, rival, grant):
        room.put(entry)
    lanes = [(by.author, 0), (by.author, 1), (other.header.author, 1)]
    assert room.lanes() == sorted(lanes)
    assert room.least(by.author, 1) == 1
    assert (room.least(by.author, 2), room.least(b"?" * 32, 1)) == (0, 0)
    assert room.at((by.author, 1), 1) == [first.id, rival.id]
    assert room.at((by.author, 1), 3) == room.at((b"?" * 32, 1), 1) == []
    assert room.of_author(by.author) == [grant.id, first.id, rival.id, second.id]
    for entry in (first, rival):
        assert room.take(entry.id) is entry
    assert (room.least(by.author, 1), len(room)) == (2, 3)


@pytest.mark.parametrize("number", range(5))
def test_shares_are_those_of_what_waits(number: int) -> None:
    random = Random(number)
    room = Room(12, 6_000)
    hands = [Hand(SeedSigner(seed(name)), MESH) for name in "abcd"]
    for _ in range(200):
        if room.entries and random.randrange(3) == 0:
            room.take(random.choice(list(room.entries)))
        else:
            room.put(random.choice(hands).data(_op(random.choice((1, 900)))))
        assert room.size == sum(len(entry.body) for entry in room.entries.values())
        shares: dict[bytes, int] = {}
        for entry in room.entries.values():
            author = entry.header.author
            shares[author] = shares.get(author, 0) + max(len(entry.body), 500)
        assert room._charged == shares
        if shares:
            assert shares[room._greediest()] == max(shares.values())
        assert len(room._greatest) <= 4 * len(room.entries) + 5
