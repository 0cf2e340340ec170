"""What people read, where it is made of more than one value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cli import render, screen


def test_nobody_known_is_said() -> None:
    assert render.peers([]) == "no peers known"


FORGED = "a name\nWRONG  all is lost"
PEER = {
    "node_id": "ab" * 32,
    "name": FORGED,
    "address": "192.0.2.1:1",
    "state": "connected",
    "in_sync": True,
    "rtt_ms": 1.0,
    "last_heard_s": 0.1,
    "last_error": FORGED,
    "skew_ms": 0,
}
WORKNODE = {
    "id": "a" * 26,
    "kind": FORGED,
    "title": FORGED,
    "path": f"/{FORGED}/{FORGED}",
    "status": FORGED,
    "priority": None,
    "created": {"at": "now", "by": FORGED},
    "updated": {"at": "now", "by": FORGED},
    "children": 0,
    "depth": 0,
    "fields": {FORGED: [FORGED], "description": FORGED, "notes": [{"text": FORGED * 9}]},
}
WRITE = {"at": "now", "by": FORGED, "did": "set", "field": FORGED, "value": FORGED}
STATUS = {
    "node_id": "cd" * 32,
    "name": FORGED,
    "running": True,
    "listen": [],
    "mesh_name": FORGED,
    "mesh_id": "ef" * 32,
    "worknodes": 1,
    "entries": 1,
    "state_hash": "0" * 64,
    "frontier_hash": "1" * 64,
    "peers": [PEER],
    "clock": {"skew_ms": 0, "ahead_ms": 0},
    "dials": [],
    "member": True,
}


@pytest.mark.parametrize(
    ("shown", "found"),
    [
        (render.peers, [PEER]),
        (render.worknode, WORKNODE),
        (render.worknodes, [WORKNODE]),
        (render.tree, [WORKNODE]),
        (render.history, [{**WRITE, "counts": True, "reason": FORGED}]),
        (render.event, {"at": "now", "type": FORGED, "title": FORGED, "by": FORGED}),
        (lambda found: render.done("moved", found), WORKNODE),
        (screen.status, STATUS),
    ],
    ids=["peers", "worknode", "worknodes", "tree", "history", "event", "done", "status"],
)
def test_what_anybody_is_called_cannot_pass_for_a_line_of_ours(
    shown: Callable[[Any], str], found: Any
) -> None:
    assert not [line for line in shown(found).split("\n") if line.startswith("WRONG")]
    assert "WRONG" in shown(found)
