"""
What a status says that is wrong, each with its cause and its remedy; for `status` and `doctor`.

A finding names who it is about. Where the figures do not tell which of two is wrong, neither is
accused.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from mesh.core.limits import SKEW_MS_MAX

#: How the sentences of a home that waits for its peers begin, and of logs that cannot go on.
RECOVERING: Final = "this home is being repaired"
PARTED: Final = "this home and its peers hold different entries"
ENDED: Final = "this node's own log has ended"
#: The way out for a key that cannot go on.
REKEY: Final = (
    "stop every other copy of this home; ask a member for `mesh invite`; then mesh down, "
    "mesh doctor --repair --ticket TICKET and mesh up: a new key, and what does not count is "
    "written again"
)
#: Members that a finding names.
_NAMED_MAX: Final = 3
_LANES: Final = ("authority", "data")


class Finding(NamedTuple):
    """One check: whether all is well, what was seen, and what to do if it is not."""

    check: str
    ok: bool
    found: str
    remedy: str = ""


def one_line(value: object) -> str:
    """*value* without ends of lines: after one, anybody's name could pass for a line of ours."""
    return str(value).replace("\n", " ")


def peer_name(peer: dict[str, Any]) -> str:
    """How a peer is called: its name, else the beginning of its key, else its address."""
    key = (peer["node_id"] or "")[:8]
    if peer["name"]:
        name = one_line(peer["name"])
        return f"{name} ({key})" if key else name
    return key or peer["address"] or "-"


def of_node(status: dict[str, Any]) -> Iterator[Finding]:
    """What concerns this node and what it holds."""
    blocked = status.get("blocked") or ""
    remedy = "stop every other copy of this home, mesh down, then mesh doctor --repair and mesh up"
    if blocked.startswith(RECOVERING):
        remedy = "start those members, or name their place: mesh up --peer; mesh peers says more"
    elif blocked.startswith((PARTED, ENDED)):
        remedy = REKEY
    yield Finding("log", not blocked, blocked or "own log agrees with what peers hold", remedy)
    writing = status.get("writing", "ok")
    yield Finding(
        "disk",
        writing == "ok",
        f"writing: {writing}",
        "free space, or repair the disk; writing goes on by itself",
    )
    if status.get("member") is False:
        yield Finding(
            "member",
            False,
            "no member has let this node in yet",
            "start the node that invited it, or name another member: mesh up --peer",
        )
    if status.get("parked"):
        yield Finding(
            "parked",
            False,
            f"{count(status['parked'], 'entry', 'entries')} stamped in the future",
            "look at the clocks of this machine and of their authors; they show in time",
        )
    for fork in status.get("forks") or ():
        is_own = fork["node_id"] == status["node_id"]
        remedy = REKEY if is_own else "stop all copies of that home but one"
        yield Finding("forks", False, _of_fork(fork), remedy)
    if status.get("forks") and status.get("undecided"):
        # Without a fork it is on its way.
        waiting = count(status["undecided"], "operation waits", "operations wait")
        yield Finding(
            "births",
            False,
            f"{waiting} for a Worknode whose creation does not count or is not here",
            "it may be in one of these logs: whose it is writes it again with a new key",
        )
    yield from _of_keys(status)


def _of_keys(status: dict[str, Any]) -> Iterator[Finding]:
    """What a new key is or was needed for."""
    ahead_ms = (status["clock"] or {}).get("ahead_ms", 0)
    if ahead_ms > SKEW_MS_MAX:
        found = f"this log's stamps are {ahead_ms // 1000} s in the future: others do not show it"
        yield Finding("stamps", False, found, f"set the clock, and wait; else {REKEY}")
    stranded = status.get("stranded") or {"entries": 0, "waits_for": []}
    if stranded["entries"]:
        names = ", ".join(stranded["waits_for"][:_NAMED_MAX]) or "a member"
        entries = count(stranded["entries"], "entry", "entries")
        yield Finding(
            "old key",
            False,
            f"{entries} of the old key wait until {names} can be compared with",
            "start those members; if they never return: mesh doctor --repair --accept-absent",
        )


