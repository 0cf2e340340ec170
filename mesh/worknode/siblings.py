"""
The order of siblings, kept: to sort a hundred thousand of them takes a second, to look at it none.

What is remembered of a parent is a list of its children in order, with the set of those whose place
in it may be another now. Whoever reads has these put in anew, one by one.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any, Final

from attrs import define, field

#: Parents whose order is kept; lists of all children together hold each Worknode once. A guess.
PARENTS_MAX: Final = 4_096
#: Fewer children than these are sorted each time. A guess: 20 µs.
KEPT_MIN: Final = 16
#: When more than one in so many has to be put in anew, all are sorted anew, which is cheaper.
_RESORT_SHARE: Final = 16

Place = Callable[[bytes], Any]


@define
class Siblings:
    """
    Orders of children by parent; a cache of a pure function of the fold.

    Whoever changes the fold says so by `touch`: of each child that comes to a parent, and of each
    whose place among its siblings may have changed. A child that goes need not be told of.
    """

    _orders: dict[bytes, list[bytes]] = field(factory=dict)
    _touched: dict[bytes, set[bytes]] = field(factory=dict)

    def touch(self, parent: bytes | None, child: bytes) -> None:
        """The place of *child* under *parent*, where it is now, has to be looked up anew."""
        if parent in self._orders:
            self._touched.setdefault(parent, set()).add(child)

    def of(self, parent: bytes, children: AbstractSet[bytes], place: Place) -> list[bytes]:
        """
        *children*, all that stand under *parent*, by *place*; not to be changed.

        Cost: O(1), after changes O(children) without looking up the place of any but the touched.
        """
        if len(children) < KEPT_MIN:
            self._orders.pop(parent, None)
            self._touched.pop(parent, None)
            return sorted(children, key=place)
        order = self._orders.get(parent)
        touched = self._touched.pop(parent, set())
        if order is not None and not touched and len(order) == len(children):
            return order
        if order is None or len(touched) * _RESORT_SHARE > len(children):
            order = sorted(children, key=place)
        else:
            order = [child for child in order if child in children and child not in touched]
            for child in sorted(touched & children):
                insort(order, child, key=place)
        assert len(order) == len(children), "a child came without a word"
        self._orders[parent] = order
        if len(self._orders) > PARENTS_MAX:
            oldest = next(iter(self._orders))
            del self._orders[oldest]
            self._touched.pop(oldest, None)
        return order
