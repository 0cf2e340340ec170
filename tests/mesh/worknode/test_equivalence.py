"""
The compact store reads as the general lattices of crdt do, whatever the history and its delivery.

Three replicas act, meet, and receive lone operations out of causal order. Each has a lattice state,
joined from deltas, and a store, into which every operation is folded once, in an order drawn at
random. A kill names the dots that were live in the actor's own *store*, as the replica's planner
does; so the store is never helped by the lattice.
"""

from __future__ import annotations

import hashlib
from random import Random
from typing import Any

import pytest
from attrs import define, field, frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crdt.codec import Value, encode
from crdt.counters import Counter
from crdt.logs import AppendLog
from crdt.maps import ORMap
from crdt.registers import LWWRegister, MVRegister
from crdt.sets import AWSet
from mesh.worknode import reading, statehash
from mesh.worknode.cells import COUNTER, LOG, MULTI, REGISTER, SET, CellKey, DotCell, dot
from mesh.worknode.store import Store
from tests.crdt.lattices import Case, Event, World, keys, ops
from tests.crdt.strategies import BOUNDED, REPLICAS, Act, Step, few_values, histories

NODE = b"w" * 16
# How long an example takes to draw measures the machine, as a deadline does.
STEADY = settings(BOUNDED, suppress_health_check=[HealthCheck.too_slow])
Operation = tuple[Value, ...]


@frozen
class Told:
    """An operation as it travels: its event, and the events whose dots it kills."""

    event: Event
    key: CellKey
    kills: tuple[int, ...]


def entry_id(number: int) -> bytes:
    return hashlib.blake2b(b"%d" % number, digest_size=32).digest()


def index(number: int) -> int:
    return number % 5


def dot_name(number: int) -> bytes:
    return entry_id(number) + index(number).to_bytes(2, "big")


@define
class Compact:
    """One replica's store with its own local numbers; as `Readable` as cells need."""

    author: bytes
    told: list[Told | None] = field(factory=lambda: [None])
    number: dict[int, int] = field(factory=dict)
    store: Store = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.store = Store(b"r" * 16, self.order, lambda at: dot_name(self.at(at >> 16).number))

    def at(self, n: int) -> Event:
        told = self.told[n]
        assert told is not None
        return told.event

    def order(self, n: int) -> tuple[bytes, int, bytes]:
        event = self.at(n)
        return event.replica, event.number + 1, entry_id(event.number)

    @property
    def table(self) -> Compact:
        return self

    @property
    def authors(self) -> list[bytes]:
        return [b"" if told is None else told.event.replica for told in self.told]

    @property
    def pending(self) -> Compact:
        return self

    def of_node(self, node: bytes) -> list[Any]:
        return []

    def seen(self, key: CellKey, value: Value | None, *, all_values: bool) -> tuple[int, ...]:
        """The events whose dots are live in a cell, of one value or of all."""
        cell = self.store.cell(NODE, key)
        dots = cell.dots if isinstance(cell, DotCell) else {}
        return tuple(
            self.at(at >> 16).number
            for at, (_, held) in dots.items()
            if all_values or encode(held) == encode(value)
        )

    def fold(self, told: Told) -> None:
        n = len(self.told)
        self.told.append(told)
        self.number[told.event.number] = n
        self.join(n)

    def join(self, n: int) -> None:
        told = self.told[n]
        assert told is not None
        event, key, store = told.event, told.key, self.store
        hlc, at, value = event.stamp, dot(n, index(event.number)), event.operation[-1]
        if key[2] == REGISTER:
            store.put(NODE, key, hlc, at, value)
        elif key[2] == COUNTER:
            assert isinstance(value, int)
            store.increment(NODE, key, hlc, at, value)
        else:
            killed = [(self.local(number), dot_name(number)) for number in told.kills]
            store.kill(NODE, key, hlc, at, killed)
            if event.operation[0] not in {"remove", "discard"}:
                store.add(NODE, key, hlc, at, value)

    def local(self, number: int) -> int | None:
        n = self.number.get(number)
        return None if n is None else dot(n, index(number))

    def fold_again(self, dice: Random) -> None:
        self.store.clear(NODE)
        again = list(range(1, len(self.told)))
        dice.shuffle(again)
        for n in again:
            self.join(n)


@frozen
class Pair:
    """A lattice with its cell: where an operation goes, what it kills, and how both are read."""

    case: Case
    type: int
    fields: bool = False

    def key(self, operation: Operation) -> CellKey:
        return 0, encode(operation[1]).hex() if self.fields else "f", self.type

    def kills(self, compact: Compact, operation: Operation) -> tuple[int, ...]:
        if self.type not in {MULTI, SET}:
            return ()
        key = self.key(operation)
        return compact.seen(key, operation[-1], all_values=self.type == MULTI)

    def read(self, compact: Any) -> Value:
        match self.type:
            case 3:
                return reading.register(compact, NODE, 0, "f")
            case 7:
                return reading.look(compact, NODE).total(0, "f")
            case 8:
                return tuple(value for _, _, value in reading.log(compact, NODE, 0, "f"))
        if not self.fields:
            return tuple(reading.members(compact, NODE, 0, "f", self.type))
        names = [name for _, name, _ in reading.look(compact, NODE).cell_keys()]
        return tuple(
            (name, tuple(reading.members(compact, NODE, 0, name, self.type)))
            for name in sorted(names)
        )


