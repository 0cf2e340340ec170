"""
A run of plain register writes, read by columns: the body that a busy mesh is made of.

`parse_op` looks at one operation with the care that hostile bytes ask for, and that costs 5 µs. A
body that holds nothing but registers with scalar values, none of which cites anything, can be
proved well-formed by columns: the set of a column's types, its least and its greatest number. What
is not of this form is left to `parse_op`; both accept the same operations, which a test shows.
"""

from __future__ import annotations

from typing import Final, cast

from attrs import frozen

from capability.form import Value
from capability.ops import NS_CONFIG, OP_REGISTER
from crdt.codec import INT_MAX, INT_MIN

__all__ = ["Registers", "registers"]

_FIELDS: Final = 7
_ONLY_INT: Final = {int}
_ONLY_NOTHING: Final = {()}
_SCALARS: Final = frozenset({type(None), bool, int, str, bytes})


@frozen
class Registers:
    """Operation i writes values[i] to field (spaces[i], names[i]) of nodes[i]: table indexes."""

    ages: tuple[int, ...]
    nodes: tuple[int, ...]
    spaces: tuple[int, ...]
    names: tuple[int, ...]
    values: tuple[Value, ...]


def _within(column: tuple[Value, ...], most: int) -> bool:
    if set(map(type, column)) != _ONLY_INT:
        return False
    numbers = cast("tuple[int, ...]", column)
    return min(numbers) >= 0 and max(numbers) <= most


def registers(ops: tuple[Value, ...], *, nodes: int, names: int) -> Registers | None:
    """
    The columns of *ops*, if all of them are plain register writes and well-formed.

    Args:
        ops: The rows of a body, of which nothing is known.
        nodes: Length of the body's table of Worknodes.
        names: Length of its table of names.

    Returns:
        None for any other body. If not None, every item is of the format's types and ranges, and
        nests no deeper than a row. Cost: 0.2 µs per op.
    """
    if not ops or set(map(type, ops)) != {tuple}:
        return None
    rows = cast("tuple[tuple[Value, ...], ...]", ops)
    if set(map(len, rows)) != {_FIELDS}:
        return None
    codes, ages, at, cites, spaces, named, values = zip(*rows, strict=True)
    # Types first: 3.0 is equal to 3.
    if set(map(type, codes)) != _ONLY_INT or set(codes) != {OP_REGISTER}:
        return None
    if set(map(type, cites)) != {tuple} or set(cites) != _ONLY_NOTHING:
        return None
    if not (
        _within(ages, INT_MAX)
        and _within(at, nodes - 1)
        and _within(spaces, NS_CONFIG)
        and _within(named, names - 1)
        and _are_scalars(values)
    ):
        return None
    return Registers(ages, at, spaces, named, values)


def _are_scalars(values: tuple[Value, ...]) -> bool:
    kinds = set(map(type, values))
    if not kinds <= _SCALARS:
        return False
    numbers = [value for value in values if type(value) is int] if int in kinds else [0]
    return min(numbers) >= INT_MIN and max(numbers) <= INT_MAX
