"""Sizes that are computed are those of what is made: parts, and bytes of the codec."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from crdt.codec import INT_MAX, encode
from crdt.counters import PNCounter
from crdt.maps import GMap
from crdt.registers import LWWRegister
from crdt.sets import GSet
from simulations.literature.measure import array_bytes, elements, int_bytes, state_bytes
from simulations.literature.replication import Ack, Deltas, Group, Matrix, Whole, message_bytes
from simulations.literature.workloads import WORKLOADS, Event, State, replica_of

Histories = st.tuples(
    st.sampled_from(sorted(WORKLOADS)), st.lists(st.tuples(st.integers(0, 14), st.integers(1, 99)))
)


def state_of(history: tuple[str, list[tuple[int, int]]]) -> State:
    name, events = history
    workload = WORKLOADS[name]
    state = workload.bottom
    for node, number in events:
        state = state.join(workload.mutate(state, Event(node, number, Random(number))))
    return state


def value_of(state: State) -> object:
    match state:
        case GSet():
            return state.values()
        case PNCounter(totals):
            return tuple((replica, up) for replica, (up, _) in totals.items())
        case GMap():
            cells = [(key, state.get(key)) for key in state.keys()]  # noqa: SIM118 - no dict
            assert all(isinstance(cell, LWWRegister) for _, cell in cells)
            return tuple((key, cell.stamp, cell.value) for key, cell in cells)
        case _:
            raise TypeError(state)


@given(Histories)
def test_an_element_is_an_irreducible_part(history: tuple[str, list[tuple[int, int]]]) -> None:
    state = state_of(history)
    assert elements(state) == len(list(state.decompose()))  # type: ignore[attr-defined]


@given(Histories)
def test_bytes_are_those_of_the_codec(history: tuple[str, list[tuple[int, int]]]) -> None:
    state = state_of(history)
    value = value_of(state)
    assert state_bytes(state) == len(encode(value))
    assert message_bytes(Whole(state)) == len(encode((0, value)))
    assert message_bytes(Group(300, state)) == len(encode((1, 300, value)))
    named = (replica_of(3), 200, value)
    assert message_bytes(Deltas((((3, 200), state),))) == len(encode((2, (named,))))


@given(st.integers(0, INT_MAX))
def test_numbers_and_acknowledgements_too(number: int) -> None:
    assert int_bytes(number) == len(encode(number))
    assert message_bytes(Ack(number)) == len(encode((3, number)))


@given(st.sampled_from([0, 15, 16, 65_535, 65_536]))
def test_headers_of_arrays(length: int) -> None:
    assert array_bytes(length) == len(encode((None,) * length)) - length


def test_a_digest_names_only_nodes_that_wrote() -> None:
    rows = ((replica_of(1), ((replica_of(0), 7),)),)
    assert message_bytes(Matrix(((0, 0), (7, 0)))) == len(encode((4, rows)))
