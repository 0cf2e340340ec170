"""One node's life, from its beginning to its stop, as the commands show it."""

from __future__ import annotations

import socket
import stat
from collections.abc import Callable

from tests.cli.machine import APART, Machine

WORKNODE_KEYS = {
    *("id", "kind", "title", "parent", "path", "status", "priority", "fields"),
    *("created", "updated", "children"),
}
STATUS_KEYS = {
    *("mesh_id", "node_id", "name", "running", "listen", "state_hash", "worknodes", "entries"),
    *("frontier_hash", "peers", "clock", "deferred", "parked"),
}


def test_init_up_create_show_down(machine: Callable[[str], Machine]) -> None:
    one = machine("one")
    made = one.ok("init", "--name", "acme")
    assert set(made) >= {"mesh_id", "node_id", "name"} and made["name"] == "acme"

    up = one.ok("up", *APART)
    assert up["node_id"] == made["node_id"]
    assert up["listen"][0].startswith("127.0.0.1:")

    status = one.ok("status")
    assert set(status) >= STATUS_KEYS
    assert status["running"] is True
    assert status["mesh_id"] == made["mesh_id"] and status["listen"] == up["listen"]
    assert status["peers"] == [] and status["clock"] == {"skew_ms": None, "ahead_ms": 0}

    task = one.ok("create", "First task", "-p", "1", "--set", "labels=a,b")
    assert set(task) >= WORKNODE_KEYS
    assert (task["title"], task["kind"], task["priority"]) == ("First task", "task", 1)
    assert task["path"] == "/acme/First task"

    assert task.pop("existed") is False
    assert one.ok("show", task["id"][:8]) == one.ok("show", "/acme/First task") == task
    assert one.ok("list") == [task]

    down = one.ok("down")
    assert down["was_running"] is True
    assert not (one.home / "run" / "node.sock").exists()
    after = one.ok("status")
    assert after["running"] is False and after["listen"] == []
    assert after["state_hash"] == one.ok("status")["state_hash"]
    assert one.ok("show", task["id"]) == task
    assert one.ok("down")["was_running"] is False


def test_the_same_commands_work_without_a_running_node(founded: Machine) -> None:
    place = founded.ok("create", "Place", "--kind", "folder")
    run = founded.run("create", "Task", "--under", place["id"])
    assert run.returncode == 0
    assert run.stdout.startswith("✓ created ")
    assert "not running" in run.stderr

    task = founded.ok("list", "--under", "/Place")[0]
    assert (
        founded.ok("update", task["id"], "--set", "priority=2", "--add", "labels=x")["priority"]
        == 2
    )
    assert founded.ok("move", task["id"], "--under", "/")["path"] == "/acme/Task"
    assert founded.ok("archive", task["id"])["archived"] is True
    assert founded.ok("list", "--archived")[0]["id"] == task["id"]
    assert [row["did"] for row in founded.ok("history", task["id"])] == [
        *("create", "set", "set", "add", "move", "archive")
    ]
    assert [item["depth"] for item in founded.ok("tree")] == [0, 1]
    assert founded.ok("search", "PLA")[0]["id"] == place["id"]


def test_the_socket_is_for_the_owner_alone(running: Machine) -> None:
    path = running.home / "run" / "node.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_second_process_on_a_home_is_refused(running: Machine) -> None:
    error = running.fails(4, "up", *APART)
    assert error["code"] == "home_in_use" and "mesh down" in error["hint"]
    assert running.fails(4, "up", "--foreground", *APART)["code"] == "home_in_use"
    assert running.fails(4, "init")["code"] in {"conflict", "home_in_use"}
    assert running.ok("status")["running"] is True


def test_a_busy_port_is_said_in_one_line(founded: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        error = founded.fails(1, "up", "--no-mdns", "--listen", listen)
    assert error["code"] == "address_in_use" and listen in error["message"]
    founded.ok("up", *APART)


def test_a_killed_node_is_started_again_over_its_dead_socket(running: Machine) -> None:
    import os
    import signal

    task = running.ok("create", "Kept")
    assert running.pid is not None
    os.kill(running.pid, signal.SIGKILL)
    assert running.ok("show", task["id"]) == {k: v for k, v in task.items() if k != "existed"}
    running.ok("up", *APART)
    assert running.ok("status")["running"] is True


def test_a_session_is_another_claimant_of_the_same_node(running: Machine) -> None:
    task = running.ok("create", "Shared", MESH_SESSION="agent-a")
    running.ok("update", task["id"], "--set", "priority=1", "--session", "agent-b")
    sessions = {row["session"] for row in running.ok("history", task["id"])}
    assert len(sessions) == 2 and None not in sessions


def test_down_ends_a_watch_that_is_under_way(running: Machine) -> None:
    import json
    import subprocess
    import sys

    from tests.cli.machine import ROOT

    with subprocess.Popen(
        [sys.executable, "-m", "cli", "--home", str(running.home), "--json", "watch"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as watch:
        assert watch.stdout is not None
        # The subscription may be later than the first of these, not than all.
        for number in range(20):
            running.ok("create", f"Seen {number}")
            if running.ok("status")["subscribers"]:
                break
        last = running.ok("create", "Certainly seen")
        for line in watch.stdout:
            event = json.loads(line)["data"]
            if event["node"] == last["id"]:
                assert event["type"] == "node.created" and event["title"] == "Certainly seen"
                break
        running.ok("down")
        _, said = watch.communicate(timeout=20)
        assert watch.returncode == 7 and "the node has stopped" in said and "--cursor" in said
