"""
How many entries a second are committed, and read back; `python -m tests.mesh.storage.bench_commit`.

Expected: a commit costs one fsync and a little per entry, O(log n) in the size of the log.
Entries of 440 bytes that touch one Worknode each, 30 % of them a new one; min of three runs.
"""

from __future__ import annotations

import random
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from mesh.core.records import PutEntry
from mesh.storage.sqlite import SqliteStore
from tests.mesh.storage.conformance import a_node, an_entry

RUNS = 3


def records(count: int) -> list[PutEntry]:
    rnd = random.Random(48213)
    made = []
    for n in range(1, count + 1):
        node = a_node(rnd.getrandbits(128) if rnd.random() < 0.3 else rnd.randrange(5000))
        made.append(PutEntry(n, an_entry(n, b"x" * 200), (node,), own=True))
    return made


def commit_all(made: list[PutEntry], batch: int, synchronous: str) -> tuple[float, float, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mesh.db"
        with SqliteStore(path) as store:
            store._writer.execute(f"PRAGMA synchronous = {synchronous}")
            start = time.perf_counter()
            for at in range(0, len(made), batch):
                store.commit(made[at : at + batch])
            wrote_s = time.perf_counter() - start
            start = time.perf_counter()
            assert sum(1 for _ in store.entries()) == len(made)
            read_s = time.perf_counter() - start
        return wrote_s, read_s, path.stat().st_size / len(made)


def main() -> None:
    print(f"SQLite {sqlite3.sqlite_version}, Python {sys.version.split()[0]}")
    for synchronous in ("FULL", "NORMAL"):
        for count, batch in ((2_000, 1), (20_000, 10), (50_000, 100), (50_000, 1000)):
            made = records(count)
            runs = [commit_all(made, batch, synchronous) for _ in range(RUNS)]
            wrote_s, read_s, size = map(min, zip(*runs, strict=True))
            print(
                f"{synchronous:6} batch {batch:4}: {count / batch / wrote_s:7.0f} commits/s,"
                f" {count / wrote_s:7.0f} entries/s; read back {count / read_s:7.0f} entries/s;"
                f" {size:.0f} B/entry"
            )


if __name__ == "__main__":
    main()
