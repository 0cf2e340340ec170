"""
The movable tree: concurrent moves of subtrees, without cycles and without duplicated nodes.

Moves are totally ordered by key and the tree is what replaying them in that order gives; a move
that would put a node under itself or under its own descendant is skipped, but stays in the log,
since a move that arrives later with a smaller key may make it legal. To insert a move that is not
the greatest, the greater ones are undone and redone; a batch is undone and redone once.

Creation is not a move. A node has a *birth edge*, which stands before every move; ids commit to
the birth parent, so birth edges are acyclic and never change. They may become known in any order,
also after moves that they bear upon: those moves are then done anew.

`MovableTree` is a mutable machine: replicas that were told the same births and moves, in any order
and any batches, answer every question alike.

Source: Kleppmann, Mulligan, Gomes, Beresford: A highly-available move operation for replicated
    trees, IEEE TPDS 2021, section 3, https://martin.kleppmann.com/papers/move-op.pdf.
    That creates may skip the log is proved in `Move_Create.thy` of its artifact.
Differs: batches; births that arrive late (the proof wants them first, so the result is computed as
    if they had been); retraction of births and moves, whose authority a mesh may withdraw.
"""

from bisect import bisect_left
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from attrs import define, field, frozen

from crdt.errors import BirthConflictError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

__all__ = ["MovableTree", "Move", "MoveKey"]

# Totally ordered and unique per move, such as (stamp, author, sequence, entry id, index).
MoveKey: TypeAlias = tuple[Any, ...]


@frozen
class Move:
    """*child* goes under *parent*, at the place among its siblings that *meta* says."""

    key: MoveKey
    child: bytes
    parent: bytes
    meta: bytes


_NOBODY: "Final[AbstractSet[bytes]]" = frozenset()
_key: Final = attrgetter("key")
# Stands in the undo record of a move that was skipped; its key and nodes mean nothing.
_SKIPPED: Final = Move((), b"", b"", b"")


