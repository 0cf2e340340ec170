"""
Random writes on machines that cannot reach each other, and what must have become of them.

Each side knows what it may know: the common beginning and its own writes. What every write that was
acknowledged must come to is worked out here from the definitions alone: the last writer's value,
sets of which an add outlives a removal that has not seen it, counters that add up, logs that lose
nothing, one parent for each Worknode and no circle.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from attrs import define, field

from tests.acceptance.machine import Caller, CallFailed, Machine

WRITES_PER_SIDE: Final = 200
BASE_WORKNODES: Final = 24
#: The first of the base are written to by all sides, the last of them are archived.
HOT: Final = 6
DOOMED: Final = 4
LABELS: Final = ("red", "green", "blue", "old")
REGISTERS: Final = ("title", "description", "notes", "type")

#: What history says of one write: (Worknode, what was done, field, value).
Row = tuple[str, str, str, str]


@define(eq=False)
class Base:
    """What all sides have in common before they part."""

    place: str
    nodes: list[str]
    rows: Counter[tuple[str, Row]]

    @classmethod
    def make(cls, machine: Machine) -> Base:
        """A project with tasks, on a machine whose peers then copy it."""
        place = machine.call("create", title="storm", kind="project")["id"]
        nodes = [
            machine.call("create", title=f"task {number}", under=place, set=[["labels", ["old"]]])[
                "id"
            ]
            for number in range(BASE_WORKNODES)
        ]
        base = cls(place, nodes, Counter())
        base.rows = history(machine, base.nodes)
        return base


@define(eq=False)
class Side:
    """One machine's writes while it is alone."""

    number: int
    machine: Machine
    base: Base
    author: str
    #: Acknowledged, as history must show them.
    rows: Counter[Row] = field(factory=Counter)
    created: list[str] = field(factory=list)
    refused: int = 0
    acknowledged: int = 0
    #: Worknode, field → the values that this side set, in their order.
    registers: dict[tuple[str, str], list[str]] = field(factory=dict)
    #: (Worknode, label) → whether the beginning's add still stands here, and whether an own one.
    labels: dict[tuple[str, str], tuple[bool, bool]] = field(factory=dict)
    counters: Counter[str] = field(factory=Counter)
    comments: Counter[tuple[str, str]] = field(factory=Counter)
    _parents: dict[str, str] = field(factory=dict)
    _call: Caller = field(init=False)
    _error: BaseException | None = None

    def __attrs_post_init__(self) -> None:
        self._call = self.machine.caller()
        self._parents = dict.fromkeys(self.base.nodes, self.base.place)
        for node in self.base.nodes:
            self.labels[node, "old"] = (True, False)

    def run(self, rng: random.Random, writes: int) -> None:
        """Write until *writes* are acknowledged; never raises, see `error`."""
        try:
            self._circle()
            while self.acknowledged < writes:
                self._one(rng)
            # Nobody can be reached, but what waits to be sealed is sealed.
            self._call("sync")
        except BaseException as error:  # noqa: BLE001 - raised in the test's own thread
            self._error = error
        finally:
            self._call.close()

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    def _one(self, rng: random.Random) -> None:
        acts = (self._set, self._label, self._count, self._comment, self._move, self._create)
        (act,) = rng.choices(acts, (6, 5, 3, 3, 3, 2))
        if rng.random() < 0.03:
            act = self._archive
        act(rng)

    def _done(self, node: str, did: str, name: str, value: object) -> None:
        self.acknowledged += 1
        self.rows[node, did, name, str(value)] += 1

    def _target(self, rng: random.Random) -> str:
        """Mostly one that the others write to as well, or one that somebody archives."""
        if rng.random() < 0.6:
            return rng.choice(self.base.nodes[:HOT])
        return rng.choice(self.base.nodes + self.created)

    def _set(self, rng: random.Random) -> None:
        node, name = self._target(rng), rng.choice(REGISTERS)
        value = f"{self.machine.name}-{self.acknowledged}"
        self._call("update", node=node, set=[[name, value]])
        self.registers.setdefault((node, name), []).append(value)
        self._done(node, "set", name, value)

    def _label(self, rng: random.Random) -> None:
        node, label = self._target(rng), rng.choice(LABELS)
        old, own = self.labels.get((node, label), (False, False))
        if (old or own) and rng.random() < 0.5:
            self._call("update", node=node, remove=[["labels", label]])
            self.labels[node, label] = (False, False)
            self._done(node, "remove", "labels", None)
        else:
            self._call("update", node=node, add=[["labels", label]])
            self.labels[node, label] = (old, True)
            self._done(node, "add", "labels", label)

    def _count(self, rng: random.Random) -> None:
        node, amount = self._target(rng), rng.randint(1, 9)
        act = rng.choice(("add", "remove"))
        self._call("update", node=node, **{act: [["retry_count", amount]]})
        amount = amount if act == "add" else -amount
        self.counters[node] += amount
        self._done(node, "increment", "work:retry_count", amount)

    def _comment(self, rng: random.Random) -> None:
        node = self._target(rng)
        text = f"{self.machine.name} says {self.acknowledged}"
        # Some of them wait for others before they are sealed.
        self._call("update", node=node, add=[["comments", text]], local=rng.random() < 0.3)
        self.comments[node, text] += 1
        self._done(node, "append", "comment:comments", {"text": text})

    def _create(self, rng: random.Random) -> None:
        parent = rng.choice([self.base.place, *self.base.nodes, *self.created])
        title = f"{self.machine.name} made {self.acknowledged}"
        node = self._call("create", title=title, under=parent)["id"]
        self.created.append(node)
        self._parents[node] = parent
        self._done(node, "create", "kind", "task")
        self.rows[node, "set", "title", title] += 1
        self.registers[node, "title"] = [title]

    def _circle(self) -> None:
        """Each side moves one under the next: all three moves together would make a circle."""
        circle = self.base.nodes[:3]
        self._place(circle[self.number], circle[(self.number + 1) % 3])

    def _move(self, rng: random.Random) -> None:
        node = rng.choice(self.base.nodes[:-DOOMED] + self.created)
        self._place(node, rng.choice([self.base.place, *self.base.nodes, *self.created]))

    def _place(self, node: str, parent: str) -> None:
        if self._parents[node] == parent:
            return
        try:
            self._call("move", node=node, under=parent)
        except CallFailed as failed:
            if failed.error["code"] != "precondition":
                raise
            # A circle that this side sees itself.
            self.refused += 1
            return
        self._parents[node] = parent
        self._done(node, "move", "parent", parent)

    def _archive(self, rng: random.Random) -> None:
        node = rng.choice(self.base.nodes[-DOOMED:])
        if self._parents[node] != "":
            self._call("archive", node=node)
            self._parents[node] = ""
            self._done(node, "archive", "parent", ".trash")


