"""Answers as text for people."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from typing import Any, Final

from cli.findings import one_line, peer_name

_UNKNOWN: Final = "-"
_TITLE_CHARACTERS: Final = 60


def table(rows: Iterable[Sequence[object]], header: Sequence[str]) -> str:
    """Columns, as wide as their widest cell, cut at the terminal's edge."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    if not cells:
        return ""
    every = [list(header), *cells]
    widths = [max(len(row[i]) for row in every) for i in range(len(header))]
    width = shutil.get_terminal_size((120, 24)).columns
    lines = []
    for row in every:
        line = "  ".join(cell.ljust(widths[i]) for i, cell in enumerate(row)).rstrip()
        lines.append(line if len(line) <= width else line[: width - 1] + "…")
    return "\n".join(lines)


def known(value: object, unit: str = "") -> str:
    """*value*, or a dash for what was not measured."""
    return _UNKNOWN if value is None or value == "" else f"{one_line(value)}{unit}"


# -- the mesh -----------------------------------------------------------------------------------


def peers(found: list[dict[str, Any]]) -> str:
    """A table of peers."""
    rows = [
        (
            peer_name(peer),
            known(peer["address"]),
            peer["state"],
            {True: "yes", False: "no", None: _UNKNOWN}[peer["in_sync"]],
            known(_rounded(peer["rtt_ms"]), " ms"),
            known(_rounded(peer["last_heard_s"]), " s ago"),
            peer.get("last_error") or "",
        )
        for peer in found
    ]
    header = ("PEER", "ADDRESS", "STATE", "IN SYNC", "RTT", "HEARD", "")
    return table(rows, header) or "no peers known"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def sync(data: dict[str, Any]) -> str:
    """What was found out of the peers."""
    names = ", ".join(peer_name(peer) for peer in data["peers"])
    if not names:
        return "no peer is connected; what is written here spreads when one is"
    return f"✓ in sync with {names}" if data["in_sync"] else f"comparing with {names}"


def join_progress(data: dict[str, Any], seconds: float) -> str:
    """The line that `join` shows while it waits."""
    connected = sum(1 for peer in data["peers"] if peer["state"] == "connected")
    whom = f"{connected} connected" if connected else "looking for a member"
    count = data.get("entries")
    return f"joining: {whom}, {count} entries, {seconds:.0f} s"


# -- Worknodes ----------------------------------------------------------------------------------


def short(worknode: dict[str, Any]) -> str:
    """Its id as people type it."""
    return str(worknode.get("short") or worknode["id"][:8])


def done(verb: str, worknode: dict[str, Any]) -> str:
    """The line after a write that is durable."""
    return f"✓ {verb} {short(worknode)}  {one_line(worknode['title'])}"


def worknode(found: dict[str, Any]) -> str:
    """Everything of one."""
    created, updated = found["created"], found["updated"]
    lines = [
        one_line(found["title"] or "(no title)"),
        f"  id        {found['id']}",
        f"  kind      {one_line(found['kind'])}",
        f"  path      {one_line(found['path'])}",
        f"  status    {known(found['status'])}",
        f"  priority  {known(found['priority'])}",
        f"  created   {known(created['at'])} by {known(created['by'])}",
        f"  updated   {known(updated['at'])} by {known(updated['by'])}",
        f"  children  {found['children']}",
    ]
    for name, value in found["fields"].items():
        if name not in {"title", "status", "priority"}:
            lines += _field(one_line(name), value)
    return "\n".join(lines)


def _field(name: str, value: Any) -> list[str]:
    if isinstance(value, list):
        if all(isinstance(item, str) and len(item) < 40 for item in value):
            return [f"  {name:<9} {one_line(', '.join(value))}"]
        return [f"  {name}", *(f"    - {_item(item)}" for item in value)]
    if isinstance(value, str) and "\n" in value:
        return [f"  {name}", *(f"    {line}" for line in value.splitlines())]
    return [f"  {name:<9} {one_line(value)}"]


def _item(item: Any) -> str:
    if isinstance(item, dict) and "text" in item:
        item = f"{item.get('at', '')} {item.get('author', '')}: {item['text']}".strip()
    return str(item).replace("\n", "\n      ")


def worknodes(found: list[dict[str, Any]]) -> str:
    """A table."""
    rows = [
        (
            short(item),
            known(item["priority"]),
            known(item["status"]),
            item["kind"],
            _cut(item["title"]),
            _cut(item["path"].rpartition("/")[0]),
        )
        for item in found
    ]
    return table(rows, ("ID", "P", "STATUS", "KIND", "TITLE", "UNDER")) or "nothing found"


def _cut(text: str) -> str:
    return text if len(text) <= _TITLE_CHARACTERS else text[: _TITLE_CHARACTERS - 1] + "…"


def tree(found: list[dict[str, Any]]) -> str:
    """Indented by depth."""
    lines = []
    for item in found:
        status_ = f"  [{one_line(item['status'])}]" if item["status"] else ""
        title = one_line(item["title"] or "(no title)")
        lines.append(f"{'  ' * item['depth']}{short(item)}  {title}{status_}")
    return "\n".join(lines)


def history(rows: list[dict[str, Any]]) -> str:
    """One line for each write."""
    shown = []
    for row in rows:
        value = "" if row["value"] is None else _cut(" ".join(str(row["value"]).split()))
        mark = "" if row["counts"] and not row["reason"] else f"({row['reason'] or 'parked'})"
        shown.append((row["at"], row["by"], row["did"], row["field"] or "", value, mark))
    return table(shown, ("AT", "BY", "DID", "FIELD", "VALUE", "")) or "nothing was written"


def event(found: dict[str, Any]) -> str:
    """One line of `watch`."""
    if found["type"] == "reset":
        return "… events are missing here; read the state anew"
    title = one_line(found.get("title") or (found.get("node") or "")[:8])
    return f"{found['at']}  {one_line(found['type']):<16} {title}  ({known(found['by'])})"


def imported(data: dict[str, Any]) -> str:
    """What an import did."""
    counts = [f"{data[key]} {key}" for key in ("created", "updated", "unchanged")]
    lines = [f"✓ {', '.join(counts)}, {len(data['skipped'])} skipped"]
    lines += [f"  line {item['line']}: {item['reason']}" for item in data["skipped"][:20]]
    if len(data["skipped"]) > 20:
        lines.append(f"  and {len(data['skipped']) - 20} more")
    return "\n".join(lines)
