"""
How long after its submit on A a write is seen on B: two processes, loopback, embedded API.

B subscribes to events and notes when it sees each; the two share the machine's monotonic clock.
In the time: A's signature, commit and push, the channel, B's checks, fold and commit. A write every
20 ms, so that nothing queues. Expected: O(1).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import trio

from capability.ids import root_worknode
from mesh.core.writes import Create, SetRegister
from mesh.node.clock import wall_ms
from mesh.node.node import open_node
from mesh.node.setup import prepare_join
from mesh.node.subscriptions import Reset
from tests.bench.joined import LOOPBACK, founded, ticket_of
from tests.bench.measure import Answer, Row, percentile

WRITES = 300
PAUSE_S = 0.02


def _times(process: subprocess.Popen[str]) -> dict[int, int]:
    assert process.stdout is not None
    pairs = (line.split() for line in process.stdout)
    return {int(number): int(when) for number, when in pairs}


async def _write(folder: Path) -> list[float]:
    home = founded(folder / "a")
    async with open_node(home, listen=LOOPBACK, mdns=False) as node:
        made = await node.submit([Create(root_worknode(node.mesh_id), "task", nonce=bytes(16))])
        (task,) = made.created  # type: ignore[attr-defined]
        ticket = (await ticket_of(node)).encode()
        arguments = [sys.executable, "-m", "tests.bench.visible", str(folder / "b"), ticket]
        start = partial(subprocess.Popen, arguments, stdout=subprocess.PIPE, text=True)
        process = await trio.to_thread.run_sync(start)
        assert process.stdout is not None
        ready = await trio.to_thread.run_sync(process.stdout.readline)
        assert ready == "ready\n", ready
        began = []
        for i in range(WRITES):
            began.append(time.monotonic_ns())
            await node.submit([SetRegister(task, 0, "status", i)])
            await trio.sleep(PAUSE_S)
        seen = await trio.to_thread.run_sync(_times, process)
    assert len(seen) == WRITES, f"{len(seen)} of {WRITES} were seen one by one"
    return [(seen[i] - began[i]) / 1e6 for i in range(WRITES)]


async def _listen(home: Path, ticket: str) -> None:
    prepare_join(home, ticket, "b", wall_ms())
    async with open_node(home, listen=LOOPBACK, mdns=False) as node:
        with trio.fail_after(60), node.subscribe(0) as subscription:
            seen = 0
            async for event in subscription:
                assert not isinstance(event, Reset)
                if event.type == "node.created":
                    # What comes from now on is pushed, and not brought by repair.
                    await trio.sleep(0.5)
                    print("ready", flush=True)
                if event.type != "node.updated":
                    continue
                sys.stdout.write(f"{seen} {time.monotonic_ns()}\n")
                seen += 1
                if seen == WRITES:
                    break


def answer() -> Answer:
    """p50 and p99 of the time until a write is seen on the other node."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        taken = trio.run(_write, Path(folder))
    size = f"{WRITES} writes, two processes, loopback"
    what = "written on A until seen on B"
    return Answer(
        (
            Row(f"{what}, p50", "mesh", size, percentile(taken, 0.5), "ms", "≤ 1.5 ms"),
            Row(f"{what}, p99", "mesh", size, percentile(taken, 0.99), "ms", "≤ 10 ms"),
        )
    )


if __name__ == "__main__":
    trio.run(_listen, Path(sys.argv[1]), sys.argv[2])
