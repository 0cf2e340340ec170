"""Positions: strictly between, bounded, and cheap at both ends."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from capability.limits import POSITION_BYTES_MAX
from mesh.worknode.position import between

any_position = st.binary(max_size=POSITION_BYTES_MAX)


def test_the_first_leaves_room_on_both_sides() -> None:
    first = between(None, None)
    assert between(None, first) < first < between(first, None)


@given(st.lists(st.integers(0, 10_000), max_size=150), st.binary(max_size=4))
@settings(max_examples=100, deadline=None)
def test_insertions_anywhere_stay_in_order(places: list[int], jitter: bytes) -> None:
    found: list[bytes] = []
    for place in places:
        at = place % (len(found) + 1)
        left = found[at - 1] if at else None
        right = found[at] if at < len(found) else None
        found.insert(at, between(left, right, jitter=jitter))
    assert found == sorted(found)
    assert all(0 < len(position) <= POSITION_BYTES_MAX for position in found)
    if len(places) <= 60:
        assert len(set(found)) == len(found)


@given(any_position | st.none(), any_position | st.none(), st.binary(max_size=80))
@example(b"", b"\0", b"")
@example(b"\x01", b"\x01\0\0", b"")
@example(b"\xff" * 64, None, b"")
@example(None, b"\0" * 63 + b"\x01", b"")
@example(None, b"\0\x01\x05", b"")
@settings(max_examples=500, deadline=None)
def test_whatever_stands_there_the_place_is_not_outside(
    left: bytes | None, right: bytes | None, jitter: bytes
) -> None:
    position = between(left, right, jitter=jitter)
    assert len(position) <= POSITION_BYTES_MAX
    if left is not None:
        assert position >= left
    if right is not None and (left is None or left < right):
        assert position <= right
    assert position == between(left, right, jitter=jitter)


@given(any_position, any_position)
@settings(max_examples=500, deadline=None)
def test_it_is_strict_where_there_is_room(left: bytes, right: bytes) -> None:
    left, right = sorted((left[:20].rstrip(b"\0"), right[:20].rstrip(b"\0")))
    if left != right:
        assert left < between(left, right) < right
        assert between(None, right) < right
        assert left < between(left, None)


def test_a_thousand_appends_and_prepends_stay_short() -> None:
    end = start = between(None, None)
    for _ in range(70_000):
        after, before = between(end, None), between(None, start)
        assert end < after and before < start
        end, start = after, before
    assert len(end) <= 5 and len(start) <= 5


def test_one_gap_takes_hundreds_of_insertions_and_then_ties() -> None:
    left, right = b"\x80", b"\x81"
    for _ in range(490):
        middle = between(left, right)
        assert left < middle < right
        right = middle
    for _ in range(20):
        right = between(left, right)
    assert right == left
    assert between(left, left) == left


def test_jitter_tells_two_authors_apart() -> None:
    one, two = (between(b"\x10", b"\x11", jitter=j) for j in (b"a", b"b"))
    assert one != two
    assert all(b"\x10" < position < b"\x11" for position in (one, two))