def rage(machines: Sequence[Machine], base: Base, *, seed: int) -> list[Side]:
    """All machines write at once, each in a thread of its own."""
    sides = [
        Side(number, machine, base, machine.status()["node_id"][:8])
        for number, machine in enumerate(machines)
    ]
    threads = [
        threading.Thread(
            target=side.run, args=(random.Random(f"{seed} {side.number}"), WRITES_PER_SIDE)
        )
        for side in sides
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for side in sides:
        side.check()
    return sides


# -- afterwards ---------------------------------------------------------------------------------


def history(machine: Machine, nodes: Sequence[str]) -> Counter[tuple[str, Row]]:
    """(Author, row) of everything that was written to *nodes* and counts."""
    found: Counter[tuple[str, Row]] = Counter()
    for node in nodes:
        for row in machine.call("history", node=node, limit=10_000):
            assert row["counts"], row
            author = row["by"].rstrip(")").rpartition("(")[2]
            found[author, (node, row["did"], row["field"], str(row["value"]))] += 1
    return found


def all_ids(machine: Machine) -> Counter[str]:
    """How often each Worknode is listed, archived ones too."""
    listed = machine.call("list") + machine.call("list", archived=True)
    return Counter(worknode["id"] for worknode in listed)


def check_all(machine: Machine, base: Base, sides: Sequence[Side]) -> None:
    """Everything that was acknowledged anywhere is on *machine*, once."""
    created = [node for side in sides for node in side.created]
    nodes = base.nodes + created
    expected = base.rows.copy()
    for side in sides:
        expected.update({(side.author, row): count for row, count in side.rows.items()})
    found = history(machine, nodes)
    assert found == expected, (expected - found, found - expected)
    ids = all_ids(machine)
    assert set(ids.values()) == {1}, [node for node, count in ids.items() if count > 1]
    assert set(nodes) <= set(ids)
    shown = {node: machine.call("show", node=node) for node in nodes}
    _check_parents(shown, base)
    for node in nodes:
        _check_fields(machine, node, shown[node], sides)


def _check_parents(shown: dict[str, Any], base: Base) -> None:
    """Every way up ends at the project or in the trash."""
    for node, view in shown.items():
        seen: list[str] = []
        here = node
        while here in shown:
            assert here not in seen, f"a circle: {seen}"
            seen.append(here)
            here = shown[here]["parent"]
        assert here in {base.place, None}, (node, here)
        assert (here is None) == view["archived"], view


def _check_fields(machine: Machine, node: str, view: dict[str, Any], sides: Sequence[Side]) -> None:
    fields = view["fields"]
    assert fields.get("retry_count", 0) == sum(side.counters[node] for side in sides)
    said = Counter(comment["text"] for comment in fields.get("comments", []))
    assert said == Counter(
        {text: n for side in sides for (at, text), n in side.comments.items() if at == node}
    )
    for label in LABELS:
        ways = [side.labels.get((node, label), (False, False)) for side in sides]
        # Of the beginning's add each removal is a removal; an own add outlives the others'.
        stands = all(old for old, _ in ways) or any(own for _, own in ways)
        assert (label in fields.get("labels", [])) == stands, (node, label, ways, fields)
    for name in REGISTERS:
        last = [side.registers[node, name][-1] for side in sides if (node, name) in side.registers]
        if last:
            assert fields[name] in last, (node, name, fields[name], last)
