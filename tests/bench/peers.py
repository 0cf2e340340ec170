"""
What pycrdt and loro do with the same work, in the same run: 100 000 updates over 1 000 keys.

Neither signs, authorises, tells events with a cursor or writes to disk: their figures are of a
document in memory. They are asked only if they are installed (`pip install -e '.[bench]'`).
Expected of each: O(updates).
"""

from __future__ import annotations

import gc
import importlib
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

from tests.bench.corpus import KEYS, UPDATES, state_of
from tests.bench.measure import Answer, Row, best, rss_bytes, took, version_of

Peer = Callable[[int], tuple[Callable[[], None], list[bytes]]]


def _each(take: Callable[[bytes], Any], items: list[bytes]) -> None:
    for item in items:
        take(item)


def pycrdt(count: int) -> tuple[Callable[[], None], list[bytes]]:
    """One transaction and one message per update; they are applied one by one."""
    module = importlib.import_module("pycrdt")
    source, target, sent = module.Doc(), module.Doc(), []
    source["t"] = fields = module.Map()
    target["t"] = module.Map()
    held = source.observe(lambda event: sent.append(event.update))
    for i in range(count):
        fields[f"task-{i % KEYS}"] = state_of(i)
    assert held is not None
    return partial(_each, target.apply_update, sent), sent


def loro(count: int) -> tuple[Callable[[], None], list[bytes]]:
    """One commit and one message per update; they are imported one by one."""
    module = importlib.import_module("loro")
    source, target, sent = module.LoroDoc(), module.LoroDoc(), []
    fields = source.get_map("t")
    held = source.subscribe_local_update(lambda update: bool(sent.append(bytes(update)) or True))
    for i in range(count):
        fields.insert(f"task-{i % KEYS}", state_of(i))
        source.commit()
    assert held is not None
    return partial(_each, target.import_, sent), sent


PEERS: dict[str, Peer] = {"pycrdt": pycrdt, "loro": loro}


def answer() -> Answer:
    """Updates/s, bytes per update and memory of those that are installed."""
    rows: list[Row] = []
    for name, peer in PEERS.items():
        if find_spec(name) is None:
            continue
        who = f"{name} {version_of(name)}, unsigned, in memory"
        size = f"{UPDATES:,} updates, {KEYS:,} keys"
        gc.collect()
        before = rss_bytes()
        apply, sent = peer(UPDATES)
        apply()
        grown = rss_bytes() - before - sum(map(len, sent))
        taken = best(lambda peer=peer: took(peer(UPDATES)[0]))  # type: ignore[misc]
        rows.append(Row("remote updates applied", who, size, UPDATES / taken.wall_s, "/s"))
        rows.append(Row("… per second of processor time", who, size, UPDATES / taken.cpu_s, "/s"))
        rows.append(
            Row("bytes of an update on the wire", who, size, sum(map(len, sent)) / UPDATES, "B")
        )
        rows.append(Row("memory of both documents", who, size, grown / 2**20, "MiB"))
    return Answer(tuple(rows))
