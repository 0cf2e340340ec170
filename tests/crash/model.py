"""
What a storm promised, and whether a replica keeps it.

Each cell has one writer, who waits for each answer. So after a kill a cell holds what was last
acknowledged, or something that was submitted later and not answered; never anything older.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from attrs import define, field

from capability.ids import root_worknode
from mesh.core.writes import Append, Increment, SetRegister
from mesh.replica.replica import Replica
from mesh.worknode.cells import (
    COUNTER,
    LOG,
    MULTI,
    REGISTER,
    SET,
    CounterCell,
    DotCell,
    RegisterCell,
)

Step = list[Any]
Cell = tuple[str, str]


@define
class Promise:
    """One submit, and its answer if one came."""

    steps: list[Step]
    hlc: int = 0
    entry: str = ""
    is_acknowledged: bool = False


@define
class Story:
    """All that one process said before it died."""

    promises: dict[int, Promise] = field(factory=dict)
    grants: list[str] = field(factory=list)
    events: list[Step] = field(factory=list)
    #: (lane, seq, id) of own entries that were about to be sent.
    left: list[tuple[int, int, str]] = field(factory=list)
    errors: list[Step] = field(factory=list)

    @classmethod
    def read(cls, said: bytes) -> Story:
        story = cls()
        # What follows the last line's end was cut short by the kill.
        for line in said.split(b"\n")[:-1]:
            story.note(*json.loads(line))
        return story

    def note(self, verb: str, *rest: Any) -> None:
        match verb, rest:
            case "submit", (number, steps):
                self.promises[number] = Promise(steps)
            case "ack", (number, hlc, entry):
                promise = self.promises[number]
                promise.hlc, promise.entry, promise.is_acknowledged = hlc, entry, True
            case "granted", (_, grant):
                self.grants.append(grant)
            case "left", (lane, seq, key):
                self.left.append((lane, seq, key))
            case "event", row:
                self.events.append(list(row))
            case "error", row:
                self.errors.append(list(row))

    @property
    def acknowledged(self) -> list[Promise]:
        return [p for p in self.promises.values() if p.is_acknowledged]

    def steps(self, *verbs: str) -> Iterator[tuple[bool, Step]]:
        """(acknowledged, step) in the order in which they were submitted."""
        for _, promise in sorted(self.promises.items()):
            for step in promise.steps:
                if step[0] in verbs:
                    yield promise.is_acknowledged, step


@define
class Held:
    """A replica as its user sees it: sealed entries under the rows that wait."""

    replica: Replica

    def _cell(self, node: str, name: str, kind: int) -> object:
        for ns in (0, 1):
            cell = self.replica.store.cell(bytes.fromhex(node), (ns, name, kind))
            if cell is not None:
                return cell
        return None

    def _rows(self, node: str, name: str, kind: type) -> list[Any]:
        rows = self.replica.pending.of_node(bytes.fromhex(node))
        return [row for row in rows if row.write.name == name and isinstance(row.write, kind)]

    def log(self, cell: Cell) -> Counter[object]:
        """How often each record stands in an append log."""
        held = self._cell(*cell, LOG)
        values = [v for _, v in held.dots.values()] if isinstance(held, DotCell) else []
        return Counter([*values, *(row.write.value for row in self._rows(*cell, Append))])

    def values(self, cell: Cell, kind: int) -> set[object]:
        """The live values of a set or a multi-value register."""
        held = self._cell(*cell, kind)
        return {v for _, v in held.dots.values()} if isinstance(held, DotCell) else set()

    def register(self, cell: Cell) -> object:
        held = self._cell(*cell, REGISTER)
        stamped = [(held.hlc, held.value)] if isinstance(held, RegisterCell) else []
        stamped += [(row.hlc, row.write.value) for row in self._rows(*cell, SetRegister)]
        return max(stamped)[1] if stamped else None

    def total(self, cell: Cell) -> int:
        held = self._cell(*cell, COUNTER)
        sealed = held.total if isinstance(held, CounterCell) else 0
        return sealed + sum(row.write.amount for row in self._rows(*cell, Increment))


def broken_promises(story: Story, replica: Replica) -> list[str]:
    """Everything that was promised and is not so, in words; empty if all is well."""
    held = Held(replica)
    return [
        *_existence(story, replica),
        *_places(story, replica),
        *_logs(story, held),
        *_sets(story, held),
        *_last_values(story, held),
        *_totals(story, held),
    ]


def _existence(story: Story, replica: Replica) -> Iterator[str]:
    for is_acknowledged, (_, node, _parent) in story.steps("create"):
        if is_acknowledged and not replica.store.exists(bytes.fromhex(node)):
            yield f"lost: the Worknode {node}"


def _allowed(steps: Iterable[tuple[bool, Step]]) -> dict[Cell, tuple[object, list[object]]]:
    """Per cell: the last acknowledged value (None: none), and it with all after it."""
    found: dict[Cell, tuple[object, list[object]]] = {}
    for is_acknowledged, step in steps:
        cell = (step[1], "place") if step[0] == "move" else (step[1], step[2])
        value = step[-1]
        last, allowed = found.get(cell, (None, [None]))
        found[cell] = (value, [value]) if is_acknowledged else (last, [*allowed, value])
    return found


def _places(story: Story, replica: Replica) -> Iterator[str]:
    root = root_worknode(replica.mesh_id).hex()
    for (node, _), (_, allowed) in _allowed(story.steps("move")).items():
        parent = replica.store.parent(bytes.fromhex(node))
        place = parent.hex() if parent is not None else None
        if place not in [root if item is None else item for item in allowed]:
            yield f"lost: {node} stands under {place}, not under one of {allowed}"


def _logs(story: Story, held: Held) -> Iterator[str]:
    for is_acknowledged, (_, node, name, value) in story.steps("append"):
        times = held.log((node, name))[value]
        if times > 1 or (is_acknowledged and times < 1):
            yield f"{value!r} stands {times} times in {name} of {node}"
    for promise in story.promises.values():
        if len(promise.steps) == 2:
            counts = {held.log((node, name))[v] for _, node, name, v in promise.steps}
            if len(counts) > 1:
                yield f"torn: {promise.steps}"


def _sets(story: Story, held: Held) -> Iterator[str]:
    removals = {(node, name, v): ok for ok, (_, node, name, v) in story.steps("remove")}
    for is_acknowledged, (_, node, name, value) in story.steps("add"):
        is_there = value in held.values((node, name), SET)
        is_removed = removals.get((node, name, value))
        if is_removed is None and is_acknowledged and not is_there:
            yield f"lost: {value!r} in {name} of {node}"
        if is_removed and is_there:
            yield f"back from the dead: {value!r} in {name} of {node}"


def _last_values(story: Story, held: Held) -> Iterator[str]:
    for cell, (_, allowed) in _allowed(story.steps("put")).items():
        if held.register(cell) not in allowed:
            yield f"lost: {cell} is {held.register(cell)!r}, not one of {allowed}"
    for cell, (_, allowed) in _allowed(story.steps("multi")).items():
        values = held.values(cell, MULTI)
        if len(values) > 1 or not (values or {None}) <= set(allowed):
            yield f"lost: {cell} is {values}, not one of {allowed}"


def _totals(story: Story, held: Held) -> Iterator[str]:
    least: Counter[Cell] = Counter()
    most: Counter[Cell] = Counter()
    for is_acknowledged, (_, node, name, amount) in story.steps("count"):
        most[node, name] += amount
        least[node, name] += amount if is_acknowledged else 0
    for cell in most:
        if not least[cell] <= held.total(cell) <= most[cell]:
            yield f"{cell} is {held.total(cell)}, not in {least[cell]} .. {most[cell]}"
