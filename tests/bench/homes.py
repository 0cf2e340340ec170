"""
What many Worknodes cost: memory of each, start-up, list, show, and a sync with nothing to do.

Each has ten fields, as a task has; they come as a peer's entries of 110 operations, ten Worknodes
in each. Start-up is from the own snapshot. Memory is what a fresh process has more of than before.
Expected: start-up and list O(Worknodes); show and a comparison of roots O(1).
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from capability.entry import decode_entry
from capability.keys import SeedSigner
from mesh.core.inputs import Now
from mesh.core.records import PutEntry, PutMeta
from mesh.replica.replica import Replica
from mesh.storage import SqliteStore
from mesh.worknode.view import Views, walk, worknode_view
from tests.bench.corpus import Disk, Writer, filled, tasks
from tests.bench.measure import Answer, Curve, Row, best, rss_bytes, took
from tests.mesh.replica.world import TODAY_MS, seed

SIZES = (1_000, 10_000, 100_000)
PER_ENTRY = 10


def _entries(writer: Writer, count: int) -> Iterator[bytes]:
    yield writer.mesh.genesis.encode()
    yield from (grant.encode() for grant in writer.mesh.grants)
    creates, nodes = tasks(writer, count)
    for at in range(0, count, PER_ENTRY):
        listed = []
        for i in range(at, at + PER_ENTRY):
            listed += [creates[i], *filled(nodes[i], i)]
        yield writer.author.data(*listed).encode()


def _grown(before: int) -> int:
    gc.collect()
    return rss_bytes() - before


def fill(folder: Path) -> dict[str, float]:
    """Take in the entries of a file, in this fresh process, and leave a home with a snapshot."""
    now = Now(0, TODAY_MS + 1000)
    signer = SeedSigner(seed("bench reader"))
    with (folder / "entries").open("rb") as file, SqliteStore(folder / "mesh.db") as store:
        genesis = decode_entry(_next(file))
        store.commit([PutMeta("mesh_id", genesis.id), PutEntry(1, genesis, (), own=False)])
        home = Disk(store, signer, Replica.load(store, signer=signer, now=now), now)
        home.receive([_next(file)])
        before = rss_bytes()

        def receive() -> None:
            while window := [entry for _ in range(50) if (entry := _next(file))]:
                home.receive(window)

        taken = took(receive).wall_s
        grown = _grown(before)
        home.run(home.replica.snapshot(least=1))
        (folder / "state").write_bytes(home.replica.state_hash())
    return {"take": taken, "live": grown}


def start(folder: Path) -> dict[str, float]:
    """Start from that home, in another fresh process; then read."""
    now = Now(0, TODAY_MS + 2000)
    signer = SeedSigner(seed("bench reader"))
    with SqliteStore(folder / "mesh.db") as store:
        found: list[Replica] = []
        before = rss_bytes()
        taken = took(lambda: found.append(Replica.load(store, signer=signer, now=now))).wall_s
        grown = _grown(before)
        (replica,) = found
        assert replica.state_hash() == (folder / "state").read_bytes()
        node = next(n for n in replica.store.worknodes if replica.store.exists(n))
        show = best(lambda: took(lambda: worknode_view(replica, node))).wall_s
        views, every = Views(replica), walk(replica.store, replica.store.root)
        listed = took(lambda: [views.view(node) for _, node in every]).wall_s
        # The second time: the order of siblings is kept.
        order = best(lambda: took(lambda: list(walk(replica.store, replica.store.root)))).wall_s
        nodes = [node for _, node in walk(replica.store, replica.store.root)]
        search = took(lambda: [_is_found(views, node) for node in nodes]).wall_s
        sync = best(lambda: took(replica.port.roots)).wall_s
    return {
        "start": taken,
        "held": grown,
        "show": show,
        "list": listed,
        "order": order,
        "search": search,
        "sync": sync,
    }


def _is_found(views: Views, node: bytes) -> bool:
    return views.is_wanted(node, kind=None, status=None, words="no such words")


def _next(file: Any) -> bytes:
    size = int.from_bytes(file.read(4), "big")
    data: bytes = file.read(size)
    return data


def _child(step: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.homes", step, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _measured(count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        with (folder / "entries").open("wb") as file:
            for entry in _entries(Writer.make(), count):
                file.write(len(entry).to_bytes(4, "big") + entry)
        found = _child("fill", folder)
        starts = [_child("start", folder) for _ in range(3)]
        for what in starts[0]:
            found[what] = min(one[what] for one in starts)
    return found


CURVES = (
    ("take", "take in Worknodes of ten fields", "O(n)"),
    ("start", "start-up from the snapshot", "O(n)"),
    ("list", "list all Worknodes", "O(n)"),
    ("order", "put all Worknodes in order, again", "O(n)"),
    ("search", "search all Worknodes", "O(n)"),
    ("show", "show one Worknode", "O(1)"),
    ("sync", "compare roots, nothing to do", "O(1)"),
)


def answer() -> Answer:
    """The table for the largest, the curves for all three."""
    found = {count: _measured(count) for count in SIZES}
    count, most = SIZES[-1], found[SIZES[-1]]
    size = f"{count:,} Worknodes of ten fields"
    each, restarted = most["live"] / count / 1024, most["held"] / count / 1024
    rows = (
        Row("memory of a Worknode, as it came", "mesh", size, each, "KiB", "≤ 2.5"),
        Row("memory of a Worknode, after a restart", "mesh", size, restarted, "KiB", "≤ 2.5"),
        Row("start-up from the snapshot", "mesh", size, most["start"], "s", "≤ 3 s"),
        Row("take in all of them", "mesh", size, most["take"], "s"),
        Row("list all", "mesh", size, most["list"], "s"),
        Row("put all in order, again", "mesh", size, most["order"] * 1e3, "ms"),
        Row("search all", "mesh", size, most["search"], "s"),
        Row("show one", "mesh", size, most["show"] * 1e3, "ms"),
        Row("compare with nothing to do", "mesh", size, most["sync"] * 1e6, "µs"),
    )
    curves = tuple(
        Curve(what, tuple((n, found[n][name]) for n in SIZES), bound)
        for name, what, bound in CURVES
    )
    return Answer(rows, curves)


if __name__ == "__main__":
    print(json.dumps({"fill": fill, "start": start}[sys.argv[1]](Path(sys.argv[2]))))