@define(eq=False)
class MovableTree:
    """
    Births, a log of moves in the order of their keys, and the tree they amount to.

    Costs: a birth of a leaf O(1); a move with the greatest key O(depth); a batch O(moves with
    greater keys than its least, times depth). Memory: O(births + moves).
    """

    _births: dict[bytes, bytes] = field(factory=dict, init=False)
    # The effective move of every child that has one; the others are at their birth place.
    _effective: dict[bytes, Move] = field(factory=dict, init=False)
    # Every node that a birth or move ever named as parent has an entry here, maybe an empty one.
    _children: dict[bytes, set[bytes]] = field(factory=dict, init=False)
    _log: list[Move] = field(factory=list, init=False)
    # Parallel to _log: the effective move it replaced, None for the birth place, or _SKIPPED.
    _replaced: list[Move | None] = field(factory=list, init=False)

    def birth(self, child: bytes, parent: bytes) -> tuple[bytes, ...]:
        """
        Make known where *child* was created, as if it had been known before every move.

        Returns:
            The nodes whose place changed, ascending.

        Raises:
            BirthConflictError: *child* was born elsewhere, or is a birth ancestor of *parent*.
        """
        return self.births(((child, parent),))

    def births(self, edges: "Iterable[tuple[bytes, bytes]]") -> tuple[bytes, ...]:
        """
        `birth` for every (child, parent), with at most one redo of the log.

        Raises:
            BirthConflictError: As for `birth`; no edge of the batch was taken.
        """
        fresh: dict[bytes, bytes] = {}
        suspects: dict[bytes, bytes] = {}
        try:
            for child, parent in edges:
                self._add_birth(child, parent, fresh, suspects)
        except BirthConflictError:
            # What stays are empty sets of children, which answer like missing ones.
            for child in fresh:
                del self._births[child]
            raise
        changed = {child for child in fresh if child not in self._effective}
        for child, parent in fresh.items():
            if child in changed:
                self._children[parent].add(child)
        changed.update(self._redo_moves_of(suspects))
        return tuple(sorted(changed))

    def forget(self, children: "Iterable[bytes]") -> tuple[bytes, ...]:
        """
        Unlearn where these were born, as if it had never been known; unknown ones are ignored.

        Returns:
            The nodes whose place changed, ascending. Cost: O(these + moves that may bear on it).
        """
        gone = {child for child in children if child in self._births}
        # Taken away in the reverse order of a batch of births, of which this undoes the effect.
        suspects: dict[bytes, bytes] = {}
        for child in gone:
            if child in self._children:
                self._climb(self._births[child], suspects)
        changed = {child for child in gone if child not in self._effective}
        for child in gone:
            parent = self._births.pop(child)
            if child in changed:
                self._children[parent].discard(child)
        changed.update(self._redo_moves_of(suspects))
        return tuple(sorted(changed))

    def born_below(self, tops: "Iterable[bytes]") -> set[bytes]:
        """*tops* and every node born below one of them. Cost: O(these + moved nodes)."""
        away: dict[bytes, list[bytes]] = {}
        for child in self._effective:
            if (parent := self._births.get(child)) is not None:
                away.setdefault(parent, []).append(child)
        found = set(tops)
        left = list(found)
        while left:
            parent = left.pop()
            here = (c for c in self._children.get(parent, ()) if c not in self._effective)
            fresh = [child for child in (*here, *away.get(parent, ())) if child not in found]
            found.update(fresh)
            left += fresh
        return found

    def apply(self, moves: "Iterable[Move]") -> tuple[bytes, ...]:
        """
        Put *moves* into the log and redo what comes after the least of them.

        A move whose key is in the log already is ignored.

        Returns:
            The nodes whose (parent, meta) changed, ascending.
        """
        batch = {move.key: move for move in moves if not self._holds(move.key)}
        if not batch:
            return ()
        fresh = sorted(batch.values(), key=_key)
        for move in fresh:
            self._children.setdefault(move.parent, set())
        start = self._index(fresh[0].key)
        before: dict[bytes, Move | None] = {}
        tail = self._undo(start, before)
        if tail:
            # Two ascending runs: the sort is a merge.
            fresh = sorted(tail + fresh, key=_key)
        self._redo(fresh, before)
        return self._settle(before)

    def retract(self, keys: "Iterable[MoveKey]") -> tuple[bytes, ...]:
        """
        Take moves out of the log, as if they had never been in it; unknown keys are ignored.

        Returns:
            The nodes whose (parent, meta) changed, ascending.
        """
        gone = {key for key in keys if self._holds(key)}
        if not gone:
            return ()
        before: dict[bytes, Move | None] = {}
        tail = self._undo(self._index(min(gone)), before)
        self._redo([move for move in tail if move.key not in gone], before)
        return self._settle(before)

    def parent(self, child: bytes) -> bytes | None:
        """Where *child* is now; None for a root and for a node of which nothing is known."""
        move = self._effective.get(child)
        return move.parent if move is not None else self._births.get(child)

    def position(self, child: bytes) -> bytes | None:
        """The meta of the move that put *child* where it is; None at its birth place."""
        move = self._effective.get(child)
        return None if move is None else move.meta

    def effective_move_key(self, child: bytes) -> MoveKey | None:
        """The key of the move that put *child* where it is; None at its birth place."""
        move = self._effective.get(child)
        return None if move is None else move.key

    def children(self, parent: bytes) -> tuple[bytes, ...]:
        """
        The nodes now under *parent*, ascending by id.

        Not by position: the position of a node at its birth place is its creation's business.
        """
        return tuple(sorted(self._children.get(parent, ())))

    def family(self, parent: bytes) -> "AbstractSet[bytes]":
        """`children` in no order, as they are and will be: to look at, and not to be kept."""
        return self._children.get(parent, _NOBODY)

    def is_ancestor(self, ancestor: bytes, node: bytes) -> bool:
        """Whether *ancestor* is above *node*; nothing is above itself. Cost: O(depth)."""
        above = self.parent(node)
        return above is not None and self._reaches(above, ancestor)

    def moves(self) -> "Iterator[Move]":
        """The log in the order of its keys, skipped moves included."""
        return iter(self._log)

    def _add_birth(
        self, child: bytes, parent: bytes, fresh: dict[bytes, bytes], suspects: dict[bytes, bytes]
    ) -> None:
        known = self._births.get(child)
        if known is not None:
            if known != parent:
                raise BirthConflictError(
                    f"{child.hex()} was born under {known.hex()}, not {parent.hex()}"
                )
            return
        self._children.setdefault(parent, set())
        # Nothing that nobody ever named as a parent can be on the way from a move's target to the
        # root, whence its birth edge bears on no move; nor does it close a cycle.
        if child in self._children and self._climb(parent, suspects) == child:
            raise BirthConflictError(f"{child.hex()} is a birth ancestor of {parent.hex()}")
        self._births[child] = parent
        fresh[child] = parent

    def _climb(self, node: bytes, seen: dict[bytes, bytes]) -> bytes:
        # The end of the way up from *node* by birth edges. What is on it is noted in *seen*, with
        # the end: ways of one batch share most of their length, and each part is gone once.
        way = []
        while True:
            above = seen.get(node, node)
            if above == node:
                born = self._births.get(node)
                if born is None:
                    break
                above = born
            way.append(node)
            node = above
        seen.update(dict.fromkeys(way, node))
        seen[node] = node
        return node

    def _redo_moves_of(self, suspects: dict[bytes, bytes]) -> tuple[bytes, ...]:
        # A new birth edge lengthens ways to the root by the lineage of its parent, and a move is
        # judged anew if its child is on the added part. Until the first move of a node of that
        # lineage the added part is that lineage, so no earlier move can be concerned.
        if not suspects:
            return ()
        for start, move in enumerate(self._log):
            if move.child in suspects:
                before: dict[bytes, Move | None] = {}
                self._redo(self._undo(start, before), before)
                return self._settle(before)
        return ()

    def _index(self, key: MoveKey) -> int:
        return bisect_left(self._log, key, key=_key)

    def _holds(self, key: MoveKey) -> bool:
        log = self._log
        if not log or key > log[-1].key:
            return False
        return log[self._index(key)].key == key

    def _reaches(self, node: bytes, target: bytes) -> bool:
        effective = self._effective
        births = self._births
        at: bytes | None = node
        while at is not None:
            if at == target:
                return True
            move = effective.get(at)
            at = move.parent if move is not None else births.get(at)
        return False

    def _undo(self, start: int, before: dict[bytes, Move | None]) -> list[Move]:
        # Returns the moves from *start* on, taken out of the log; notes in *before* what was
        # effective for every child that it touches.
        effective = self._effective
        tail = self._log[start:]
        for move, replaced in zip(reversed(tail), reversed(self._replaced[start:]), strict=True):
            if replaced is _SKIPPED:
                continue
            child = move.child
            if child not in before:
                before[child] = effective[child]
            if replaced is None:
                del effective[child]
            else:
                effective[child] = replaced
        del self._log[start:]
        del self._replaced[start:]
        return tail

    def _redo(self, moves: list[Move], before: dict[bytes, Move | None]) -> None:
        effective = self._effective
        replaced = self._replaced
        for move in moves:
            child = move.child
            if self._reaches(move.parent, child):
                replaced.append(_SKIPPED)
                continue
            current = effective.get(child)
            if child not in before:
                before[child] = current
            replaced.append(current)
            effective[child] = move
        self._log += moves

    def _settle(self, before: dict[bytes, Move | None]) -> tuple[bytes, ...]:
        # Brings the children index up to the tree, once per touched node and not per undo.
        changed = []
        for child, old in before.items():
            new = self._effective.get(child)
            if new is old:
                continue
            birth = self._births.get(child)
            old_parent = birth if old is None else old.parent
            new_parent = birth if new is None else new.parent
            if old_parent != new_parent:
                if old_parent is not None:
                    self._children[old_parent].discard(child)
                if new_parent is not None:
                    self._children[new_parent].add(child)
            elif (None if old is None else old.meta) == (None if new is None else new.meta):
                continue
            changed.append(child)
        return tuple(sorted(changed))
