"""What people read, where it is made of more than one value."""

from __future__ import annotations

from typing import Any

from cli import render

STATUS: dict[str, Any] = {
    "name": "one",
    "node_id": "ab" * 32,
    "mesh_id": "cd" * 32,
    "mesh_name": "acme",
    "running": True,
    "listen": ["127.0.0.1:7340"],
    "worknodes": 1,
    "entries": 2,
    "state_hash": "ef" * 32,
    "frontier_hash": "01" * 32,
    "clock": {"skew_ms": None},
    "peers": [],
    "dials": [],
}


def test_an_address_where_nobody_was_met_is_told_once() -> None:
    dial = {"address": "192.0.2.7:7340", "state": "waiting", "last_error": "Connection refused"}
    text = render.status(STATUS | {"dials": [dial]})
    assert text.count("192.0.2.7:7340") == 1
    assert "tries 192.0.2.7:7340  Connection refused" in text
    fresh = render.status(STATUS | {"dials": [dial | {"last_error": "", "state": "dialing"}]})
    assert "tries 192.0.2.7:7340  dialing" in fresh


def test_status_says_who_is_not_a_whole_member_yet() -> None:
    assert "True" not in render.status(STATUS | {"member": True, "provisional": True})
    assert "provisional" in render.status(STATUS | {"member": True, "provisional": True})
    assert "not a member yet" in render.status(STATUS | {"member": False, "provisional": None})
    whole = render.status(STATUS | {"member": True, "provisional": False})
    assert "member" not in whole and "provisional" not in whole


def test_nobody_known_is_said() -> None:
    assert render.peers([]) == "no peers known"


def test_status_says_what_is_wrong() -> None:
    wrong = {**STATUS, "forked": [["ab" * 32, 1]], "writing": "the disk is full"}
    text = render.status(wrong)
    assert "FORKED  1 logs have two branches" in text
    assert "DISK  nothing can be written: the disk is full" in text
