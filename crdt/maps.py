"""
Maps: one that only grows, to any lattice; one to causal values of one type, with observed removal.

Source: Almeida, Shoker, Baquero: Delta state replicated data types, JPDC 2018 (ORMap),
    https://arxiv.org/abs/1603.01529; Enes, Almeida, Baquero, Leitao, ICDE 2019 (GMap, the
    function from keys to a lattice), https://arxiv.org/abs/1803.02750.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import field, frozen

from crdt.causal import CausalContext
from crdt.codec import Value, encode
from crdt.dotstore import CausalLattice, DotMap
from crdt.encoded import sorted_values
from crdt.lattice import Lattice, delta

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["GMap", "ORMap"]

L = TypeVar("L", bound=Lattice)

# The dot store of V follows from V, which Python's types cannot say; hence Any for the store.
V = TypeVar("V", bound=CausalLattice[Any])


@frozen
class GMap(Generic[L]):
    """A map from encoded keys to states of one lattice; no key has bottom, and none ever leaves."""

    empty: L
    """The bottom of the values' type: `GMap(LWWRegister())` maps to registers."""
    cells: Mapping[bytes, L] = field(factory=dict)

    def keys(self) -> tuple[Value, ...]:
        """The keys, in the order of their encodings."""
        return sorted_values(self.cells)

    def __contains__(self, key: Value) -> bool:
        return encode(key) in self.cells

    def get(self, key: Value) -> L:
        """The value at *key*, bottom if there is none."""
        return self.cells.get(encode(key), self.empty)

    def apply(self, key: Value, mutator: "Callable[[L], L]") -> "GMap[L]":
        """
        Change the value at *key*: `fields.apply("k", lambda cell: cell.write(...))`.

        Args:
            key: Made if it is not there and the delta is not bottom.
            mutator: Takes the value, returns the delta that one of its mutators gave.
        """
        change = mutator(self.get(key))
        return self._of({} if change.leq(self.empty) else {encode(key): change})

    def bottom(self) -> "GMap[L]":
        """No keys."""
        return self._of({})

    def join(self, other: "GMap[L]") -> "GMap[L]":
        """Key by key."""
        less, more = sorted((self.cells, other.cells), key=len)
        cells = dict(more)
        for key, value in less.items():
            mine = cells.get(key, value)
            # Replicas of one process often share a value; it is its own join.
            cells[key] = value if mine is value else mine.join(value)
        return self._of(cells)

    def leq(self, other: "GMap[L]") -> bool:
        """Whether every value is there at most as great as in *other*."""
        return all(
            (theirs := other.cells.get(key)) is value or (theirs is not None and value.leq(theirs))
            for key, value in self.cells.items()
        )

    def decompose(self) -> "Iterator[GMap[L]]":
        """One part for each part of each value."""
        for key, value in sorted(self.cells.items(), key=lambda cell: cell[0]):
            for part in value.decompose():
                yield self._of({key: part})

    def delta_since(self, remote: "GMap[L]") -> "GMap[L]":
        """The least state that brings *remote* up to its join with this. Cost: O(keys here)."""
        cells = {}
        for key, value in self.cells.items():
            theirs = remote.cells.get(key)
            if theirs is None:
                cells[key] = value
            elif theirs is not value and not value.leq(theirs):
                cells[key] = delta(value, theirs)
        return self._of(cells)

    def _of(self, cells: Mapping[bytes, L]) -> "GMap[L]":
        return GMap(self.empty, cells)


@frozen
class ORMap(CausalLattice[DotMap[Any]], Generic[V]):
    """
    A map whose values share its context, so that a removed key leaves nothing behind.

    A removal takes out what it saw under the key; concurrent writes below the key survive it, and
    with them the key. Values may be maps.
    """

    empty: V
    """The bottom of the values' type: `ORMap(AWSet())` maps to add-wins sets."""
    store: DotMap[Any] = field(factory=DotMap)
    context: CausalContext = field(factory=CausalContext)

    def keys(self) -> tuple[Value, ...]:
        """The keys with live values, in the order of their encodings."""
        return sorted_values(self.store.stores)

    def __contains__(self, key: Value) -> bool:
        return encode(key) in self.store.stores

    def get(self, key: Value) -> V:
        """The value at *key*, bottom in content if there is none."""
        store = self.store.stores.get(encode(key))
        return self.empty.holding(self.empty.store if store is None else store, self.context)

    def apply(self, key: Value, mutator: "Callable[[V], V]") -> "ORMap[V]":
        """
        Change the value at *key*: `tags.apply("k", lambda tag: tag.add(replica=r, value=v))`.

        Args:
            key: Made if it is not there.
            mutator: Takes the value, returns the delta that one of its mutators gave.
        """
        change = mutator(self.get(key))
        store = DotMap({encode(key): change.store} if change.store else {})
        return self.holding(store, change.context)

    def remove(self, key: Value) -> "ORMap[V]":
        """Take out what is seen under *key*; bottom if it is not there."""
        store = self.store.stores.get(encode(key))
        seen = CausalContext() if store is None else CausalContext.of(store.dots())
        return self.holding(DotMap(), seen)

    def clear(self) -> "ORMap[V]":
        """Take out everything seen here."""
        return self.holding(DotMap(), CausalContext.of(self.store.dots()))
