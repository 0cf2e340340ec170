"""Three machines on one switch: join, work while the cables are out, and meet again."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.acceptance import storm
from tests.acceptance.conftest import Networks
from tests.acceptance.machine import are_equal, brief, wait_equal, wait_until
from tests.acceptance.netns import Host

pytestmark = [pytest.mark.netns, pytest.mark.timeout(180)]

JOIN_S_MAX = 20.0
HEAL_S_MAX = 10.0
SILENT_S_MAX = 10.0
#: By now each has given up often enough to wait its longest between two attempts.
LONG_CUT_S = 15.0


def form(hosts: list[Host]) -> None:
    """The first founds a mesh, the second has a ticket, the third must look for the others."""
    first, second, third = hosts
    first.mesh("init", "--name", "acme")
    first.up()
    ticket = first.mesh("invite")["ticket"]
    joined = second.mesh("join", ticket, "--name", second.name)
    assert joined["mesh_id"] == first.status()["mesh_id"]
    ticket = first.mesh("invite", "--no-address")["ticket"]
    joined = third.mesh("join", ticket, "--name", third.name)
    assert joined["mesh_id"] == first.status()["mesh_id"]
    wait_linked(hosts)


def wait_linked(hosts: list[Host], *, within_s: float = JOIN_S_MAX) -> float:
    """Seconds until each is connected to, and in sync with, all others."""
    return wait_until(
        "all linked",
        lambda: all(linked(host) == len(hosts) - 1 for host in hosts) and are_equal(hosts),
        within_s=within_s,
        on_failure=lambda: brief(hosts),
    )


def linked(host: Host) -> int:
    peers = host.status()["peers"]
    return sum(1 for peer in peers if peer["state"] == "connected" and peer["in_sync"])


def connected(host: Host) -> int:
    return sum(1 for peer in host.status()["peers"] if peer["state"] == "connected")


def part_and_meet(
    hosts: list[Host],
    *,
    cut: Callable[[Host], None],
    heal: Callable[[Host], None],
    cut_s: float,
    seed: int,
) -> None:
    form(hosts)
    base = storm.Base.make(hosts[0])
    wait_equal(hosts, within_s=HEAL_S_MAX)
    for host in hosts:
        cut(host)
    began_s = time.monotonic()
    # At once, while each still believes that it is linked.
    sides = storm.rage(hosts, base, seed=seed)
    print(f"{3 * storm.WRITES_PER_SIDE} writes in {time.monotonic() - began_s:.1f} s")
    assert all(side.acknowledged >= storm.WRITES_PER_SIDE for side in sides)
    wait_until(
        "the cut is noticed",
        lambda: not any(map(connected, hosts)),
        within_s=SILENT_S_MAX,
        on_failure=lambda: brief(hosts),
    )
    print(f"cut noticed after {time.monotonic() - began_s:.1f} s")
    assert len({host.status()["state_hash"] for host in hosts}) == len(hosts)
    time.sleep(max(0.0, cut_s - (time.monotonic() - began_s)))
    lasted_s = time.monotonic() - began_s
    for host in hosts:
        heal(host)
    healed_s = wait_equal(hosts, within_s=HEAL_S_MAX)
    print(f"cut for {lasted_s:.1f} s, equal {healed_s:.2f} s after the heal")
    for host in hosts:
        storm.check_all(host, base, sides)
    assert len({host.status()["worknodes"] for host in hosts}) == 1
    # People ask the same question with a command.
    told = hosts[1].mesh("history", base.nodes[0], "--limit", "10000")
    assert told == hosts[2].call("history", node=base.nodes[0], limit=10_000)
    wait_linked(hosts)


def test_links_down_then_up_lose_nothing(network: Networks) -> None:
    part_and_meet(network("abc"), cut=Host.unplug, heal=Host.plug_in, cut_s=0.0, seed=1)


def test_a_silent_cut_loses_nothing(network: Networks) -> None:
    part_and_meet(network("abc"), cut=Host.drop, heal=Host.pass_all, cut_s=LONG_CUT_S, seed=2)
