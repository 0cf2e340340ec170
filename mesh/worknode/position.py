"""
Fractional positions: a place between two siblings, as bytes that sort.

Appending and prepending count, so that a thousand appended siblings need two bytes each and not a
hundred: a position at the end is k bytes 0xff and then a number of k + 1 bytes, one at the start
mirrors that with 0x00. Between two siblings the middle is taken. No position made here ends in
0x00, since nothing fits between such a one and itself without its last byte.

Source: Figma, "Realtime editing of ordered sequences", 2017; the counting ends are D. Greenspan,
    "Implementing fractional indexing", 2020,
    https://observablehq.com/@dgreensp/implementing-fractional-indexing.
Differs: bytes instead of digits, and a bound: where 64 bytes do not suffice the left position is
    given again, and the ids of the two siblings decide.
"""

from __future__ import annotations

from typing import Final

from capability.limits import POSITION_BYTES_MAX

_FIRST: Final = b"\x80"


def between(left: bytes | None, right: bytes | None, *, jitter: bytes = b"") -> bytes:
    """
    A position after *left* and before *right*; None stands for no sibling on that side.

    Args:
        left: Position of the sibling before.
        right: Position of the sibling after.
        jitter: Bytes put at the end, so that two authors who insert at the same place at once do
            not get the same position.

    Returns:
        At most 64 bytes, strictly between, except where nothing is: between equal positions, given
        in the wrong order, or too close for 64 bytes. Then it is *left*, and ids decide.
    """
    if left is None and right is None:
        found: bytes | None = _FIRST
    elif right is None:
        assert left is not None
        found = _after(left)
    elif left is None:
        found = _before(right)
    else:
        found = _middle(left, right)
    if found is None or len(found) > POSITION_BYTES_MAX:
        return left or b""
    return (found + jitter)[:POSITION_BYTES_MAX].rstrip(b"\0") if jitter else found


def _leading(position: bytes, byte: int) -> int:
    return len(position) - len(position.lstrip(bytes((byte,))))


def _after(left: bytes) -> bytes | None:
    level = _leading(left, 0xFF)
    body = left[level : 2 * level + 1].ljust(level + 1, b"\0")
    number = int.from_bytes(body, "big") + 1
    number += number & 0xFF == 0
    grown = number.to_bytes(level + 2, "big")[1:]
    if number >> 8 * (level + 1) or grown[0] == 0xFF:
        # The number of this width is used up: one more 0xff, and a wider one from 1 on.
        return b"\xff" * (level + 1) + (1).to_bytes(level + 2, "big")
    return b"\xff" * level + grown


def _before(right: bytes) -> bytes | None:
    if not right.strip(b"\0"):
        # Nothing sorts before b"", nor fits before a row of zeros.
        return None
    level = _leading(right, 0)
    body = right[level : 2 * level + 1].ljust(level + 1, b"\0")
    # Never the number itself, which is a prefix of *right*: nothing could be put at its end.
    number = int.from_bytes(body, "big") - 1
    number -= number & 0xFF == 0
    if number <= 0 or number >> 8 * level == 0:
        return bytes(level + 1) + b"\xff" * (level + 2)
    return bytes(level) + number.to_bytes(level + 1, "big")


def _middle(left: bytes, right: bytes) -> bytes | None:
    if left >= right:
        return None
    found = bytearray()
    bounded = True
    for at in range(POSITION_BYTES_MAX):
        low = left[at] if at < len(left) else 0
        high = right[at] if bounded and at < len(right) else 256
        if bounded and at >= len(right):
            # `right` is `left` and zeros: nothing is between.
            return None
        if high - low > 1:
            found.append((low + high) // 2)
            return bytes(found)
        found.append(low)
        bounded = bounded and high == low
    return None
