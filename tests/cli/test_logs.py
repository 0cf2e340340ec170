"""The logs of a real run: two nodes' lines of one link can be joined, and no secret is in them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

from capability.ticket import decode_ticket
from mesh.storage.home import Home
from tests.cli.machine import APART, Machine


def lines_of(machine: Machine) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (machine.home / "node.log").read_text().splitlines()]


def spellings(secret: bytes) -> Iterator[str]:
    """How bytes may stand in a text, less what may be cut off at either end."""
    yield secret.hex()[4:-4]
    yield base64.b64encode(secret).decode()[4:-6]
    yield base64.urlsafe_b64encode(secret).decode()[4:-6]
    yield base64.b32encode(secret).decode()[4:-10]
    yield repr(secret)[4:-4]


def test_logs_of_two_nodes_are_joined_by_the_link_and_hold_no_secret(
    running: Machine, machine: Callable[[str], Machine]
) -> None:
    other = machine("two")
    title = "what nobody but members may read"
    running.ok("create", title)
    ticket = running.ok("invite")["ticket"]
    other.ok("join", ticket, *APART)
    other.wait_for_sync()
    # A ticket that is used again is refused: the words of errors are in the logs, too.
    machine("three").run("join", ticket, *APART)
    peer = running.ok("status")["peers"][0]
    for one in (other, running):
        one.ok("down")
    logs = [lines_of(one) for one in (running, other)]
    links = [{line["link"] for line in log if line["event"] == "link.opened"} for log in logs]
    assert peer["link"] in links[0] & links[1]
    both = [line for log in logs for line in log]
    assert len({line["mesh"] for line in both}) == 1
    nodes = [{line["node"] for line in log} for log in logs]
    assert [len(node) for node in nodes] == [1, 1] and nodes[0] != nodes[1]
    opened = [line for line in both if line.get("link") == peer["link"]]
    assert {(line["node"], line["peer"]) for line in opened} == {
        (*nodes[0], *nodes[1]),
        (*nodes[1], *nodes[0]),
    }
    assert {line["level"] for line in both} <= {"info", "warning", "error"}
    text = "".join((one.home / "node.log").read_text() for one in (running, other))
    seeds = [Home(one.home).seed() for one in (running, other)]
    secrets = [ticket[8:-8], title]
    for seed in (*seeds, decode_ticket(ticket).seed):
        secrets += spellings(seed)
    assert [secret for secret in secrets if secret.casefold() in text.casefold()] == []
