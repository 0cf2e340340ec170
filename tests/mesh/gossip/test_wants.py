"""Wants: a lane that did not go on is asked for again while others do, so often in one repair."""

from __future__ import annotations

from mesh.gossip.limits import PASSES_MAX
from mesh.gossip.ranges import LaneKey, Wants

FIRST, SECOND = (0, b"a" * 32), (0, b"b" * 32)


def chosen(wants: Wants, held: dict[LaneKey, int]) -> list[LaneKey]:
    ranges = wants.choose(lambda key: held.get(key, 0), lambda _: True, lambda _: 0)
    return [(item.lane, item.author) for item in ranges]


def test_each_repair_has_its_own_passes() -> None:
    """A link that had repaired so often stopped trusting its peer, who had kept all it promised."""
    wants = Wants()
    for _ in range(2 * PASSES_MAX):
        held: dict[LaneKey, int] = {}
        wants.add(FIRST, 1)
        wants.add(SECOND, 1)
        assert chosen(wants, held) == [FIRST, SECOND]
        # The first one waits for what the second one introduces.
        wants.stall(FIRST)
        held[SECOND] = 1
        wants.moved(SECOND)
        assert chosen(wants, held) == []
        assert wants.next_pass()
        assert chosen(wants, held) == [FIRST]
        held[FIRST] = 1
        wants.moved(FIRST)
        assert chosen(wants, held) == []
        assert not wants


def test_what_never_comes_is_asked_for_once_after_the_last_that_came() -> None:
    wants = Wants()
    for seq in range(1, 4):
        wants.add(FIRST, seq)
        assert chosen(wants, {FIRST: seq - 1}) == [FIRST]
        wants.moved(FIRST)
        assert chosen(wants, {FIRST: seq}) == []
    wants.add(SECOND, 1)
    assert chosen(wants, {}) == [SECOND]
    wants.stall(SECOND)
    assert chosen(wants, {}) == []
    assert not wants.next_pass(), "nothing of this repair has moved"
