"""
`LATTICES`: every lattice with its operations and its naive definition.

The naive definition knows events and which of them each replica holds. An event names the events
that it removes: those live ones, of the events its replica held, that the operation is about.
An event is live in a set if nothing in the set removes it. The value is read from the live events.
"""

from collections.abc import Callable, Iterable
from typing import Any

from attrs import define, field, frozen
from hypothesis import strategies as st

from crdt.codec import Value, encode
from crdt.counters import Counter, PNCounter
from crdt.logs import AppendLog
from crdt.maps import GMap, ORMap
from crdt.registers import LWWRegister, MVRegister
from crdt.sets import AWSet, GSet
from tests.crdt.strategies import REPLICAS, Act, Deliver, Meet, Step, few_values

Operation = tuple[Value, ...]


@frozen
class Event:
    """One act, by its number; *removes* are numbers of events."""

    number: int
    replica: bytes
    stamp: int
    operation: Operation
    removes: frozenset[int]


@frozen
class Case:
    """A lattice under test."""

    name: str
    bottom: Any
    operations: st.SearchStrategy[Operation]
    # (state, replica, stamp, operation) -> delta
    mutate: Callable[[Any, bytes, int, Operation], Any]
    read: Callable[[Any], Value]
    # The value of live events, ascending by number.
    naive: Callable[[list[Event]], Value]
    # Whether an operation is about a live event, and so removes it.
    about: Callable[[Operation, Operation], bool] = lambda operation, event: False
    # Whether the delta of the first event also carries the second, of the same replica, earlier.
    carries: Callable[[Event, Event], bool] = lambda event, earlier: False


@define
class World:
    """Three replicas: their lattice states, and the numbers of the events each of them holds."""

    case: Case
    states: list[Any]
    held: list[frozenset[int]]
    clocks: list[int] = field(factory=lambda: [0] * REPLICAS)
    events: list[Event] = field(factory=list)
    deltas: list[Any] = field(factory=list)

    @classmethod
    def after(cls, case: Case, history: Iterable[Step]) -> "World":
        world = cls(case, [case.bottom] * REPLICAS, [frozenset()] * REPLICAS)
        for step in history:
            world.take(step)
        return world

    def take(self, step: Step) -> None:
        match step:
            case Act(index, operation, pause):
                self.act(index, operation, pause)
            case Meet(index, other):
                self.states[index] = self.states[index].join(self.states[other])
                self.held[index] |= self.held[other]
            case Deliver(index, choice) if self.events:
                event = self.events[choice % len(self.events)]
                self.states[index] = self.states[index].join(self.deltas[event.number])
                self.held[index] |= {event.number} | {
                    earlier.number
                    for earlier in self.events[: event.number]
                    if earlier.replica == event.replica and self.case.carries(event, earlier)
                }
            case _:
                pass

    def act(self, index: int, operation: Operation, pause: int) -> None:
        self.clocks[index] += pause
        replica = b"xyz"[index : index + 1]
        delta = self.case.mutate(self.states[index], replica, self.clocks[index], operation)
        removes = frozenset(
            event.number
            for event in self.live(index)
            if self.case.about(operation, event.operation)
        )
        number = len(self.events)
        self.events.append(Event(number, replica, self.clocks[index], operation, removes))
        self.deltas.append(delta)
        self.states[index] = self.states[index].join(delta)
        self.held[index] |= {number}

    def live(self, index: int) -> list[Event]:
        held = [self.events[number] for number in sorted(self.held[index])]
        removed = {number for event in held for number in event.removes}
        return [event for event in held if event.number not in removed]

    def expected(self, index: int) -> Value:
        return self.case.naive(self.live(index))


def ordered(values: Iterable[Value]) -> tuple[Value, ...]:
    """The distinct values by encoding."""
    return tuple({encode(value): value for value in sorted(values, key=encode)}.values())


def of(live: list[Event], verb: str) -> list[Operation]:
    return [event.operation for event in live if event.operation[0] == verb]


def ops(verb: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Operation]:
    return st.tuples(st.just(verb), *arguments)


amounts = st.integers(-3, 3)
keys = st.sampled_from([1, True, "k"])


