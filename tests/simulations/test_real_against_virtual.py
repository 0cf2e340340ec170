"""Three real nodes part and meet; the simulator does the same with what they were told."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path

import pytest

from mesh.node.recorder import INPUTS, frames
from tests.acceptance.conftest import Networks, network  # noqa: F401 - a fixture
from tests.acceptance.machine import wait_equal, wait_until
from tests.acceptance.netns import Host
from tests.simulations.real import played

pytestmark = [pytest.mark.netns, pytest.mark.timeout(180)]

WRITES = 20


def connected(host: Host) -> int:
    return sum(1 for peer in host.status()["peers"] if peer["state"] == "connected")


def form(hosts: Sequence[Host]) -> None:
    first = hosts[0]
    first.mesh("init", "--name", "acme")
    first.up("--record", str(record_of(first)))
    for host in hosts[1:]:
        host.mesh("join", first.mesh("invite")["ticket"], "--name", host.name)
        host.down()
        host.up("--record", str(record_of(host)))
    wait_until(
        "all linked",
        lambda: all(connected(host) == len(hosts) - 1 for host in hosts),
        within_s=20.0,
        on_failure=lambda: str([host.status() for host in hosts]),
    )


def record_of(host: Host) -> Path:
    return host.path.parent / f"{host.name}.record"


def write(host: Host, numbers: count[int], shared: str) -> None:
    for number in (next(numbers) for _ in range(WRITES)):
        created = host.call("create", title=f"{host.name} {number}")
        host.call("update", node=created["id"], set=[["status", "completed"]])
        host.call("update", node=shared, set=[["title", f"{host.name} {number}"]], local=True)


def test_a_partition_of_real_nodes_replays_in_the_simulator(
    network: Networks,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    hosts, numbers = network("abc"), count()
    form(hosts)
    shared = hosts[0].call("create", title="shared")["id"]
    wait_equal(hosts, within_s=10.0)
    for host in hosts:
        host.drop()
    for host in hosts:
        write(host, numbers, shared)
    wait_until(
        "the cut is noticed",
        lambda: not any(map(connected, hosts)),
        within_s=10.0,
        on_failure=lambda: "still linked",
    )
    for host in hosts:
        host.pass_all()
    for host in hosts:
        host.mesh("sync")
    wait_equal(hosts, within_s=15.0)
    hashes = {host.status()["state_hash"] for host in hosts}
    assert len(hashes) == 1
    for host in hosts:
        host.down()
    for host in hosts:
        playback = played(host.path, record_of(host), scratch=tmp_path)
        assert playback.mismatch is None, f"{host.name}: {playback.mismatch}"
        told = [frame for frame in frames(record_of(host) / INPUTS) if frame[0] == "input"]
        assert playback.inputs == len(told) > 3 * WRITES
