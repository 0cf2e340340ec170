"""Joining by ticket: what works, and each way in which it does not."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

from tests.cli.machine import APART, ROOT, Machine

Make = Callable[[str], Machine]


def test_a_second_home_joins_and_both_hold_the_same(running: Machine, machine: Make) -> None:
    task = running.ok("create", "Known to all")
    ticket = running.ok("invite")
    assert set(ticket) >= {"ticket", "expires_at", "role"} and ticket["role"] == "member"
    two = machine("two")
    joined = two.ok("join", "-", "--name", "two", *APART, stdin=ticket["ticket"] + "\n")
    assert set(joined) >= {"mesh_id", "node_id", "entries", "worknodes", "state_hash"}
    assert joined["worknodes"] == 1

    assert two.ok("show", task["id"])["title"] == "Known to all"
    made = two.ok("create", "Made by two")
    assert two.ok("sync", "--wait")["in_sync"] is True
    assert running.ok("show", made["id"])["created"]["by"].startswith("two (")
    assert running.ok("status")["state_hash"] == two.ok("status")["state_hash"]
    peer = running.ok("peers")[0]
    assert (peer["node_id"], peer["name"], peer["state"]) == (joined["node_id"], "two", "connected")
    assert two.ok("doctor")


def test_work_off_line_spreads_when_the_node_is_up(running: Machine, machine: Make) -> None:
    two = machine("two")
    two.ok("join", running.ok("invite")["ticket"], *APART)
    two.ok("down")
    made = two.ok("create", "Made off line")
    running.ok("create", "Made meanwhile")
    two.ok("up", *APART)
    two.wait_for_sync()
    running.wait_for_sync()
    assert running.ok("show", made["id"])["title"] == "Made off line"
    assert running.ok("status")["state_hash"] == two.ok("status")["state_hash"]


def test_the_ticket_may_come_from_a_file_or_the_environment(
    running: Machine, machine: Make
) -> None:
    invited = running.ok("invite", "--uses", "2")
    assert invited["ticket"] == invited["tickets"][0] != invited["tickets"][1]
    file = running.home / "ticket"
    file.write_text(invited["ticket"])
    machine("two").ok("join", "--ticket-file", str(file), *APART)
    machine("three").ok("join", *APART, MESH_TICKET=invited["tickets"][1])


def test_without_a_ticket_join_says_that_this_version_needs_one(machine: Make) -> None:
    error = machine("two").fails(2, "join")
    assert "not in this version" in error["message"] and "mesh invite" in error["hint"]


def test_a_mistyped_ticket_leaves_nothing_behind(running: Machine, machine: Make) -> None:
    ticket = running.ok("invite")["ticket"]
    two = machine("two")
    other = "b" if ticket[40] == "a" else "a"
    for wrong in (ticket[:-3], "hello", ticket[:40] + other + ticket[41:]):
        two.fails(2, "join", wrong, *APART)
    assert not two.home.exists()
    two.ok("join", ticket, *APART)


def test_a_used_ticket_is_refused_and_a_new_one_works(running: Machine, machine: Make) -> None:
    ticket = running.ok("invite")["ticket"]
    machine("two").ok("join", ticket, *APART)
    three = machine("three")
    error = three.fails(6, "join", ticket, *APART)
    assert "used" in error["message"] and "mesh invite" in error["hint"]
    assert not (three.home / "identity.key").exists()
    assert "used" in three.fails(6, "join", ticket, "--foreground", *APART)["message"]
    assert not three.home.exists()
    three.ok("join", running.ok("invite")["ticket"], *APART)


def test_an_expired_ticket_is_refused(running: Machine, machine: Make) -> None:
    ticket = running.ok("invite", "--ttl", "1s")["ticket"]
    time.sleep(1.1)
    two = machine("two")
    error = two.fails(5, "join", ticket, *APART)
    assert "expired" in error["message"]
    assert not (two.home / "identity.key").exists()


def test_a_home_of_one_mesh_does_not_join_another(running: Machine, machine: Make) -> None:
    other = machine("other")
    other.ok("init", "--name", "elsewhere")
    before = other.ok("status")["mesh_id"]
    error = other.fails(4, "join", running.ok("invite")["ticket"], *APART)
    assert "--home" in error["hint"]
    assert other.ok("status")["mesh_id"] == before


def test_nobody_reached_is_unavailable_and_goes_on_in_the_background(
    running: Machine, machine: Make
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ticket = running.ok("invite", "--no-address")["ticket"]
    two = machine("two")
    peer = f"127.0.0.1:{port}"
    error = two.fails(7, "join", ticket, "--peer", peer, "--timeout", "1.5", *APART)
    assert error["retryable"] is True and peer in error["message"]
    assert two.ok("status")["running"] is True

    running.ok("down")
    running.ok("up", "--no-mdns", "--listen", peer)
    two.wait_for_sync()


def test_whoever_interrupts_a_join_is_told_what_goes_on(running: Machine, machine: Make) -> None:
    ticket = running.ok("invite", "--no-address")["ticket"]
    two, three = machine("two"), machine("three")
    code, said = interrupted(two, "join", ticket, *APART)
    assert code == 1 and "in the background" in said and "mesh down" in said
    assert two.ok("status")["running"] is True
    code, said = interrupted(three, "join", ticket, "--foreground", *APART)
    assert code == 1 and "mesh up" in said
    assert three.ok("status")["running"] is False


def test_a_join_in_the_foreground_that_was_not_in_time_ends_with_that(
    running: Machine, machine: Make
) -> None:
    """It was said as an error, and goes on; Ctrl-C makes it neither a success nor another error."""
    ticket = running.ok("invite", "--no-address")["ticket"]
    words = ("--json", "join", ticket, "--foreground", "--timeout", "1.5", *APART)
    with node_of(machine("two"), *words) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        assert "no member could be reached within 1.5 s" in said
        process.send_signal(signal.SIGINT)
        out, more = process.communicate(timeout=30)
    assert (process.returncode, more) == (7, "")
    assert out.count("\n") == 1 and "within 1.5 s" in out


def node_of(machine: Machine, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cli", "--home", str(machine.home), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def interrupted(machine: Machine, *words: str) -> tuple[int, str]:
    """The exit code and what was said, after Ctrl-C once the node runs."""
    with node_of(machine, *words) as process:
        until = time.monotonic() + 30
        while not (machine.home / "run" / "node.sock").exists() and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        return process.returncode, said


def test_a_peer_of_another_mesh_is_named_and_does_no_harm(running: Machine, machine: Make) -> None:
    other = machine("other")
    other.ok("init", "--name", "elsewhere")
    listen = other.ok("up", *APART)["listen"][0]
    two = machine("two")
    ticket = running.ok("invite", "--no-address")["ticket"]
    error = two.fails(7, "join", ticket, "--peer", listen, "--timeout", "1.5", *APART)
    assert listen in error["message"]
    assert other.ok("status")["peers"] == []


def test_join_in_the_foreground_reports_the_copy_and_stays(running: Machine, machine: Make) -> None:
    import json

    ticket = running.ok("invite")["ticket"]
    two = machine("two")
    words = ["join", ticket, "--foreground", *APART]
    with subprocess.Popen(
        [sys.executable, "-m", "cli", "--home", str(two.home), "--json", *words],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        data = json.loads(process.stdout.readline())["data"]
        assert data["mesh_id"] == running.ok("status")["mesh_id"]
        assert two.ok("status")["running"] is True
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(20) == 0