def mutate_lww(state: LWWRegister, replica: bytes, stamp: int, op: Operation) -> LWWRegister:
    return state.write(replica=replica, stamp=stamp, value=op[1])


def naive_lww(live: list[Event]) -> Value:
    last = max(live, key=lambda event: (event.stamp, event.replica), default=None)
    return None if last is None else last.operation[1]


def mutate_mv(state: MVRegister, replica: bytes, _: int, op: Operation) -> MVRegister:
    return state.clear() if op[0] == "clear" else state.write(replica=replica, value=op[1])


def mutate_aw(state: AWSet, replica: bytes, _: int, op: Operation) -> AWSet:
    match op[0]:
        case "add":
            return state.add(replica=replica, value=op[1])
        case "remove":
            return state.remove(value=op[1])
        case _:
            return state.clear()


def about_aw(op: Operation, event: Operation) -> bool:
    return op[0] == "clear" or (event[0] == "add" and encode(op[1]) == encode(event[1]))


def mutate_counter(state: Counter, replica: bytes, _: int, op: Operation) -> Counter:
    if op[0] == "reset":
        return state.reset()
    assert isinstance(op[1], int)
    return state.increment(replica=replica, amount=op[1])


def mutate_pn(state: PNCounter, replica: bytes, _: int, op: Operation) -> PNCounter:
    assert isinstance(op[1], int)
    return state.increment(replica=replica, amount=op[1])


def carries_pn(event: Event, earlier: Event) -> bool:
    # A delta is the new total of one sign.
    signs = [
        (int(str(e.operation[1])) > 0) - (int(str(e.operation[1])) < 0) for e in (event, earlier)
    ]
    return signs[0] == signs[1]


def total(live: list[Event]) -> Value:
    return sum(int(str(op[1])) for op in of(live, "increment"))


def mutate_map_of_sets(state: ORMap[AWSet], replica: bytes, _: int, op: Operation) -> ORMap[AWSet]:
    match op[0]:
        case "add":
            return state.apply(op[1], lambda tags: tags.add(replica=replica, value=op[2]))
        case "discard":
            return state.apply(op[1], lambda tags: tags.remove(value=op[2]))
        case "remove":
            return state.remove(op[1])
        case _:
            return state.clear()


def about_map(op: Operation, event: Operation) -> bool:
    # An operation is about every add below the path that it names.
    path = op[1:] if op[0] != "write" else op[1:-1]
    return all(
        encode(mine) == encode(theirs) for mine, theirs in zip(path, event[1:], strict=False)
    )


def read_map_of_sets(state: ORMap[AWSet]) -> Value:
    present = state.keys()
    return tuple((key, state.get(key).values()) for key in present)


def naive_map_of_sets(live: list[Event]) -> Value:
    adds = of(live, "add")
    return tuple(
        (key, ordered(op[2] for op in adds if encode(op[1]) == encode(key)))
        for key in ordered(op[1] for op in adds)
    )


def mutate_gmap(mutate: Callable[[Any, bytes, int, Operation], Any]) -> Callable[..., Any]:
    """The key stands before the arguments of the values' own operation."""
    return lambda state, replica, stamp, op: state.apply(
        op[1], lambda cell: mutate(cell, replica, stamp, op[1:])
    )


def read_gmap(state: GMap[Any]) -> Value:
    present = state.keys()
    return tuple((key, state.get(key).value) for key in present)


def naive_gmap(live: list[Event]) -> Value:
    last = {
        encode(event.operation[1]): event.operation[1:]
        for event in sorted(live, key=lambda event: (event.stamp, event.replica))
    }
    return tuple(last[key] for key in sorted(last))


def naive_gmap_of_counters(live: list[Event]) -> Value:
    counted = [op for op in of(live, "increment") if op[2]]
    return tuple(
        (key, sum(int(str(op[2])) for op in counted if encode(op[1]) == encode(key)))
        for key in ordered(op[1] for op in counted)
    )


def carries_gmap_of_counters(event: Event, earlier: Event) -> bool:
    amount, other = (int(str(e.operation[2])) for e in (event, earlier))
    return amount * other > 0 and encode(event.operation[1]) == encode(earlier.operation[1])


