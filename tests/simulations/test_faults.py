"""Every kind of fault takes effect and is survived; the network keeps its promises without any."""

from __future__ import annotations

from random import Random

import pytest

from simulations.faults import FAULTS, GROUPS, kinds
from simulations.faults.drawing import can_be_missed
from simulations.run import Plan, simulate, strikes_of
from simulations.strike import Strike
from simulations.world import World


@pytest.mark.parametrize("kind", FAULTS)
def test_alone_it_takes_effect_and_is_survived(kind: str) -> None:
    plan = Plan(
        seed=1,
        nodes=4,
        minutes=1,
        faults=(kind,),
        all_kinds=True,
        latency="wan",
        regions=("us-east", "eu"),
    )
    result = simulate(plan)
    assert result.violations == ()
    assert result.faults.get(kind, 0) > 0
    assert result.converged_after_s is not None


def test_a_group_stands_for_its_kinds() -> None:
    assert kinds(["clocks", "kill", "drift"]) == ("drift", "step", "freeze", "kill")
    assert set(kinds(GROUPS)) == set(FAULTS)


def test_an_unknown_name_says_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"'gremlins'; there are partitions, .*halves"):
        kinds(["gremlins"])


def test_each_run_turns_other_kinds_on() -> None:
    subsets = {frozenset(s.kind for s in strikes_of(Plan(seed=n, nodes=5))) for n in range(8)}
    assert len(subsets) == 8


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("hosts", [1, 2, 3, 40])
def test_it_can_be_drawn_for_any_number_of_hosts(kind: str, hosts: int) -> None:
    random = Random(7)
    for _ in range(20):
        drawn = FAULTS[kind].draw(random, hosts)
        assert all(0 <= number < hosts for number in drawn.hosts)
        assert drawn.for_us >= 0


def test_nobody_is_made_a_liar_through_whom_alone_others_are_linked() -> None:
    world = World(1)
    hosts = world.spawn(4, edges=[(0, 1), (1, 2), (2, 3)])
    assert [can_be_missed(world, host) for host in hosts] == [True, False, False, True]
    FAULTS["double"].begin(world, Strike(0, 0, "double", (1,)))
    assert world.honest == hosts
    FAULTS["double"].begin(world, Strike(0, 0, "double", (3,)))
    assert world.honest == hosts[:3]
    assert not can_be_missed(world, hosts[1])
    whole = World(1)
    assert all(can_be_missed(whole, host) for host in whole.spawn(3))
