"""What goes wrong on ordinary days: one clear line, a remedy, the right exit code, nothing lost."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from mesh.node.clock import OFFSET_VARIABLE
from tests.acceptance.conftest import Machines
from tests.acceptance.machine import Machine, brief, wait_equal, wait_until

LOOPBACK = ("--listen", "127.0.0.1:0", "--no-mdns")
HOUR_MS = 3_600_000
SKEW_S_MAX = 60


def founded(machine: Machine) -> Machine:
    """A mesh of one running node with something in it."""
    machine.mesh("init", "--name", machine.name)
    machine.mesh("up", *LOOPBACK)
    machine.call("create", title="first")
    return machine


def joined(machine: Machine, ticket: str) -> Machine:
    machine.mesh("join", ticket, "--name", machine.name, *LOOPBACK)
    return machine


def ticket_of(machine: Machine, **options: str) -> str:
    given = [word for name, value in options.items() for word in (f"--{name}", value)]
    ticket: str = machine.mesh("invite", *given)["ticket"]
    return ticket


def held(machine: Machine) -> tuple[Any, ...]:
    status = machine.status()
    return status["state_hash"], status["worknodes"], status["writing"], status["blocked"]


def peer_rows(machine: Machine, key: str) -> list[Any]:
    return [peer.get(key) for peer in machine.status()["peers"]]


def test_a_second_process_on_a_home_is_refused(machine: Machines) -> None:
    a = founded(machine("a"))
    before = held(a)
    outcome = a.attempt("up", *LOOPBACK)
    assert (outcome.code, outcome.error["code"]) == (4, "home_in_use")
    assert str(a.process) in outcome.error["message"]
    assert held(a) == before
    a.call("create", title="it still writes")


def test_a_busy_port_is_named(machine: Machines) -> None:
    a, b = founded(machine("a")), machine("b")
    b.mesh("init", "--name", "b")
    where = a.status()["listen"][0]
    outcome = b.attempt("up", "--listen", where, "--no-mdns")
    assert (outcome.code, outcome.error["code"]) == (1, "address_in_use")
    assert where in outcome.error["message"]
    assert "--listen" in outcome.error["hint"]
    assert b.process is None
    # Nothing of the attempt is in the way of the next one.
    b.mesh("up", *LOOPBACK)


def test_a_wrong_ticket_changes_nothing(machine: Machines) -> None:
    a, b = founded(machine("a")), machine("b")
    ticket = ticket_of(a)
    middle = len(ticket) // 2
    mistyped = ticket[:middle] + ("a" if ticket[middle] != "a" else "b") + ticket[middle + 1 :]
    for wrong in (mistyped, ticket[:-8], "not-a-ticket"):
        outcome = b.attempt("join", wrong, *LOOPBACK)
        assert (outcome.code, outcome.error["code"]) == (2, "usage")
        assert ticket not in outcome.err
        assert not b.path.exists()
    joined(b, ticket)
    wait_equal([a, b], within_s=5)


def test_a_used_ticket_admits_nobody_else(machine: Machines) -> None:
    a = founded(machine("a"))
    ticket = ticket_of(a)
    b, c = joined(machine("b"), ticket), machine("c")
    before = held(a)
    outcome = c.attempt("join", ticket, *LOOPBACK)
    assert (outcome.code, outcome.error["code"]) == (6, "denied")
    assert "mesh invite" in outcome.error["hint"]
    assert c.process is None
    assert held(a) == before == held(b)
    joined(c, ticket_of(a))
    c.call("create", title="from c")
    wait_equal([a, b, c], within_s=10)


def test_an_expired_ticket_is_refused_before_anything_is_sent(machine: Machines) -> None:
    a, b = founded(machine("a")), machine("b")
    ticket = ticket_of(a, ttl="1s")
    time.sleep(1.1)
    outcome = b.attempt("join", ticket, *LOOPBACK)
    assert (outcome.code, outcome.error["code"]) == (5, "precondition")
    assert "expired" in outcome.error["message"] and "clock" in outcome.error["hint"]
    assert not b.path.exists()


def test_a_peer_of_another_mesh_is_not_talked_to(machine: Machines) -> None:
    a, b = founded(machine("a")), founded(machine("b"))
    before = held(a), held(b)
    where = a.status()["listen"][0]
    b.down()
    outcome = b.attempt("join", ticket_of(a), *LOOPBACK)
    assert (outcome.code, outcome.error["code"]) == (4, "conflict")
    assert "--home" in outcome.error["hint"]

    b.mesh("up", *LOOPBACK, "--peer", where)
    wait_until(
        "the address is named with the reason",
        lambda: any("another mesh" in dial["last_error"] for dial in b.status()["dials"]),
        within_s=5,
        on_failure=lambda: brief([b]),
    )
    assert [dial["address"] for dial in b.status()["dials"]] == [where]
    assert "connected" not in peer_rows(b, "state")
    findings = b.attempt("doctor")
    assert findings.code == 1
    (found,) = [row for row in findings.document["data"] if row["check"] == "address"]
    assert not found["ok"] and where in found["found"] and found["remedy"]
    assert where in b.text("status")
    assert (held(a), held(b)) == before


def test_an_unreachable_peer_is_tried_until_it_is_there(machine: Machines) -> None:
    a, b = founded(machine("a")), machine("b")
    ticket, where = ticket_of(a), a.status()["listen"][0]
    a.down()
    outcome = b.attempt("join", ticket, "--timeout", "1.5", *LOOPBACK)
    assert (outcome.code, outcome.error["code"]) == (7, "unavailable")
    assert outcome.error["retryable"]
    assert where in outcome.error["message"] and "refused" in outcome.error["message"]
    outcome = b.attempt("sync", "--wait", "--timeout", "0.3")
    assert (outcome.code, outcome.error["code"]) == (7, "unavailable")
    # It was left running, and needs no second command.
    a.mesh("up", "--listen", where, "--no-mdns")
    wait_equal([a, b], within_s=15)
    assert b.call("list")[0]["title"] == "first"


@pytest.mark.parametrize("waits", [True, False], ids=["waits", "hour-later"])
def test_entries_of_a_fast_clock_are_parked_and_drain(machine: Machines, *, waits: bool) -> None:
    """A node an hour ahead is told so; what it writes is kept by all and counts in its time."""
    a = founded(machine("a"))
    b = joined(machine("b"), ticket_of(a))
    before = held(a)
    b.down()
    # What is just beyond the bound drains while one looks on; for an hour, time is made to pass.
    offset_ms = (SKEW_S_MAX + 4) * 1000 if waits else HOUR_MS
    b.mesh("up", *LOOPBACK, **{OFFSET_VARIABLE: str(offset_ms)})
    node = b.call("create", title="from the future")["id"]
    assert b.call("show", node=node)["title"] == "from the future"
    wait_until(
        "parked", lambda: a.status()["parked"] > 0, within_s=10, on_failure=lambda: brief([a, b])
    )
    assert held(a) == before
    skews = {machine.name: machine.status()["clock"]["skew_ms"] for machine in (a, b)}
    assert abs(skews["a"] - offset_ms) < 2_000 and abs(skews["b"] + offset_ms) < 2_000
    # The others go on as if nothing had happened.
    a.call("create", title="at the right time")
    if not waits:
        assert a.status()["parked"] > 0
        finding = a.attempt("doctor").document["data"]
        (clock,) = [row for row in finding if row["check"] == "clock"]
        assert not clock["ok"] and clock["remedy"]
        a.down()
        a.mesh("up", *LOOPBACK, **{OFFSET_VARIABLE: str(offset_ms)})
    wait_until(
        "drained", lambda: a.status()["parked"] == 0, within_s=15, on_failure=lambda: brief([a, b])
    )
    wait_equal([a, b], within_s=15)
    assert a.call("show", node=node)["title"] == "from the future"
    assert {row["title"] for row in b.call("list")} >= {"first", "at the right time"}


def test_a_home_without_a_node_says_what_to_do(machine: Machines, tmp_path: Path) -> None:
    nobody = machine("nobody")
    for arguments in (("status",), ("up",), ("create", "x"), ("down",)):
        outcome = nobody.attempt(*arguments)
        assert (outcome.code, outcome.error["code"]) == (3, "no_home")
        assert "mesh init" in outcome.error["hint"]
    assert list(tmp_path.iterdir()) == []
