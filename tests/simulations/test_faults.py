"""Every kind of fault takes effect and is survived; the network keeps its promises without any."""

from __future__ import annotations

from random import Random

import pytest

from mesh.core.writes import Create
from simulations.faults import FAULTS, GROUPS, kinds
from simulations.faults.drawing import can_be_missed, knows_its_log
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


def test_nobody_loses_what_one_that_was_put_back_has_to_learn_from_it() -> None:
    world = World(1)
    hosts = world.spawn(3)
    world.run(until_s=5.0)
    back_up, damage = Strike(0, 1, "put_back", (0,)), Strike(0, 0, "damage", (1,), amount=3)
    FAULTS["put_back"].begin(world, back_up)
    root = hosts[0].running.replica.store.root
    world.submit(hosts[0], Create(root, "task", nonce=bytes(16)))
    world.run(until_s=8.0)
    FAULTS["put_back"].end(world, back_up)
    assert not hosts[0].is_up
    FAULTS["damage"].begin(world, damage)
    FAULTS["join"].begin(world, Strike(1, 0, "join", (1,)))
    world.run(until_s=9.0)
    assert hosts[1].is_up
    assert len(world.hosts) == 3
    # It has met the others, and learnt how far its log had gone.
    world.run(until_s=60.0)
    assert knows_its_log(hosts[0])
    FAULTS["damage"].begin(world, damage)
    assert not hosts[1].is_up


def test_nobody_joins_by_a_home_that_others_may_refuse() -> None:
    world = World(1)
    world.spawn(4)
    world.run(until_s=5.0)
    FAULTS["double"].begin(world, Strike(0, 20, "double", (3,)))
    for number in (3, 2):
        FAULTS["join"].begin(world, Strike(number, 0, "join", (number,)))
    world.run(until_s=8.0)
    assert [host.name for host in world.hosts if host.name.startswith("late")] == ["late2"]
