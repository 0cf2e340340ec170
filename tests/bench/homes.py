"""
What many Worknodes cost: memory of each, start-up, list, show, and a sync with nothing to do.

Each has ten fields, as a task has; they come as a peer's entries of 110 operations, ten Worknodes
in each. Start-up is from the own snapshot. Expected: start-up and list O(Worknodes); show and a
comparison of roots O(1).
"""

from __future__ import annotations

import gc
from functools import partial

from mesh.replica.replica import Replica
from mesh.worknode.view import list_worknodes, worknode_view
from tests.bench.corpus import Disk, Writer, disk, filled, tasks
from tests.bench.measure import Answer, Curve, Row, Took, best, rss_bytes, took

SIZES = (1_000, 10_000, 100_000)
PER_ENTRY = 10


def _entries(writer: Writer, count: int) -> tuple[list[bytes], bytes]:
    creates, nodes = tasks(writer, count)
    listed = []
    for i, (create, node) in enumerate(zip(creates, nodes, strict=True)):
        listed += [create, *filled(node, i)]
    return writer.entries(listed, PER_ENTRY * 11), nodes[count // 2]


def _started(home: Disk) -> tuple[Replica, Took, float]:
    """A restart: the replica, what it took, and how much memory it holds."""
    gc.collect()
    before = rss_bytes()
    found: list[Replica] = []
    taken = took(lambda: found.append(home.load()))
    gc.collect()
    return found[0], taken, rss_bytes() - before


def _answer_of(count: int) -> tuple[list[Row], dict[str, float]]:
    writer = Writer.make()
    entries, node = _entries(writer, count)
    size = f"{count:,} Worknodes of ten fields"
    with disk(writer.mesh) as home:
        gc.collect()
        before = rss_bytes()
        apply = took(partial(home.receive, entries))
        gc.collect()
        live = rss_bytes() - before
        home.run(home.replica.snapshot(least=1))
        home.now = home.now.__class__(0, home.now.wall_ms + 1)
        state = home.replica.state_hash()
        # The one that ran until now goes first, so that what follows is what one replica costs.
        home.replica.held.store.worknodes.clear()
        replica, start, held = _started(home)
        home.replica = replica
        for _ in range(2):
            start = min(start, _started(home)[1])
        assert replica.state_hash() == state
        show = best(lambda: took(lambda: worknode_view(replica, node)))
        listed = best(lambda: took(lambda: list_worknodes(replica)), runs=1)
        sync = best(lambda: took(replica.port.roots))
    per = {"live": live / count / 1024, "held": held / count / 1024}
    rows = [
        Row("memory of a Worknode, as it came", "mesh", size, per["live"], "KiB"),
        Row("memory of a Worknode, after a restart", "mesh", size, per["held"], "KiB", "≤ 2.5"),
        Row("start-up from the snapshot", "mesh", size, start.wall_s, "s", "≤ 3 s"),
        Row("list all", "mesh", size, listed.wall_s, "s"),
        Row("show one", "mesh", size, show.wall_s * 1e3, "ms"),
        Row("compare with nothing to do", "mesh", size, sync.wall_s * 1e6, "µs"),
    ]
    costs = {
        "take in Worknodes of ten fields": apply.wall_s,
        "start-up from the snapshot": start.wall_s,
        "list all Worknodes": listed.wall_s,
        "show one Worknode": show.wall_s,
        "compare roots, nothing to do": sync.wall_s,
    }
    return rows, costs


BOUNDS = ("O(n)", "O(n)", "O(n)", "O(1)", "O(1)")


def answer() -> Answer:
    """The table for the largest, the curves for all three."""
    found = {count: _answer_of(count) for count in SIZES}
    rows, costs = found[SIZES[-1]]
    curves = tuple(
        Curve(what, tuple((count, found[count][1][what]) for count in SIZES), bound)
        for what, bound in zip(costs, BOUNDS, strict=True)
    )
    return Answer(tuple(rows), curves)
