"""Stamps: strictly growing under any wall clock, and never repeated by a restart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt import hlc
from crdt.codec import encode
from crdt.errors import StampError
from crdt.hlc import STAMP_MAX, Clock
from tests.crdt.strategies import BOUNDED, LONG

walls = st.integers(0, 2**42) | st.integers(0, 50)
stamps = st.integers(0, 2**60)


@BOUNDED
@given(st.integers(0, 2**47 - 1), st.integers(0, 2**16 - 1))
def test_pack_is_inverted_by_its_parts(ms: int, counter: int) -> None:
    stamp = hlc.pack(ms, counter)
    assert (hlc.milliseconds(stamp), hlc.counter(stamp)) == (ms, counter)
    assert 0 <= stamp <= STAMP_MAX
    encode(stamp)


@pytest.mark.parametrize(("ms", "counter"), [(-1, 0), (0, -1), (0, 2**16), (2**47, 0)])
def test_parts_out_of_range_are_refused(ms: int, counter: int) -> None:
    with pytest.raises(StampError):
        hlc.pack(ms, counter)


def test_the_last_stamp_is_a_stamp() -> None:
    assert hlc.pack(2**47 - 1, 2**16 - 1) == STAMP_MAX
    assert Clock(last=STAMP_MAX - 1).tick(0) == STAMP_MAX
    assert Clock(last=STAMP_MAX).reserve(0, ahead_ms=0) == STAMP_MAX


@LONG
@given(st.lists(walls | stamps.map(lambda stamp: -stamp), max_size=30))
def test_ticks_exceed_everything_before(steps: list[int]) -> None:
    clock = Clock()
    seen = 0
    for step in steps:
        if step < 0:
            clock.observe(-step)
            seen = max(seen, -step)
        else:
            stamp = clock.tick(step)
            assert stamp > seen
            assert stamp == max(seen + 1, step << 16)
            seen = stamp


def test_the_counter_carries_into_the_milliseconds() -> None:
    clock = Clock(last=hlc.pack(7, 0xFFFF))
    assert clock.tick(7) == hlc.pack(8, 0)


def test_a_wall_clock_set_back_does_not_matter() -> None:
    clock = Clock()
    first = clock.tick(1000)
    assert clock.tick(-5) == first + 1


@LONG
@given(st.lists(st.lists(walls, max_size=6), min_size=1, max_size=6))
def test_restarts_from_the_greatest_own_stamp_never_repeat(lives: list[list[int]]) -> None:
    given_out: list[int] = []
    for wall_clocks in lives:
        clock = Clock()
        clock.restore(max(given_out, default=0))
        given_out += [clock.tick(wall) for wall in wall_clocks]
    assert given_out == sorted(set(given_out))


@LONG
@given(st.lists(st.lists(walls, max_size=6), min_size=1, max_size=6), st.integers(1, 2000))
def test_restarts_from_a_reservation_never_repeat(lives: list[list[int]], ahead_ms: int) -> None:
    given_out: list[int] = []
    on_disk = 0
    for wall_clocks in lives:
        clock = Clock()
        clock.restore(on_disk)
        for wall in wall_clocks:
            if not clock.covered(wall):
                on_disk = clock.reserve(wall, ahead_ms=ahead_ms)
            assert clock.covered(wall)
            stamp = clock.tick(wall)
            assert stamp <= on_disk
            given_out.append(stamp)
    assert given_out == sorted(set(given_out))


@BOUNDED
@given(st.integers(0, 3 << 16), st.integers(0, 3 << 16), st.integers(0, 3))
def test_covered_is_what_the_next_tick_stays_within(last: int, reserved: int, wall: int) -> None:
    clock = Clock(last=last, reserved=reserved)
    assert clock.covered(wall) == (Clock(last=last).tick(wall) <= reserved)
    clock.reserved = clock.last + 1
    assert clock.covered(0)
    clock.reserved = clock.last
    assert not clock.covered(0)


def test_exhaustion_is_an_error_and_leaves_the_clock() -> None:
    clock = Clock()
    clock.observe(STAMP_MAX)
    with pytest.raises(StampError):
        clock.tick(0)
    with pytest.raises(StampError):
        clock.reserve(0, ahead_ms=1)
    assert clock.last == STAMP_MAX
    for stamp in (-1, STAMP_MAX + 1):
        with pytest.raises(StampError):
            clock.observe(stamp)
        with pytest.raises(StampError):
            clock.restore(stamp)
    with pytest.raises(StampError):
        Clock().tick(2**47)
