"""
How long a local write takes until it is durable, and how many a second under load.

Through the embedded API: driver, engine, signature and a commit with `synchronous=FULL` on a real
file. Alone: one after the other. Under load: many sessions' tasks at once, each with one write per
submit, or with a hundred. Expected: O(1) per write, and one fsync per batch.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import trio

from capability.ids import root_worknode
from mesh.core.inputs import EVENTUAL, LOCAL
from mesh.core.writes import Create, SetRegister
from mesh.node.node import Node, open_node
from tests.bench.joined import LOOPBACK, founded
from tests.bench.measure import Answer, Row, percentile

ALONE = 1_000
TASKS = 256
LOADED = 20_000
BATCH = 100


async def _tasks(node: Node, count: int) -> list[bytes]:
    top = root_worknode(node.mesh_id)
    made = await node.submit([Create(top, "task", nonce=os.urandom(16)) for _ in range(count)])
    return list(made.created)  # type: ignore[attr-defined]


async def _alone(node: Node, nodes: list[bytes], level: str) -> list[float]:
    taken = []
    for i in range(ALONE):
        write = SetRegister(nodes[i % len(nodes)], 0, "status", f"state {i}")
        start = time.perf_counter()
        await node.submit([write], level=level)
        taken.append(time.perf_counter() - start)
    return taken


async def _loaded(node: Node, nodes: list[bytes], *, tasks: int, batch: int, count: int) -> float:
    async def work(number: int) -> None:
        for i in range(count // tasks // batch):
            await node.submit(
                [
                    SetRegister(nodes[(number + i + j) % len(nodes)], 0, "status", f"state {i}")
                    for j in range(batch)
                ]
            )

    start = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for number in range(tasks):
            nursery.start_soon(work, number)
    return (count // tasks // batch) * tasks * batch / (time.perf_counter() - start)


async def _rows() -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        home = founded(Path(folder) / "a")
        async with open_node(home, listen=LOOPBACK, mdns=False) as node:
            nodes = await _tasks(node, 1_000)
            for level in (EVENTUAL, LOCAL):
                taken = await _alone(node, nodes, level)
                size = f"{ALONE:,} one by one, {level}"
                aim = "≤ 1 ms" if level == EVENTUAL else ""
                half, most = percentile(taken, 0.5) * 1e3, percentile(taken, 0.99) * 1e3
                rows.append(Row("local write until durable, p50", "mesh", size, half, "ms", aim))
                rows.append(Row("local write until durable, p99", "mesh", size, most, "ms"))
            await node.seal()
            loads: list[tuple[str, str, Callable[[], Awaitable[float]]]] = [
                ("", f"{TASKS} tasks, 1 write per submit", _load(node, nodes, TASKS, 1)),
                ("≥ 50,000", f"16 tasks, {BATCH} writes per submit", _load(node, nodes, 16, BATCH)),
            ]
            for aim, size, load in loads:
                best = max([await load() for _ in range(3)])
                rows.append(Row("local durable writes under load", "mesh", size, best, "/s", aim))
    return rows


def _load(node: Node, nodes: list[bytes], tasks: int, batch: int) -> Callable[[], Awaitable[float]]:
    count = LOADED if batch == 1 else LOADED * 4
    return partial(_loaded, node, nodes, tasks=tasks, batch=batch, count=count)


def answer() -> Answer:
    """Latency alone, throughput under load."""
    return Answer(tuple(trio.run(_rows)))
