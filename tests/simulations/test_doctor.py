"""Whoever mends the homes of a simulation leads each of them back to where it may write."""

from __future__ import annotations

from random import Random

import pytest

from mesh.core.writes import Create, Increment
from mesh.worknode import reading
from simulations.doctor import repair
from simulations.faults import FAULTS
from simulations.intruder import Intruder
from simulations.run import recover
from simulations.strike import Strike
from simulations.workload import Load, Workload
from simulations.world import World


@pytest.mark.parametrize("intruders", [0, 1])
def test_a_damaged_home_writes_again_though_some_members_never_come(intruders: int) -> None:
    world = World(5)
    world.spawn(3)
    workload = Workload(world, Load(intruders=intruders))
    workload.start()
    world.run(until_s=30.0)
    for one in world.watch.watchers:
        assert not isinstance(one, Intruder) or one.grant, "it is a member"
    FAULTS["damage"].begin(world, Strike(0, 0, "damage", (1,), Random(5).getrandbits(32)))
    world.run(until_s=world.now_s + 30.0)
    workload.stop()
    recover(world)
    damaged = world.hosts[1]
    assert world.doctor.repairs == 1
    assert damaged.running.replica.writer.blocked == ""
    before = damaged.running.replica.port.row(damaged.signer.public, 1).seq
    parent = damaged.running.replica.store.root
    world.submit(damaged, Create(parent, "task", nonce=bytes(16)))
    world.run(until_s=world.now_s + 1.0)
    after = {host.running.replica.port.row(damaged.signer.public, 1).seq for host in world.hosts}
    assert after == {before + 1}


@pytest.mark.parametrize("which", [0, 1], ids=["the founder's", "a member's"])
def test_what_a_session_wrote_counts_though_its_grant_is_lost(which: int) -> None:
    world = World(5)
    world.spawn(3)
    host = world.hosts[which]
    node = host.running.replica.store.root
    world.submit(host, Increment(node, 0, "spent", 4))
    world.run(until_s=world.now_s + 1.0)
    world.partition({0, 1, 2} - {which}, {which})
    # Until its links are known to be dead, what it sends into them may have left.
    world.run(until_s=world.now_s + 60.0)
    world.submit(host, Increment(node, 0, "spent", 3), session="agent")
    world.run(until_s=world.now_s + 1.0)
    grant, entry = list(host.disk.store.entries())[-2:]
    assert grant.entry.id == entry.entry.header.leaf
    host.die()
    host.disk.unreadable = frozenset({grant.n})
    repair(host)
    host.start()
    recover(world)
    for one in world.hosts:
        assert reading.look(one.running.replica, node).total(0, "spent") == 7
