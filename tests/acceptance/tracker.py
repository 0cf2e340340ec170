"""
What an import must come to, worked out from the lines of the export alone.

Per id the line with the greatest `updated_at` stands, of equal ones the last. The first parent is
the place in the tree, other parents are links.
"""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from tests.acceptance.machine import REPOSITORY

#: Real data is not part of the repository; it may lie beside it, or elsewhere.
DATA: Final = Path(os.environ.get("MESH_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
MEDIUM: Final = DATA / "tracker" / "medium.jsonl"

_LINKS: Final = {
    "blocks": "depends_on",
    "discovered-from": "discovered_from",
    "related": "related",
}
_STATUSES: Final = {"open": "pending", "in_progress": "pending", "closed": "completed"}
_PLAIN: Final = {
    "description": "description",
    "notes": "notes",
    "priority": "priority",
    "issue_type": "type",
    "status": "source_status",
}
_TIMES: Final = ("created_at", "updated_at", "closed_at")


@frozen
class Expected:
    """One issue; other issues by their source ids, an empty parent is the import's folder."""

    parent: str
    status: str
    title: str
    fields: dict[str, Any]
    times: dict[str, datetime]
    links: dict[str, frozenset[str]]


def expected_of(lines: list[str]) -> dict[str, Expected]:
    standing: dict[str, dict[str, Any]] = {}
    for line in lines:
        issue = json.loads(line)
        known = standing.get(issue["id"])
        if known is None or _time(issue["updated_at"]) >= _time(known["updated_at"]):
            standing[issue["id"]] = issue
    return {source_id: _expected(issue, standing) for source_id, issue in standing.items()}


def _expected(issue: dict[str, Any], standing: dict[str, Any]) -> Expected:
    # The tracker leaves out what is zero, and zero is its highest priority.
    issue = {"priority": 0, **issue}
    parents: list[str] = []
    links: dict[str, set[str]] = {}
    for dependency in issue.get("dependencies", ()):
        target, kind = dependency["depends_on_id"], dependency["type"]
        assert target in standing, "this data has no link into the void"
        if kind == "parent-child":
            parents.append(target)
        else:
            links.setdefault(_LINKS[kind], set()).add(target)
    if parents[1:]:
        links["also_child_of"] = set(parents[1:])
    return Expected(
        parent=parents[0] if parents else "",
        status=_STATUSES[issue["status"]],
        title=" ".join(issue["title"].split()),
        fields={here: issue[there] for there, here in _PLAIN.items() if there in issue},
        times={name: _shown(_time(issue[name])) for name in _TIMES if name in issue},
        links={name: frozenset(targets) for name, targets in links.items()},
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _shown(time: datetime) -> datetime:
    """The mesh keeps milliseconds."""
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def found_in(worknodes: list[dict[str, Any]], root: str) -> dict[str, Expected]:
    """The same, from Worknodes as `mesh list --json` shows them."""
    source = {each["id"]: each["fields"]["source_id"] for each in worknodes}
    source[root] = ""
    names = (*_LINKS.values(), "also_child_of")
    found = {}
    for each in worknodes:
        fields = each["fields"]
        found[source[each["id"]]] = Expected(
            parent=source[each["parent"]],
            status=each["status"],
            title=each["title"],
            fields={name: fields[name] for name in _PLAIN.values() if name in fields},
            times={name: _time(fields[name]) for name in _TIMES if name in fields},
            links={
                name: frozenset(source[target] for target in fields[name])
                for name in names
                if name in fields
            },
        )
    return found
