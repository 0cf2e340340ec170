"""Births: where each Worknode was born and under which key. Its id commits to both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import define, field, frozen

from capability.ids import names_author

__all__ = ["Birth", "Births"]

#: Steps of a birth path that are walked without remembering where it ends; honest trees are less
#: deep. And how many ends are remembered, some 30 MB. Guesses.
_NEAR: Final = 32
_ENDS_MAX: Final = 262_144


@frozen
class Birth:
    """Where a Worknode was born and under which key; its id commits to both."""

    parent: bytes
    key_class: int
    key: bytes


@define
class Births:
    """
    Where each Worknode was born: facts, since ids commit to them.

    *ahead* are births that will stand only if what is planned is done.
    """

    root: bytes
    of: Mapping[bytes, Birth]
    ahead: Mapping[bytes, Birth] = field(factory=dict)
    #: Ends of walks that were long, by what they were to reach: a Worknode far above.
    _ends: dict[frozenset[bytes], dict[bytes, bytes]] = field(factory=dict, repr=False)
    _ends_count: int = 0

    def get(self, node: bytes) -> Birth | None:
        return self.of.get(node) or self.ahead.get(node)

    def knows(self, node: bytes) -> bool:
        return node in self.of or node in self.ahead

    def missing_ancestor(self, node: bytes, stop: frozenset[bytes]) -> tuple[bool, bytes | None]:
        """
        Walk the birth path up from *node* to one of *stop* or the root.

        Returns:
            (reached one of *stop*, None), or (False, the Worknode whose birth is not known, None
            when the walk ended at the root). Cost: O(depth), of what is deep once.
        """
        for _ in range(_NEAR):
            if node in stop:
                return True, None
            if node == self.root:
                return False, None
            birth = self.get(node)
            if birth is None:
                return False, node
            node = birth.parent
        return self._walk_far(node, stop)

    def _walk_far(self, node: bytes, stop: frozenset[bytes]) -> tuple[bool, bytes | None]:
        # Anybody may create chains as deep as they like: their ends are remembered, which is right
        # until births are forgotten: they never change, and a walk goes on from where it ended.
        if self._ends_count > _ENDS_MAX:
            self._ends.clear()
            self._ends_count = 0
        ends = self._ends.setdefault(stop, {}) if not self.ahead else {}
        path = []
        while node not in stop and node != self.root:
            above = ends.get(node)
            if above is None:
                birth = self.get(node)
                if birth is None:
                    break
                above = birth.parent
            path.append(node)
            node = above
        before = len(ends)
        ends.update(dict.fromkeys(path, node))
        if not self.ahead:
            self._ends_count += len(ends) - before
        if node in stop:
            return True, None
        return False, None if node == self.root else node

    def owned_by(self, node: bytes, author: bytes) -> bool:
        """Whether the birth key of *node* names *author*."""
        birth = self.get(node)
        return birth is not None and names_author(birth.key_class, birth.key, author)
