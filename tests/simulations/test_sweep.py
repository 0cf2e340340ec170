"""A sweep gives the same results wherever it runs: here, on all cores, on a Dask cluster."""

import sys

import pytest

from simulations.run import Plan, Result, simulate
from simulations.sweep import ClusterMissing, sweep

PLANS = [Plan(seed=seed, nodes=2, minutes=0.2) for seed in range(4)]


def by_seed(results: list[Result]) -> list[Result]:
    return sorted(results, key=lambda result: result.seed)


@pytest.fixture(scope="module")
def expected() -> list[Result]:
    return [simulate(plan) for plan in PLANS]


def test_processes_of_this_machine(expected: list[Result]) -> None:
    assert by_seed(list(sweep(simulate, PLANS, jobs=2))) == expected


def test_a_cluster_of_two_workers(expected: list[Result]) -> None:
    distributed = pytest.importorskip("distributed", reason="needs the extra: .[cluster]")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        found = list(sweep(simulate, PLANS, cluster=cluster.scheduler_address))
    assert by_seed(found) == expected


def test_without_the_extra_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ClusterMissing, match=r"worknode-mesh\[cluster\]"):
        list(sweep(simulate, PLANS, cluster="tcp://127.0.0.1:1"))
