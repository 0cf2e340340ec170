"""A run is a function of the code and the seed; a partition heals; a kill loses nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from simulations.run import Plan, simulate
from simulations.world import World

ROOT = Path(__file__).parent.parent.parent
SCRIPT = """
from simulations.run import Plan, simulate
print(simulate(Plan(seed=3, nodes=4, minutes=0.5, all_kinds=True)).trace_hash)
"""


def test_the_same_seed_gives_the_same_trace() -> None:
    plan = Plan(seed=3, nodes=4, minutes=0.5)
    assert simulate(plan) == simulate(plan)


def test_another_seed_gives_another_trace() -> None:
    one, two = (simulate(Plan(seed=s, nodes=3, minutes=0.2)).trace_hash for s in (1, 2))
    assert one != two


def test_the_order_of_hashes_does_not_matter() -> None:
    traces = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            cwd=ROOT,
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(traces) == 1


@pytest.mark.parametrize("signatures", ["stand-in", "ed25519"])
def test_faults_of_all_kinds_are_survived(signatures: str) -> None:
    plan = Plan(seed=11, nodes=5, minutes=2, all_kinds=True, signatures=signatures)
    result = simulate(plan)
    assert result.violations == ()
    assert result.converged_after_s is not None
    assert result.faults
    assert result.entries > 20


def test_a_partition_keeps_apart_what_is_written() -> None:
    world = World(seed=5)
    world.spawn(4)
    world.run(until_s=10)
    world.partition({0, 1}, {2, 3}, during=(12.0, 40.0))
    world.run(until_s=39)
    assert {len(world.network.links(host)) for host in world.hosts} == {1}
    world.run(until_s=60)
    assert {len(world.network.links(host)) for host in world.hosts} == {3}
