"""A–B–C in a line: what A writes reaches C although the two never hear each other."""

from __future__ import annotations

import pytest

from tests.acceptance import storm
from tests.acceptance.conftest import Networks
from tests.acceptance.machine import Machine, brief, wait_equal, wait_until

pytestmark = pytest.mark.netns

JOIN_S_MAX = 20.0
PASS_ON_S_MAX = 5.0


def peers_of(machine: Machine) -> set[str]:
    peers = machine.status()["peers"]
    return {peer["name"] for peer in peers if peer["state"] == "connected"}


def test_the_ends_of_a_line_converge(network: Networks) -> None:
    a, b, c = hosts = network("abc")
    # Before anybody runs: they were never linked.
    a.drop([c])
    b.mesh("init", "--name", "b")
    b.up()
    for end in (a, c):
        end.mesh("join", b.mesh("invite")["ticket"], "--name", end.name)
    wait_until("b is linked to both", lambda: peers_of(b) == {"a", "c"}, within_s=JOIN_S_MAX)

    node = a.call("create", title="from one end")["id"]
    took_s = wait_equal(hosts, within_s=PASS_ON_S_MAX)
    assert c.call("show", node=node)["title"] == "from one end"
    c.call("update", node=node, set=[["title", "from the other end"]])
    wait_equal(hosts, within_s=PASS_ON_S_MAX)
    assert a.call("show", node=node)["title"] == "from the other end"
    print(f"from end to end in {took_s:.2f} s")

    base = storm.Base.make(b)
    wait_equal(hosts, within_s=PASS_ON_S_MAX)
    b.drop([a, c])
    sides = storm.rage(hosts, base, seed=3)
    b.pass_all()
    healed_s = wait_equal(hosts, within_s=10.0)
    print(f"equal {healed_s:.2f} s after the heal")
    for host in hosts:
        storm.check_all(host, base, sides)
    assert peers_of(a) == {"b"} and peers_of(c) == {"b"}, brief(hosts)
