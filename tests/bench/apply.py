"""
How many updates of a peer are taken in a second, from bytes to disk, with every check.

Each update sets the status of one of 1 000 tasks; entries carry 1, 10 or 100 of them. What is
timed: decoding, hashes, signature, chain, authority, scope and permission of each operation, fold,
events with cursors, and the commits (`synchronous=FULL`). Expected: O(updates) + O(signatures).
"""

from __future__ import annotations

from functools import partial

from mesh.worknode.cells import REGISTER, RegisterCell
from tests.bench.corpus import KEYS, UPDATES, Writer, disk, state_of, tasks, updates
from tests.bench.measure import RUNS, Answer, Curve, Row, Took, best, took

GROUPS = (1, 10, 100)


def entries_of(group: int, count: int, keys: int) -> tuple[Writer, list[bytes], list[bytes]]:
    """The author, its tasks and *count* updates of them, signed in groups."""
    writer = Writer.make()
    creates, nodes = tasks(writer, keys)
    first = writer.entries(creates, 100)
    return writer, first, writer.entries(updates(nodes, count), group)


def apply_once(writer: Writer, first: list[bytes], entries: list[bytes]) -> Took:
    """What a new home takes for *entries*, when it holds what they are about."""
    with disk(writer.mesh) as home:
        home.receive(first)
        return took(partial(home.receive, entries))


def check(count: int = 1_000) -> None:
    """What is measured does what it says: the last writer's value stands."""
    writer, first, entries = entries_of(100, count, KEYS)
    node = tasks(writer, KEYS)[1][(count - 1) % KEYS]
    with disk(writer.mesh) as home:
        home.receive(first + entries)
        cell = home.replica.store.cell(node, (0, "status", REGISTER))
        assert isinstance(cell, RegisterCell) and cell.value == state_of(count - 1)


def answer() -> Answer:
    """Updates/s and bytes per update for each group size; growth of the work."""
    check()
    rows = []
    for group in GROUPS:
        # Signing ten thousand entries one by one takes longer than taking them in.
        count = UPDATES if group > 1 else UPDATES // 5
        writer, first, entries = entries_of(group, count, KEYS)
        taken = best(partial(apply_once, writer, first, entries), runs=RUNS if group > 1 else 3)
        size = f"{count:,} updates, {KEYS:,} keys"
        aim = "≥ 344,000" if group == 100 else ""
        who = f"mesh, signed per {group}"
        rows.append(Row("remote updates applied", who, size, count / taken.wall_s, "/s", aim))
        rows.append(Row("… per second of processor time", who, size, count / taken.cpu_s, "/s"))
        wire = sum(map(len, entries)) / count
        rows.append(Row("bytes of an update on the wire", who, size, wire, "B"))
    points = []
    for count in (1_000, 10_000, 100_000):
        made = entries_of(100, count, KEYS)
        points.append((count, best(partial(apply_once, *made), runs=3).wall_s))
    return Answer(tuple(rows), (Curve("apply updates, signed per 100", tuple(points), "O(n)"),))