def _of_fork(fork: dict[str, Any]) -> str:
    who = fork["name"] or fork["node_id"][:8]
    void = count(fork["void"], "entry does", "entries do")
    return (
        f"{who} ran a copy of its home: its {_LANES[fork['lane']]} log has two branches from "
        f"{fork['seq']} on, and {void} not count"
    )


def count(number: int, one: str, many: str) -> str:
    """The number with the word that it takes."""
    return f"{number} {one if number == 1 else many}"


def of_network(status: dict[str, Any]) -> Iterator[Finding]:
    """What concerns the peers and the way to them."""
    found = clock(status)
    if found is not None:
        yield found
    away = [peer for peer in status["peers"] if peer["state"] != "connected"]
    for peer in away:
        where = f"{peer_name(peer)} at {peer['address'] or '(no address)'}"
        yield Finding("peer", False, f"{where}: {peer.get('last_error') or 'away'}", AWAY)
    if status["peers"] and not away:
        yield Finding("peers", True, f"{len(status['peers'])} connected")
    yield from of_addresses(status)


#: What to do about a peer that is not connected.
AWAY: Final = "see that it runs and that no firewall stands between; another way: mesh up --peer"


def of_addresses(status: dict[str, Any]) -> Iterator[Finding]:
    """Addresses behind which nobody was met, and the search in this network."""
    for dial in status.get("dials") or ():
        # A stranger whom mDNS has found is nobody's trouble.
        if dial["last_error"] and not dial.get("node_id"):
            yield Finding(
                "address",
                False,
                f"{dial['address']}: {dial['last_error']}",
                "see that a member of this mesh listens there",
            )
    mdns = status.get("mdns")
    if mdns not in {None, "ok", "off"}:
        yield Finding(
            "mdns",
            False,
            f"members in this network are not found by themselves: {mdns}",
            "name one (mesh up --peer), or do without (mesh up --no-mdns)",
        )


#: A disk with less is about to be full. A guess: a day of a busy mesh.
FREE_BYTES_MIN: Final = 64 * 1024 * 1024


def space(home: Path) -> Finding:
    """Whether the home's disk has room."""
    free = shutil.disk_usage(home).free
    found = f"{free // 2**20} MiB are free on the disk of {home}"
    return Finding("space", free >= FREE_BYTES_MIN, found, "free space: writing ends without")


def clock(status: dict[str, Any]) -> Finding | None:
    """What the clocks of the connected peers say of this one; None while nobody was asked."""
    peers = [peer for peer in status["peers"] or () if peer.get("skew_ms") is not None]
    skew = (status["clock"] or {}).get("skew_ms")
    if skew is None or not peers:
        return None
    measured = f"{skew:+d} ms against its peers"
    # A peer's clock less this one.
    behind = [peer for peer in peers if peer["skew_ms"] > SKEW_MS_MAX]
    ahead = [peer for peer in peers if peer["skew_ms"] < -SKEW_MS_MAX]
    off = behind + ahead
    set_it = f"set the clock ({'chronyc tracking' if sys.platform == 'linux' else 'sntp'})"
    if not off:
        return Finding("clock", True, measured)
    majority = max(behind, ahead, key=len)
    if len(peers) > 1 and len(majority) * 2 > len(peers):
        way = "behind" if majority is behind else "ahead, and peers keep its writes waiting"
        return Finding("clock", False, f"{measured}: this clock is {way}", set_it)
    names = ", ".join(peer_name(peer) for peer in off)
    if len(peers) > 1 and len(off) * 2 < len(peers):
        return Finding("clock", False, f"the clock of {names} differs from all others", set_it)
    return Finding(
        "clock",
        False,
        f"{measured}: this clock or that of {names} is wrong, two cannot tell which",
        f"look at both (date -u), and {set_it}",
    )
