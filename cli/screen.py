"""
`mesh status` for people: one screen, of the terminal's size, 24 lines of 80 if there is none.

From the top: who this is, what it holds and what waits; the peers, those in trouble first; and at
the end, next to where the eye is, what is wrong and what to do.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from typing import Any, Final

from cli import findings, render
from cli.findings import Finding, count, peer_name
from cli.render import known

_SIZE: Final = (80, 24)
#: On a smaller terminal it is more than a screen.
_COLUMNS_MIN: Final = 40
_LINES_MIN: Final = 24
#: Of what is wrong and of its remedy; `mesh doctor` has the whole.
_FOUND_LINES_MAX: Final = 3
_REMEDY_LINES_MAX: Final = 2
#: Around the table of peers.
_BLANK_LINES: Final = 2
#: Lines of the table of peers that what is wrong does not push out.
_PEERS_MIN: Final = 4
_NAME_CHARACTERS: Final = 24
#: Addresses that are being tried for the first time.
_TRIES_MAX: Final = 2
_INDENT: Final = " " * 7

#: What may wait, and what it is for people.
_WAITING: Final = (
    ("pending", "local writes to be sealed"),
    ("deferred", "entries ahead of a gap in their log"),
    ("waiting", "entries of authors not introduced yet"),
    ("parked", "entries stamped in the future"),
    ("undecided", "operations on Worknodes not known yet"),
)


def status(data: dict[str, Any], *more: Finding) -> str:
    """One screen, without the line of the prompt; *more* is what was found besides."""
    columns, lines = shutil.get_terminal_size(_SIZE)
    columns, lines = max(columns, _COLUMNS_MIN), max(lines, _LINES_MIN) - 1
    head = list(_head(data, columns))
    every = [*_wrong(data), *(finding for finding in more if not finding.ok)]
    wrong = [_wrapped(finding, columns) for finding in every]
    if not wrong:
        wrong = [["wrong  nothing"]]
    shown = _fit(wrong, lines - len(head) - _PEERS_MIN - _BLANK_LINES)
    if not data["running"]:
        return _cut([*head, "", *shown], columns)
    room = lines - len(head) - len(shown) - _BLANK_LINES
    tries = [
        f"tries {dial['address']}  {dial['state']}"
        for dial in data.get("dials") or ()
        if not dial["last_error"] and not dial.get("node_id")
    ]
    peers = _peers(data["peers"], room - min(len(tries), _TRIES_MAX))
    return _cut([*head, "", *peers, *tries[:_TRIES_MAX], "", *shown], columns)


def _cut(lines: list[str], columns: int) -> str:
    return "\n".join(line if len(line) <= columns else f"{line[: columns - 1]}…" for line in lines)


def _head(data: dict[str, Any], columns: int) -> Iterator[str]:
    running = f"up at {', '.join(data['listen'] or [])}" if data["running"] else "not running"
    yield f"node   {known(data['name'])} ({data['node_id'][:8]})  {running}"
    yield f"mesh   {known(data['mesh_name'])} ({data['mesh_id'][:8]})"
    worknodes = count(data["worknodes"], "Worknode", "Worknodes")
    yield f"holds  {worknodes} in {count(data['entries'], 'entry', 'entries')}"
    yield f"state  {data['state_hash'][:32]}"
    yield f"front  {data['frontier_hash']}"
    waits = [f"{data[key]} {what}" for key, what in _WAITING if data.get(key)]
    yield from _wrap("waits  ", ", ".join(waits) or "nothing", columns, _FOUND_LINES_MAX)
    if data.get("provisional"):
        yield "joins  provisional, until the pin of who invited it is here"
    clock = findings.clock(data)
    if clock is not None and clock.ok:
        yield f"clock  {clock.found}"


def _wrong(data: dict[str, Any]) -> Iterator[Finding]:
    if not data["running"]:
        yield Finding("node", False, "the node is not running", "start it: mesh up")
    yield from (finding for finding in findings.of_node(data) if not finding.ok)
    if not data["running"]:
        return
    clock = findings.clock(data)
    if clock is not None and not clock.ok:
        yield clock
    away = [peer for peer in data["peers"] if peer["state"] != "connected"]
    if away:
        names = ", ".join(map(_told, away))
        some = f"{len(away)} of {len(data['peers'])} peers away: "
        yield Finding("peers", False, some + names, findings.AWAY)
    yield from findings.of_addresses(data)


def _told(peer: dict[str, Any]) -> str:
    reason = peer.get("last_error")
    return f"{peer_name(peer)}: {reason}" if reason else peer_name(peer)


def _wrapped(finding: Finding, columns: int) -> list[str]:
    found = _wrap("WRONG  ", finding.found, columns, _FOUND_LINES_MAX)
    return [*found, *_wrap(f"{_INDENT}→ ", finding.remedy, columns, _REMEDY_LINES_MAX)]


def _wrap(label: str, text: str, columns: int, lines: int) -> list[str]:
    return textwrap.wrap(
        text,
        columns,
        initial_indent=label,
        subsequent_indent=" " * len(label),
        max_lines=lines,
        placeholder=" …",
    )


def _fit(blocks: list[list[str]], room: int) -> list[str]:
    """The first of *blocks* for which there is room, and how many more there are."""
    shown: list[str] = []
    for number, block in enumerate(blocks):
        is_last = number == len(blocks) - 1
        if shown and len(shown) + len(block) + (not is_last) > room:
            return [*shown, f"{_INDENT}… and {len(blocks) - number} more: mesh doctor"]
        shown += block
    return shown


def _peers(found: list[dict[str, Any]], room: int) -> list[str]:
    """A table of at most *room* lines, those in trouble first."""
    ordered = sorted(found, key=lambda peer: (peer["state"] == "connected", bool(peer["in_sync"])))
    lines = render.peers([_short(peer) for peer in ordered]).split("\n")
    if len(lines) <= room:
        return lines
    kept = max(room - 1, 2)
    rest = ordered[kept - 1 :]
    agree = sum(1 for peer in rest if peer["state"] == "connected" and peer["in_sync"])
    return [*lines[:kept], f"… and {len(rest)} more, {agree} of them in sync: mesh peers"]


def _short(peer: dict[str, Any]) -> dict[str, Any]:
    # Why a peer is away stands below, where there is room for it.
    name = peer["name"]
    return peer | {"name": name and name[:_NAME_CHARACTERS], "last_error": None}