def case(name: str, bottom: Any, operations: Any, mutate: Any, read: Any) -> Case:
    return Case(name, bottom, operations, mutate, read, naive=lambda live: None)


def mutate_set(state: AWSet, replica: bytes, _: int, op: Operation) -> AWSet:
    if op[0] == "add":
        return state.add(replica=replica, value=op[-1])
    return state.remove(value=op[-1])


def mutate_sets(state: ORMap[AWSet], replica: bytes, stamp: int, op: Operation) -> ORMap[AWSet]:
    return state.apply(op[1], lambda inner: mutate_set(inner, replica, stamp, op))


def read_map(state: ORMap[Any]) -> Value:
    return tuple(
        sorted((encode(key).hex(), state.get(key).values()) for key in state.keys())  # noqa: SIM118
    )


set_ops = ops("add", few_values) | ops("add", few_values) | ops("remove", few_values)
PAIRS = [
    Pair(
        case(
            "last-writer-wins register",
            LWWRegister(),
            ops("write", few_values),
            lambda s, replica, stamp, op: s.write(replica=replica, stamp=stamp, value=op[1]),
            lambda s: s.value,
        ),
        REGISTER,
    ),
    Pair(
        case(
            "multi-value register",
            MVRegister(),
            ops("write", few_values),
            lambda s, replica, _, op: s.write(replica=replica, value=op[1]),
            lambda s: s.values(),
        ),
        MULTI,
    ),
    Pair(case("add-wins set", AWSet(), set_ops, mutate_set, lambda s: s.values()), SET),
    Pair(
        case(
            "counter",
            Counter(),
            ops("increment", st.integers(-3, 3)),
            lambda s, replica, _, op: s.increment(replica=replica, amount=op[1]),
            lambda s: s.value,
        ),
        COUNTER,
    ),
    Pair(
        case(
            "append log",
            AppendLog(),
            ops("append", few_values),
            lambda s, replica, stamp, op: s.append(replica=replica, stamp=stamp, value=op[1]),
            lambda s: s.values(),
        ),
        LOG,
    ),
    Pair(
        case(
            "map of sets",
            ORMap(AWSet()),
            ops("add", keys, keys) | ops("add", keys, keys) | ops("discard", keys, keys),
            mutate_sets,
            read_map,
        ),
        SET,
        fields=True,
    ),
    Pair(
        case(
            "map of multi-value registers",
            ORMap(MVRegister()),
            ops("write", keys, few_values),
            lambda s, replica, _, op: s.apply(
                op[1], lambda inner: inner.write(replica=replica, value=op[2])
            ),
            read_map,
        ),
        MULTI,
        fields=True,
    ),
]
every_pair = pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.case.name)


@define
class Both:
    """The lattices of three replicas and their stores, driven by one history."""

    pair: Pair
    dice: Random
    world: World = field(init=False)
    compacts: list[Compact] = field(init=False)
    told: list[Told] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.world = World.after(self.pair.case, ())
        self.compacts = [Compact(b"xyz"[at : at + 1]) for at in range(REPLICAS)]

    def take(self, step: Step) -> None:
        kills: tuple[int, ...] = ()
        if isinstance(step, Act):
            kills = self.pair.kills(self.compacts[step.replica], step.operation)
        self.world.take(step)
        if isinstance(step, Act):
            event = self.world.events[-1]
            self.told.append(Told(event, self.pair.key(step.operation), kills))
        self.deliver(step.replica)

    def deliver(self, at: int) -> None:
        """Fold what the lattice has and the store has not, in any order."""
        missing = sorted(self.world.held[at] - self.compacts[at].number.keys())
        self.dice.shuffle(missing)
        for number in missing:
            self.compacts[at].fold(self.told[number])

    def check(self, at: int) -> None:
        lattice = self.pair.case.read(self.world.states[at])
        store = self.pair.read(self.compacts[at])
        assert encode(store) == encode(lattice), (store, lattice)


@every_pair
@STEADY
@given(data=st.data())
def test_a_store_reads_as_the_lattice_does(pair: Pair, data: st.DataObject) -> None:
    both = Both(pair, data.draw(st.randoms(use_true_random=False)))
    for step in data.draw(histories(pair.case.operations)):
        both.take(step)
        both.check(step.replica)


@every_pair
@STEADY
@given(data=st.data())
def test_stores_that_were_told_the_same_are_the_same(pair: Pair, data: st.DataObject) -> None:
    both = Both(pair, data.draw(st.randoms(use_true_random=False)))
    for step in data.draw(histories(pair.case.operations)):
        both.take(step)
    for at in range(REPLICAS):
        for number in sorted(set(range(len(both.told))) - both.world.held[at]):
            both.world.states[at] = both.world.states[at].join(both.world.deltas[number])
        both.world.held[at] = frozenset(range(len(both.told)))
        both.deliver(at)
        both.check(at)
    leaves = {statehash.leaf(compact.store, NODE) for compact in both.compacts}
    assert len(leaves) == 1


@every_pair
@STEADY
@given(data=st.data())
def test_folding_again_in_any_order_gives_the_same(pair: Pair, data: st.DataObject) -> None:
    both = Both(pair, data.draw(st.randoms(use_true_random=False)))
    for step in data.draw(histories(pair.case.operations)):
        both.take(step)
    for at, compact in enumerate(both.compacts):
        before = statehash.leaf(compact.store, NODE)
        compact.fold_again(both.dice)
        both.check(at)
        assert statehash.leaf(compact.store, NODE) == before
