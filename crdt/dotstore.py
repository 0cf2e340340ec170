"""
Dot stores: sets and maps tagged with the dots of the events that put things there.

Beside a causal context a store needs no tombstones: a dot that a context covers and its store
lacks was removed. That one sentence is every join here.

Values and keys are held in their canonical encoding (`crdt.codec`), because equality of bytes is
the equality that replicas agree on; in Python `1 == True`.

Source: Almeida, Shoker, Baquero: Delta state replicated data types, JPDC 2018, causal
    delta-CRDTs (dot stores and their joins), https://arxiv.org/abs/1603.01529. Decomposition: Enes,
    Almeida, Baquero, Leitao, ICDE 2019, appendix, https://arxiv.org/abs/1803.02750.
Differs: a DotFun maps to encoded values under their byte order instead of to any lattice. One
    event writes one value, so a choice is only needed when an author gave a dot twice.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

from attrs import evolve, field, frozen

from crdt.causal import CausalContext, Dot

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

__all__ = ["CausalLattice", "DotFun", "DotMap", "DotSet", "DotStore"]


class DotStore(Protocol):
    """What a causal type keeps beside its context. A store without dots is falsy."""

    def __bool__(self) -> bool: ...

    def bottom(self) -> Self:
        """The store without dots."""

    def dots(self) -> "Iterator[Dot]":
        """Every live dot; a dot may come more than once if it lives under several keys."""

    def join(self, other: Self, context: CausalContext, other_context: CausalContext) -> Self:
        """The store of the join of (self, context) and (other, other_context)."""

    def leq(self, other: Self, context: CausalContext) -> bool:
        """Whether *other* keeps no dot of *context* that is removed here, nor a lesser value."""

    def only(self, dots: "Container[Dot]") -> Self:
        """The part of this store that lives by *dots*."""


@frozen
class DotSet:
    """Live dots and nothing else: a presence."""

    members: frozenset[Dot] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.members)

    def bottom(self) -> "DotSet":
        """No dots."""
        return DotSet()

    def dots(self) -> "Iterator[Dot]":
        """The members, in no order."""
        return iter(self.members)

    def join(
        self, other: "DotSet", context: CausalContext, other_context: CausalContext
    ) -> "DotSet":
        """Dots live on both sides, and those that the other side has not seen."""
        mine, theirs = self.members, other.members
        return DotSet(
            (mine & theirs)
            | frozenset(dot for dot in mine - theirs if dot not in other_context)
            | frozenset(dot for dot in theirs - mine if dot not in context)
        )

    def leq(self, other: "DotSet", context: CausalContext) -> bool:
        """Whether *other* has no dot that was removed here."""
        return all(dot not in context for dot in other.members - self.members)

    def only(self, dots: "Container[Dot]") -> "DotSet":
        """The members that are in *dots*."""
        return DotSet(frozenset(dot for dot in self.members if dot in dots))


@frozen
class DotFun:
    """Live dots, each with an encoded value."""

    cells: Mapping[Dot, bytes] = field(factory=dict)

    def __bool__(self) -> bool:
        return bool(self.cells)

    def bottom(self) -> "DotFun":
        """No cells."""
        return DotFun()

    def dots(self) -> "Iterator[Dot]":
        """The dots of the cells."""
        return iter(self.cells)

    def join(
        self, other: "DotFun", context: CausalContext, other_context: CausalContext
    ) -> "DotFun":
        """Cells live on both sides, and those that the other side has not seen."""
        cells = {
            dot: value
            for dot, value in other.cells.items()
            if dot in self.cells or dot not in context
        }
        for dot, value in self.cells.items():
            if dot in cells:
                cells[dot] = max(value, cells[dot])
            elif dot not in other_context:
                cells[dot] = value
        return DotFun(cells)

    def leq(self, other: "DotFun", context: CausalContext) -> bool:
        """Whether *other* has no cell that was removed here, and no lesser value."""
        return all(
            self.cells[dot] <= value if dot in self.cells else dot not in context
            for dot, value in other.cells.items()
        )

    def only(self, dots: "Container[Dot]") -> "DotFun":
        """The cells whose dots are in *dots*."""
        return DotFun({dot: value for dot, value in self.cells.items() if dot in dots})


S = TypeVar("S", bound=DotStore)


@frozen
class DotMap(Generic[S]):
    """Encoded keys, each with a store that has dots; a key whose store loses them all is gone."""

    stores: Mapping[bytes, S] = field(factory=dict)

    def __bool__(self) -> bool:
        return bool(self.stores)

    def bottom(self) -> "DotMap[S]":
        """No keys."""
        return DotMap()

    def dots(self) -> "Iterator[Dot]":
        """The dots of all stores."""
        for store in self.stores.values():
            yield from store.dots()

    def join(
        self, other: "DotMap[S]", context: CausalContext, other_context: CausalContext
    ) -> "DotMap[S]":
        """Key by key, under the same two contexts."""
        stores = {}
        for key in sorted(self.stores.keys() | other.stores.keys()):
            mine, theirs = self.stores.get(key), other.stores.get(key)
            if mine is None:
                assert theirs is not None
                mine = theirs.bottom()
            if theirs is None:
                theirs = mine.bottom()
            if joined := mine.join(theirs, context, other_context):
                stores[key] = joined
        return DotMap(stores)

    def leq(self, other: "DotMap[S]", context: CausalContext) -> bool:
        """Whether `leq` holds for the store of each key of *other*."""
        return all(
            self.stores.get(key, store.bottom()).leq(store, context)
            for key, store in other.stores.items()
        )

    def only(self, dots: "Container[Dot]") -> "DotMap[S]":
        """Each store restricted to *dots*; keys that this empties are left out."""
        kept = ((key, store.only(dots)) for key, store in self.stores.items())
        return DotMap({key: store for key, store in kept if store})


class CausalLattice(Generic[S]):
    """
    The lattice that every (dot store, causal context) pair is; the causal types share it.

    It has no state of its own: an attrs class beside it declares `store` and `context`.
    """

    __slots__ = ()

    store: S
    context: CausalContext

    def holding(self, store: S, context: CausalContext) -> Self:
        """The state of this type with the given store and context."""
        # Mypy cannot see that every user of this class is an attrs class with these two fields.
        return evolve(self, store=store, context=context)  # type: ignore[misc]

    def bottom(self) -> Self:
        """Nothing seen, nothing live."""
        return self.holding(self.store.bottom(), CausalContext())

    def join(self, other: Self) -> Self:
        """What is live on one side and not removed on the other."""
        return self.holding(
            self.store.join(other.store, self.context, other.context),
            self.context.join(other.context),
        )

    def leq(self, other: Self) -> bool:
        """Whether *other* has seen every dot seen here and keeps none that was removed here."""
        return self.context.leq(other.context) and self.store.leq(other.store, self.context)

    def decompose(self) -> "Iterator[Self]":
        """One part for each dot ever seen: its live cell, or its removal."""
        for dot in self.context:
            yield self.holding(self.store.only((dot,)), CausalContext.of((dot,)))

    def delta_since(self, remote: Self) -> Self:
        """
        The least state that brings *remote* up to its join with this state.

        The same as `crdt.lattice.delta`, at the cost of O(live dots of both + dots missing)
        instead of one comparison of states per dot ever seen.
        """
        alive = frozenset(self.store.dots())
        dots = frozenset(self.context.difference(remote.context)) | frozenset(
            dot for dot in remote.store.dots() if dot in self.context and dot not in alive
        )
        return self.holding(self.store.only(dots), CausalContext.of(dots))
