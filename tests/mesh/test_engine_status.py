"""What one engine says of itself and its peers: what was measured, and nothing else (P6)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crdt.codec import encode
from mesh.core.inputs import Measured, SyncNow, Tick
from mesh.core.limits import SKEW_MS_MAX
from mesh.core.writes import SetRegister
from mesh.worknode.reading import register
from tests.mesh.swarm import check
from tests.mesh.swarm.homes import HOUR_MS
from tests.mesh.swarm.host import Host
from tests.mesh.swarm.scenes import member_by_hand, pair
from tests.mesh.swarm.world import World

# -- parking


def test_entries_an_hour_ahead_are_parked_and_woken_by_the_deadline() -> None:
    world, ann, bob, node = pair()
    world.skew_ms["bob"] = HOUR_MS
    bob.write(SetRegister(node, 0, "a", "later"))
    world.run(10_000)
    assert ann.status()["parked"] == 1
    assert register(ann.engine.replica, node, 0, "a") is None
    assert ann.engine.replica.port.roots() == bob.engine.replica.port.roots()
    assert not ann.said("clock.differs"), "said of hellos only, and this one was before"
    for end in world.links_of("ann"):
        world.cut(end)
    # Without links nothing but the parked entry has a deadline.
    world.partition(["ann"], ["bob"])
    world.run(1_000)
    wake_ms = ann.engine.replica.wake_mono_ms
    assert wake_ms is not None
    assert HOUR_MS - SKEW_MS_MAX - 20_000 < wake_ms < HOUR_MS
    world.run(wake_ms - 1 - world.now_ms)
    assert ann.status()["parked"] == 1
    world.run(2)
    assert ann.status()["parked"] == 0
    assert register(ann.engine.replica, node, 0, "a") == "later"
    check.reloads_equal(world)


def test_a_clock_set_forward_wakes_what_was_parked_without_a_deadline() -> None:
    world, ann, bob, node = pair()
    world.skew_ms["bob"] = HOUR_MS
    bob.write(SetRegister(node, 0, "a", "later"))
    world.run(10_000)
    assert ann.status()["parked"] == 1
    # A machine that was suspended: its monotonic clock stood still meanwhile. Where peers
    # always ask first no other deadline passes, so whatever it hears must do.
    world.skew_ms["ann"] = HOUR_MS
    ann.batch([Measured(world.links_of("ann")[0][1], 1.0)])
    deadline = ann.engine.deadline
    assert deadline is not None
    assert deadline <= ann.now.mono_ms
    ann.batch([Tick()])
    assert ann.status()["parked"] == 0


def test_a_clock_that_differs_is_said_and_adjusts_nothing() -> None:
    world, ann, bob, node = pair()
    world.skew_ms["bob"] = HOUR_MS
    world.cut(world.links_of("ann")[0])
    world.run(30_000)
    assert ann.said("clock.differs")
    clock = ann.status()["clock"]
    assert clock == {"skew_ms": pytest.approx(HOUR_MS, abs=100), "ahead_ms": 0}
    assert bob.status()["clock"]["ahead_ms"] < 1_000, "by its own clock it is not"
    entry = ann.write(SetRegister(node, 0, "a", 1)).value
    assert abs((entry.hlc >> 16) - ann.now.wall_ms) < 1_000


# -- status says what was measured (P6)


def in_sync(host: Host) -> object:
    return host.status()["peers"][0]["in_sync"]


def wait_for(world: World, done: Callable[[], bool]) -> None:
    assert world.run(check.CONVERGE_MS, until=done)


def test_nobody_is_in_sync_before_roots_were_exchanged() -> None:
    world = World(seed=1)
    world.join("bob", by="ann")
    ann, bob = world.hosts["ann"], world.hosts["bob"]
    seen: list[tuple[object, object]] = []
    for _ in range(200):
        world.run(1)
        both = [host.status()["peers"] for host in (ann, bob)]
        if all(both):
            seen.append((in_sync(ann), in_sync(bob)))
            roots = [host.engine.replica.port.roots() for host in (ann, bob)]
            assert True not in seen[-1] or roots[0] == roots[1]
    assert seen[0] == (None, None)
    assert seen[-1] == (True, True)


def test_a_local_change_makes_it_stale_until_the_next_comparison() -> None:
    world, ann, bob, node = pair()
    assert in_sync(ann) is True
    ann.write(SetRegister(node, 0, "a", 1))
    assert in_sync(ann) is False
    world.run(500)
    assert check.agree(world)
    assert in_sync(ann) is False, "equal, but nobody has asked"
    assert in_sync(bob) is False
    ann.batch([SyncNow(ann.next_request())])
    wait_for(world, lambda: in_sync(ann) is True)
    world.run(100)
    assert in_sync(bob) is True


def test_a_peer_that_is_gone_is_not_in_sync() -> None:
    world, ann, _, _ = pair()
    world.partition(["ann"], ["bob"])
    world.run(10)
    assert in_sync(ann) is None


def test_a_claim_of_equality_is_not_believed() -> None:
    world, ann, caller = member_by_hand()
    link = caller.link
    ann.batch([SyncNow(ann.next_request())])
    peers = {peer["node_id"]: peer["in_sync"] for peer in ann.status()["peers"]}
    assert peers[caller.signer.public.hex()] is None
    # A reply that nobody awaits, with the flag set.
    caller.tell(encode((4, bytes(32), bytes(32), 999, True)))
    peers = {peer["node_id"]: peer["in_sync"] for peer in ann.status()["peers"]}
    assert peers[caller.signer.public.hex()] is None
    assert link in ann.engine.links
    caller.close()
    check.converges(world)
