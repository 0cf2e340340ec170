"""
Many runs at once: on the cores of this machine, or on a Dask cluster.

A run is a function of its plan, so where it runs changes nothing. Results come as they are ready.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from simulations.run import Plan

T = TypeVar("T")

#: Plans that one process has before it is replaced, so that what leaks is bounded.
RUNS_PER_PROCESS_MAX = 50


class ClusterMissing(Exception):
    """The extra for clusters is not installed."""


def cores() -> int:
    """How many runs this machine can do at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def sweep(
    run: Callable[[Plan], T], plans: Iterable[Plan], *, jobs: int = 1, cluster: str = ""
) -> Iterator[T]:
    """
    Run all *plans*.

    Args:
        run: A function of a module, such as `simulations.run.simulate`.
        plans: Independent of one another.
        jobs: Processes on this machine; 1 runs here.
        cluster: Address of a Dask scheduler (`tcp://host:8786`), in place of this machine.

    Raises:
        ClusterMissing: A cluster is asked for, and `distributed` is not installed.
    """
    if cluster:
        yield from _on_cluster(run, plans, cluster)
    elif jobs == 1:
        yield from map(run, plans)
    else:
        # Not forked: a child that inherits threads of whoever embeds this may hang.
        context = multiprocessing.get_context("spawn")
        with context.Pool(jobs, maxtasksperchild=RUNS_PER_PROCESS_MAX) as pool:
            yield from pool.imap_unordered(run, plans)


def _on_cluster(run: Callable[[Plan], T], plans: Iterable[Plan], address: str) -> Iterator[T]:
    try:
        from distributed import Client, as_completed  # noqa: PLC0415 - an extra, and heavy
    except ImportError as error:
        raise ClusterMissing("no Dask here: pip install 'worknode-mesh[cluster]'") from error
    with Client(address) as client:
        # Not pure: two runs of one plan are two runs, which is how replays are compared.
        futures = client.map(run, list(plans), pure=False)
        for future in as_completed(futures):
            yield future.result()
            future.release()
