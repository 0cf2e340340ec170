"""
Maps from keys to causal values of one type, with observed removal.

Source: Almeida, Shoker, Baquero: Delta state replicated data types, JPDC 2018 (ORMap),
    https://arxiv.org/abs/1603.01529.
"""

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import field, frozen

from crdt.causal import CausalContext
from crdt.codec import Value, encode
from crdt.dotstore import CausalLattice, DotMap
from crdt.encoded import sorted_values

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ORMap"]

# The dot store of V follows from V, which Python's types cannot say; hence Any for the store.
V = TypeVar("V", bound=CausalLattice[Any])


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
