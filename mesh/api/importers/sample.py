"""
A small tracker that nobody has: lines for the demo and the tests, the same for the same seed.

It has what real exports have: epics within epics, children before their parents, lines of an
issue's past, a second parent, comments, labels, and a link to an issue that is nowhere.
"""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from attrs import define, field

_START: Final = datetime(2025, 11, 3, 8, 0, tzinfo=UTC)
_EPICS: Final = ("Join", "Storage", "Gossip", "Command line", "Simulator", "Documents")
_VERBS: Final = ("Add", "Fix", "Measure", "Document", "Simplify", "Test", "Bound", "Review")
_THINGS: Final = (
    "the handshake",
    "the write path",
    "error messages",
    "the frontier",
    "back-off",
    "snapshots",
    "the tree view",
    "time-outs",
    "progress bars",
    "the log",
)
_TYPES: Final = ("task", "task", "task", "bug", "feature", "chore")
_STATUSES: Final = ("open", "open", "in_progress", "closed", "closed")
_LABELS: Final = ("backend", "cli", "docs", "perf", "security")
_PEOPLE: Final = ("ana", "ben", "chloe", "dev")


@define
class _Sample:
    dice: random.Random
    records: list[dict[str, Any]] = field(factory=list)

    def time(self, hours: int) -> str:
        return (_START + timedelta(hours=hours)).isoformat()

    def issue(self, source_id: str, title: str, type_: str, hours: int) -> dict[str, Any]:
        status = self.dice.choice(_STATUSES)
        touched = hours + self.dice.randrange(1, 200)
        record: dict[str, Any] = {
            "id": source_id,
            "title": title,
            "description": f"{title}, so that nobody has to think about it again.",
            "status": status,
            "priority": self.dice.randrange(5),
            "issue_type": type_,
            "created_at": self.time(hours),
            "updated_at": self.time(touched),
        }
        if status == "closed":
            record["closed_at"] = self.time(touched)
        if self.dice.random() < 0.5:
            record["labels"] = sorted(self.dice.sample(_LABELS, self.dice.randrange(1, 3)))
        if self.dice.random() < 0.3:
            record["comments"] = [
                {
                    "id": 1,
                    "issue_id": source_id,
                    "author": self.dice.choice(_PEOPLE),
                    "text": "Looks right to me.",
                    "created_at": self.time(touched),
                }
            ]
        self.records.append(record)
        return record

    def link(self, record: dict[str, Any], target: str, type_: str) -> None:
        row = {"issue_id": record["id"], "depends_on_id": target, "type": type_}
        row |= {"created_at": record["created_at"], "created_by": self.dice.choice(_PEOPLE)}
        record.setdefault("dependencies", []).append(row)

    def epics(self) -> list[str]:
        names = [f"wm-e{at}" for at in range(len(_EPICS))]
        for at, (name, title) in enumerate(zip(names, _EPICS, strict=True)):
            record = self.issue(name, f"{title} works for everybody", "epic", at)
            if at >= 4:
                self.link(record, names[at - 4], "parent-child")
        return names

    def tasks(self, epics: list[str], count: int) -> None:
        names = [f"wm-{at:03}" for at in range(count)]
        for at, name in enumerate(names):
            title = f"{self.dice.choice(_VERBS)} {self.dice.choice(_THINGS)}"
            record = self.issue(name, title, self.dice.choice(_TYPES), 10 + at)
            if self.dice.random() < 0.8:
                self.link(record, self.dice.choice(epics), "parent-child")
            if at and self.dice.random() < 0.4:
                kind = self.dice.choice(("blocks", "blocks", "discovered-from", "related"))
                self.link(record, names[self.dice.randrange(at)], kind)
        # Two that a reader of such files must bear: a second parent and a link into nowhere.
        self.link(self.records[-1], epics[0], "parent-child")
        self.link(self.records[-1], epics[1], "parent-child")
        self.link(self.records[-2], "wm-gone", "blocks")

    def past(self, count: int) -> list[dict[str, Any]]:
        """Earlier lines of some issues, which later ones replace."""
        chosen = self.dice.sample(self.records, count)
        return [
            {**record, "status": "open", "updated_at": record["created_at"], "title": "(draft)"}
            for record in chosen
        ]


def sample_tracker(*, seed: int = 7, issues: int = 60) -> bytes:
    """
    The export of a made-up tracker.

    Args:
        seed: The same seed gives the same bytes.
        issues: How many, at least 10, epics among them; a few more lines are of their past.
    """
    assert issues >= 10, issues
    # Not a secret: the demo must show everybody the same.
    sample = _Sample(random.Random(seed))  # noqa: S311
    sample.tasks(sample.epics(), issues - len(_EPICS))
    lines = sample.records + sample.past(max(1, issues // 12))
    sample.dice.shuffle(lines)
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)
