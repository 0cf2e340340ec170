"""A machine that comes into the network under another address is found, and tells its new one."""

from __future__ import annotations

import time

import pytest

from capability.ticket import decode_ticket
from tests.acceptance.conftest import Networks
from tests.acceptance.machine import brief, wait_equal, wait_until
from tests.acceptance.netns import INTERFACE, NETWORK, run

pytestmark = pytest.mark.netns

NEW_ADDRESS = f"{NETWORK}.200"
MOVE_S_MAX = 20.0
#: Longer than the silence after which a link is given up.
AWAY_S = 6.0


@pytest.mark.parametrize("away_s", [0.0, AWAY_S], ids=["at once", "after a while"])
def test_a_machine_with_a_new_address_is_found_again(network: Networks, away_s: float) -> None:
    """Its interface goes away, and comes back with another address; both sides write meanwhile."""
    a, b = network("ab")
    a.mesh("init", "--name", "a")
    a.up()
    b.mesh("join", a.mesh("invite")["ticket"], "--name", "b")
    device = ("dev", INTERFACE)
    if away_s:
        b.unplug()
    run("ip", "-n", b.namespace, "addr", "del", f"{b.address}/24", *device)
    a.call("create", title="while b moved")
    b.call("create", title="by b, moving")
    if away_s:
        time.sleep(away_s)
        assert [peer["state"] for peer in a.status()["peers"]] != ["connected"], brief([a, b])
    run("ip", "-n", b.namespace, "addr", "add", f"{NEW_ADDRESS}/24", *device)
    if away_s:
        b.plug_in()
    took_s = wait_equal([a, b], within_s=MOVE_S_MAX)
    print(f"equal {took_s:.2f} s after the move")
    assert {row["title"] for row in a.call("list")} == {"while b moved", "by b, moving"}
    # A dials it by mDNS, or it dials A.
    wait_until(
        "linked",
        lambda: [peer["state"] for peer in a.status()["peers"]] == ["connected"],
        within_s=MOVE_S_MAX,
        on_failure=lambda: brief([a, b]),
    )
    assert [host for host, _ in decode_ticket(b.mesh("invite")["ticket"]).addresses] == [
        NEW_ADDRESS
    ]
    assert b.status()["advertised"] == [f"{NEW_ADDRESS}:7340"]