def mutate_nested(
    state: ORMap[ORMap[MVRegister]], replica: bytes, _: int, op: Operation
) -> ORMap[ORMap[MVRegister]]:
    match op:
        case ("write", outer, inner, value):
            return state.apply(
                outer,
                lambda fields: fields.apply(
                    inner, lambda register: register.write(replica=replica, value=value)
                ),
            )
        case ("remove", outer, inner):
            return state.apply(outer, lambda fields: fields.remove(inner))
        case ("remove", outer):
            return state.remove(outer)
        case _:
            return state.clear()


def read_nested(state: ORMap[ORMap[MVRegister]]) -> Value:
    outers = state.keys()
    paths = [(outer, inners) for outer in outers if (inners := state.get(outer).keys())]
    return tuple(
        (outer, inner, state.get(outer).get(inner).values())
        for outer, inners in paths
        for inner in inners
    )


def naive_nested(live: list[Event]) -> Value:
    cells: dict[tuple[bytes, bytes], tuple[Value, Value, list[Value]]] = {}
    for _, outer, inner, value in of(live, "write"):
        cells.setdefault((encode(outer), encode(inner)), (outer, inner, []))[2].append(value)
    return tuple(
        (outer, inner, ordered(values)) for _, (outer, inner, values) in sorted(cells.items())
    )


LATTICES = [
    Case(
        "last-writer-wins register",
        LWWRegister(),
        ops("write", few_values),
        mutate_lww,
        lambda state: state.value,
        naive_lww,
    ),
    Case(
        "multi-value register",
        MVRegister(),
        ops("write", few_values) | ops("write", few_values) | ops("clear"),
        mutate_mv,
        lambda state: state.values(),
        lambda live: ordered(op[1] for op in of(live, "write")),
        about=lambda op, event: True,
    ),
    Case(
        "grow-only set",
        GSet(),
        ops("add", few_values),
        lambda state, replica, stamp, op: state.add(op[1]),
        lambda state: state.values(),
        lambda live: ordered(op[1] for op in of(live, "add")),
    ),
    Case(
        "add-wins set",
        AWSet(),
        ops("add", keys) | ops("add", keys) | ops("remove", keys) | ops("clear"),
        mutate_aw,
        lambda state: state.values(),
        lambda live: ordered(op[1] for op in of(live, "add")),
        about=about_aw,
    ),
    Case(
        "counter",
        Counter(),
        ops("increment", amounts) | ops("increment", amounts) | ops("reset"),
        mutate_counter,
        lambda state: state.value,
        total,
        about=lambda op, event: op[0] == "reset",
    ),
    Case(
        "counter of two totals",
        PNCounter(),
        ops("increment", amounts),
        mutate_pn,
        lambda state: state.value,
        total,
        carries=carries_pn,
    ),
    Case(
        "grow-only map of registers",
        GMap(LWWRegister()),
        ops("write", keys, few_values),
        mutate_gmap(mutate_lww),
        read_gmap,
        naive_gmap,
    ),
    Case(
        "grow-only map of counters",
        GMap(PNCounter()),
        ops("increment", keys, amounts),
        mutate_gmap(mutate_pn),
        read_gmap,
        naive_gmap_of_counters,
        carries=carries_gmap_of_counters,
    ),
    Case(
        "map of sets",
        ORMap(AWSet()),
        ops("add", keys, keys)
        | ops("add", keys, keys)
        | ops("discard", keys, keys)
        | ops("remove", keys)
        | ops("clear"),
        mutate_map_of_sets,
        read_map_of_sets,
        naive_map_of_sets,
        about=about_map,
    ),
    Case(
        "map of maps of registers",
        ORMap(ORMap(MVRegister())),
        ops("write", keys, keys, few_values)
        | ops("write", keys, keys, few_values)
        | ops("remove", keys, keys)
        | ops("remove", keys)
        | ops("clear"),
        mutate_nested,
        read_nested,
        naive_nested,
        about=about_map,
    ),
    Case(
        "append log",
        AppendLog(),
        ops("append", few_values),
        lambda state, replica, stamp, op: state.append(replica=replica, stamp=stamp, value=op[1]),
        lambda state: state.values(),
        lambda live: tuple(
            event.operation[1]
            for event in sorted(live, key=lambda event: (event.stamp, event.replica))
        ),
    ),
]
