"""The status is one screen: what there is, what waits, what is wrong and what to do about it."""

from __future__ import annotations

from typing import Any

import pytest

from cli import findings, screen
from mesh.replica.recovery import PARTED
from mesh.replica.standing import ENDED

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
    "mdns": "ok",
}


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")


def peer(name: str, **more: Any) -> dict[str, Any]:
    found = {
        "node_id": name.encode().hex().ljust(64, "0"),
        "name": name,
        "address": "192.0.2.2:7340",
        "state": "connected",
        "in_sync": True,
        "rtt_ms": 0.4,
        "last_heard_s": 0.1,
        "last_error": "",
        "skew_ms": 0,
    }
    return found | more


def words(text: str) -> str:
    return " ".join(text.split())


def of_clocks(*skews_ms: int) -> dict[str, Any]:
    peers = [peer(f"peer{i}", skew_ms=skew) for i, skew in enumerate(skews_ms)]
    return STATUS | {"peers": peers, "clock": {"skew_ms": sorted(skews_ms)[len(skews_ms) // 2]}}


def test_an_address_where_nobody_was_met_is_told_once() -> None:
    dial = {"address": "192.0.2.7:7340", "state": "waiting", "last_error": "Connection refused"}
    text = screen.status(STATUS | {"dials": [dial]})
    assert text.count("192.0.2.7:7340") == 1
    assert "WRONG  192.0.2.7:7340: Connection refused" in text
    fresh = screen.status(STATUS | {"dials": [dial | {"last_error": "", "state": "dialing"}]})
    assert "tries 192.0.2.7:7340  dialing" in fresh
    assert "wrong  nothing" in fresh


def test_status_says_who_is_not_a_whole_member_yet() -> None:
    assert "provisional" in screen.status(STATUS | {"member": True, "provisional": True})
    text = screen.status(STATUS | {"member": False, "provisional": None})
    assert "WRONG  no member has let this node in yet" in text
    whole = screen.status(STATUS | {"member": True, "provisional": False})
    assert "member" not in whole and "provisional" not in whole


def test_what_is_wrong_comes_with_a_remedy_and_nothing_is_said_to_be_nothing() -> None:
    assert screen.status(STATUS).endswith("wrong  nothing")
    fork = {"node_id": "ab" * 32, "name": "eve", "lane": 1, "seq": 7, "void": 3}
    text = screen.status(STATUS | {"forks": [fork], "writing": "the disk is full", "parked": 2})
    assert "waits  2 entries stamped in the future" in text
    assert "WRONG  writing: the disk is full\n       → free space" in text
    told = "eve ran a copy of its home: its data log has two branches from 7 on, and 3 entries do"
    assert f"{told} not count" in words(text)
    assert "nothing" not in text


def test_a_node_that_is_not_running_is_told_how_to_start() -> None:
    text = screen.status(STATUS | {"running": False, "listen": []})
    assert "WRONG  the node is not running\n       → start it: mesh up" in text
    assert "no peers known" not in text, "nobody was asked"


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (40, 24), (200, 60)])
def test_it_is_one_screen_whatever_is_wrong(
    monkeypatch: pytest.MonkeyPatch, columns: int, lines: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", str(lines))
    fork = {"node_id": "ab" * 32, "name": "eve", "lane": 1, "seq": 7, "void": 3}
    peers = [peer(f"machine-number-{i:03}-with-a-long-name") for i in range(80)]
    peers += [peer(f"away{i}", state="waiting", last_error="refused " * 9) for i in range(9)]
    status = STATUS | {"peers": peers, "forks": [fork] * 40, "writing": "no " * 60}
    shown = screen.status(status).split("\n")
    assert len(shown) < lines
    assert max(map(len, shown)) <= columns
    assert any(line.lstrip().startswith("away0") for line in shown), "those in trouble come first"
    assert any("more, " in line and "of them in sync" in line for line in shown)
    assert "more: mesh doctor" in shown[-1]


@pytest.mark.parametrize(
    ("skews_ms", "accused"),
    [
        ((90_000,), "this clock or that of peer0"),
        ((-90_000,), "this clock or that of peer0"),
        ((90_000, 90_000), "this clock is behind"),
        ((-90_000, -90_000, 0), "this clock is ahead"),
        ((0, 90_000), "this clock or that of peer1"),
        ((0, 0, 90_000), "the clock of peer2 (70656572) differs from all others"),
        ((-90_000, 90_000), "this clock or that of peer1 (70656572), peer0"),
    ],
)
def test_a_clock_is_accused_only_by_a_majority(skews_ms: tuple[int, ...], accused: str) -> None:
    status = of_clocks(*skews_ms)
    found = findings.clock(status)
    assert found is not None and not found.ok
    assert accused in found.found and found.remedy
    assert "WRONG" in screen.status(status)


def test_clocks_that_agree_are_a_figure_and_no_clock_is_none() -> None:
    assert "clock  +40 ms against its peers" in screen.status(of_clocks(40))
    assert findings.clock(STATUS) is None
    assert "clock" not in screen.status(STATUS)


def test_every_finding_that_is_not_well_has_a_remedy() -> None:
    fork = {"node_id": "ab" * 32, "name": "", "lane": 0, "seq": 1, "void": 1}
    status = of_clocks(90_000, 90_000) | {
        "blocked": "restored",
        "writing": "full",
        "member": False,
        "parked": 1,
        "forks": [fork],
        "mdns": "no socket",
        "dials": [{"address": "a:1", "state": "waiting", "last_error": "refused"}],
    }
    status["peers"].append(peer("gone", state="waiting", skew_ms=None))
    every = [*findings.of_node(status), *findings.of_network(status)]
    assert {found.check for found in every if not found.ok} == {
        "log",
        "disk",
        "member",
        "parked",
        "forks",
        "clock",
        "peer",
        "address",
        "mdns",
    }
    assert all(found.remedy for found in every if not found.ok)


@pytest.mark.parametrize("sentence", [PARTED, ENDED])
def test_a_log_that_cannot_go_on_needs_a_new_key(sentence: str) -> None:
    (log,) = (f for f in findings.of_node(STATUS | {"blocked": sentence}) if f.check == "log")
    assert (log.ok, log.found, log.remedy) == (False, sentence, findings.REKEY)


def test_what_waits_for_a_birth_is_wrong_only_where_a_log_has_forked() -> None:
    fork = {"node_id": "ab" * 32, "name": "", "lane": 1, "seq": 1, "void": 1}
    waits = STATUS | {"undecided": 2}
    assert all(found.ok for found in findings.of_node(waits))
    (found,) = (f for f in findings.of_node(waits | {"forks": [fork]}) if f.check == "births")
    assert not found.ok and found.found.startswith("2 operations wait for a Worknode")
