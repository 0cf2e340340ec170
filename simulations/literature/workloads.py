"""
What the nodes write: six micro-benchmarks, one event of each node in each second.

- `gset`: an element that nobody else adds.
- `gcounter`: one increment.
- `gmapK`: one delta that sets K % of this node's share of 1000 keys to a new value. The shares do
  not overlap; which keys of it, the dice say anew each second.

Source: Enes et al., ICDE 2019, section V, table I; sizes, shares and rounding are those of the
    authors' `exp_simulations.erl`, https://github.com/vitorenesduarte/exp.
"""

from collections.abc import Callable
from random import Random
from typing import Any, Final, Protocol, Self, TypeAlias

from attrs import frozen

from crdt.counters import PNCounter
from crdt.maps import GMap
from crdt.registers import LWWRegister
from crdt.sets import GSet
from simulations.literature.topology import NODES

__all__ = [
    "EVENTS",
    "GMAP_KEYS",
    "WORKLOADS",
    "Event",
    "State",
    "Workload",
    "element_of",
    "keys_of",
    "percentage_of",
    "replica_of",
]

EVENTS: Final = 100
"""How many each node performs."""
GMAP_KEYS: Final = 1_000
PERCENTAGES: Final = (10, 30, 60, 100)
# A stamp of our clock on some day, so that its bytes are as many as they are in use.
_FIRST_STAMP: Final = 1_700_000_000_000 << 16


class State(Protocol):
    """A lattice that can say what another state lacks of it."""

    def bottom(self) -> Self: ...

    def join(self, other: Self) -> Self: ...

    def leq(self, other: Self) -> bool: ...

    def delta_since(self, remote: Self) -> Self: ...


@frozen
class Event:
    """The *number*-th write of *node*, from 1 on; *random* is the workload's own."""

    node: int
    number: int
    random: Random


Mutate: TypeAlias = Callable[[Any, Event], Any]


@frozen
class Workload:
    """A bottom, and the delta that an event makes of a state."""

    name: str
    bottom: State
    mutate: Mutate


def replica_of(node: int) -> bytes:
    """The name under which *node* counts and writes."""
    return b"node-%02d" % node


def element_of(event: Event) -> str:
    """The element of a set that this event adds."""
    return f"node-{event.node:02d}#{event.number}"


def _round_up(amount: float) -> int:
    # The authors round so: a whole number, too, gains one.
    return int(amount) + 1


def keys_of(event: Event, percentage: int) -> list[int]:
    """The keys that an event of `gmapK` sets, in order."""
    share = _round_up(GMAP_KEYS / NODES)
    first = event.node * share + 1
    keys = range(first, min(GMAP_KEYS, first + share - 1) + 1)
    count = min(len(keys), _round_up(percentage * share / 100))
    return sorted(event.random.sample(keys, count))


def percentage_of(name: str) -> int | None:
    """The K of `gmapK`; None for another workload."""
    return int(name.removeprefix("gmap")) if name.startswith("gmap") else None


def _add(state: GSet, event: Event) -> GSet:
    return state.add(element_of(event))


def _increment(state: PNCounter, event: Event) -> PNCounter:
    return state.increment(replica=replica_of(event.node), amount=1)


def _set_keys(percentage: int) -> Mutate:
    def mutate(state: GMap[LWWRegister], event: Event) -> GMap[LWWRegister]:
        change = state.bottom()
        # One stamp for all: the shares do not overlap, so only a node's own order matters.
        stamp = _FIRST_STAMP + (event.number * 1_000 << 16)
        written = LWWRegister().write(replica=replica_of(event.node), stamp=stamp, value=b"")
        for key in keys_of(event, percentage):
            change = change.join(state.apply(key, lambda _: written))
        return change

    return mutate


_NO_KEYS: Final[GMap[LWWRegister]] = GMap(LWWRegister())

WORKLOADS: Final = {
    workload.name: workload
    for workload in (
        Workload("gset", GSet(), _add),
        Workload("gcounter", PNCounter(), _increment),
        *(
            Workload(f"gmap{percentage}", _NO_KEYS, _set_keys(percentage))
            for percentage in PERCENTAGES
        ),
    )
}
