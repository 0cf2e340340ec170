"""Births: where each Worknode was born and under which key. Its id commits to both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from attrs import define, field, frozen

from capability.ids import names_author

__all__ = ["Birth", "Births", "Stops"]

#: Steps of a birth path that are walked without remembering where it ends; honest trees are less
#: deep. And how many ends are remembered, some 40 MB: of a chain at most two for every `_NEAR`
#: births, so that one of 4 million is not too deep. Guesses.
_NEAR: Final = 32
_ENDS_MAX: Final = 262_144
#: What a set of stops takes of that beside its members: a dictionary, a key, a set.
_ENDS_OF_SET: Final = 4


@frozen
class Birth:
    """Where a Worknode was born and under which key; its id commits to both."""

    parent: bytes
    key_class: int
    key: bytes


@define
class Stops:
    """
    Worknodes at which walks up are to stop, more and more of them, and where long walks ended.

    One who adds to it needs no copy, and what is remembered stays, while the ends of walks to a
    set that nobody will name again would be kept for nothing.
    """

    nodes: set[bytes]
    ends: dict[bytes, bytes] = field(factory=dict, repr=False)

    def add(self, nodes: Iterable[bytes], births: Births) -> None:
        """Stop at these, too. Cost: O(these), and anew what was walked if one has been born."""
        fresh = [node for node in nodes if node not in self.nodes]
        self.nodes.update(fresh)
        # Walks went past none of which the birth is not known: they ended there.
        if any(map(births.knows, fresh)):
            self.ends.clear()

    def missing_ancestor(self, node: bytes, births: Births) -> tuple[bool, bytes | None]:
        """`Births.missing_ancestor`, to the stops as they are now."""
        return births.missing_ancestor(node, self.nodes, self.ends)


@define
class Births:
    """
    Where each Worknode was born: facts, since ids commit to them.

    *ahead* are births that will stand only if what is planned is done. Neither mapping may lose a
    birth as long as this is used.
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

    def missing_ancestor(
        self, node: bytes, stop: AbstractSet[bytes], ends: dict[bytes, bytes] | None = None
    ) -> tuple[bool, bytes | None]:
        """
        Walk the birth path up from *node* to one of *stop* or the root.

        Args:
            node: Where the walk begins.
            stop: Where it ends; hashable, unless *ends* is given.
            ends: Where walks to *stop* have ended, if the caller remembers it.

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
        if ends is not None:
            return self._walk_far(node, stop, ends)
        ends = self._ends_at(stop)
        before = len(ends)
        found = self._walk_far(node, stop, ends)
        self._ends_count += len(ends) - before
        return found

    def _ends_at(self, stop: AbstractSet[bytes]) -> dict[bytes, bytes]:
        # Anybody may sign as many grants as they like, each with scopes of its own.
        assert isinstance(stop, frozenset)
        if self._ends_count > _ENDS_MAX:
            self._ends.clear()
            self._ends_count = 0
        ends = self._ends.get(stop)
        if ends is None:
            ends = self._ends[stop] = {}
            self._ends_count += len(stop) + _ENDS_OF_SET
        return ends

    def _walk_far(
        self, node: bytes, stop: AbstractSet[bytes], ends: dict[bytes, bytes]
    ) -> tuple[bool, bytes | None]:
        # Anybody may create chains as deep as they like: their ends are remembered, which is right
        # until births are forgotten: they never change, and a walk goes on from where it ended.
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
        self._note(path, node, ends)
        if node in stop:
            return True, None
        return False, None if node == self.root else node

    @staticmethod
    def _note(path: list[bytes], end: bytes, ends: dict[bytes, bytes]) -> None:
        # At twice the distance each time: were each step noted, a chain of which the steps are
        # more than may be remembered would be forgotten and walked at each question. Whoever
        # begins between two notes walks to the upper one, and halves the gap.
        if len(path) < _NEAR:
            return
        if len(ends) > _ENDS_MAX:
            ends.clear()
        at = 0
        while at < len(path):
            ends[path[at]] = end
            at = 2 * at + _NEAR

    def owned_by(self, node: bytes, author: bytes) -> bool:
        """Whether the birth key of *node* names *author*."""
        birth = self.get(node)
        return birth is not None and names_author(birth.key_class, birth.key, author)
