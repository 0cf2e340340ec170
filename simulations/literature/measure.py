"""
How large a state is: in elements, as the paper counts, and in bytes of our codec.

An element is one join-irreducible part: an element of a set, an entry of a counter or of a map.
"""

from crdt.codec import encode
from crdt.counters import PNCounter
from crdt.maps import GMap
from crdt.registers import LWWRegister
from crdt.sets import GSet
from simulations.literature.workloads import State

__all__ = ["array_bytes", "elements", "int_bytes", "state_bytes"]


def elements(state: State) -> int:
    """The number of join-irreducible parts, without making them."""
    match state:
        case GSet():
            return len(state.members)
        case PNCounter():
            return sum((up > 0) + (down > 0) for up, down in state.totals.values())
        case GMap():
            return len(state.cells)
        case _:
            raise TypeError(f"no workload has a {type(state).__name__}")


def array_bytes(length: int) -> int:
    """The header of an array of *length*, in the codec."""
    return 1 if length < 16 else 3 if length < 65_536 else 5


def int_bytes(number: int) -> int:
    """A number of at least 0, in the codec; millions are measured, so it is not encoded."""
    for size, end in ((1, 1 << 7), (2, 1 << 8), (3, 1 << 16), (5, 1 << 32)):
        if number < end:
            return size
    return 9


def state_bytes(state: State) -> int:
    """
    The encoded size: an array of elements, of (replica, count) or of (key, stamp, value).

    A decrement that nobody made and the replica of a register whose key is its own are left out,
    as in the authors' types: what is compared with us shall not be larger than it need be.
    """
    match state:
        case GSet(members):
            return array_bytes(len(members)) + sum(map(len, members))
        case PNCounter(totals):
            return array_bytes(len(totals)) + sum(
                len(encode((replica, up))) for replica, (up, _) in totals.items()
            )
        case GMap(_, cells):
            return array_bytes(len(cells)) + sum(
                len(key) + _register_bytes(cell) for key, cell in cells.items()
            )
        case _:
            raise TypeError(f"no workload has a {type(state).__name__}")


def _register_bytes(cell: object) -> int:
    assert isinstance(cell, LWWRegister), cell
    return array_bytes(3) + int_bytes(cell.stamp) + len(cell.encoded)
