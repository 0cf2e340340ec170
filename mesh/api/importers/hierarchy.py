"""
The hierarchy that a tracker's export describes: one parent each, no cycles, and all other links.

Of several parents the first stands and the others become links; an edge that would close a cycle
becomes a link too. Links to issues that are nowhere are kept as text. Everything that is not taken
as it stands is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from attrs import define, field

from mesh.api.importers.records import Issue, Link, Remark

PARENT: Final = "parent-child"
#: The source's words for links, and the sets that hold them here.
LINK_FIELDS: Final[Mapping[str, str]] = {
    "blocks": "depends_on",
    "discovered-from": "discovered_from",
    "related": "related",
    "relates-to": "related",
}
OTHER_PARENTS: Final = "also_child_of"
TEXT_LINKS: Final = "external_links"
#: Levels of parents that are taken. A guess: people's trackers are less deep, broken ones more.
DEPTH_MAX: Final = 64


def newest(issues: Iterable[Issue]) -> tuple[dict[str, Issue], int]:
    """
    Per id the line with the greatest `updated_at`, of equal ones the last; how many others.

    The order is that of the lines that stand.
    """
    found: dict[str, Issue] = {}
    count = 0
    for issue in issues:
        count += 1
        known = found.get(issue.id)
        if known is None or (issue.updated_ns or 0) >= (known.updated_ns or 0):
            found.pop(issue.id, None)
            found[issue.id] = issue
    ordered = sorted(found.values(), key=lambda issue: issue.line)
    return {issue.id: issue for issue in ordered}, count - len(found)


@define
class Hierarchy:
    """
    Parents and links of a set of issues.

    `parents` has an entry for each issue that has a parent. `links` holds, per issue and field,
    the ids of the targets; those of `TEXT_LINKS` are texts.
    """

    issues: Mapping[str, Issue]
    #: Whether an id that the file does not have is known from an earlier import.
    known: Callable[[str], bool]
    parents: dict[str, str] = field(factory=dict, init=False)
    links: dict[str, dict[str, dict[str, None]]] = field(factory=dict, init=False)
    remarks: list[Remark] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        for issue in self.issues.values():
            for link in issue.links:
                self._take(issue, link)
        self._cut_cycles()
        self._cut_depth()

    def _take(self, issue: Issue, link: Link) -> None:
        if link.target not in self.issues and not self.known(link.target):
            self._remark(issue, f"{link.type} {link.target}: no such issue, kept as text")
            self._link(issue, TEXT_LINKS, f"{link.type} {link.target}")
        elif link.type == PARENT:
            self._take_parent(issue, link.target)
        elif link.type in LINK_FIELDS:
            self._link(issue, LINK_FIELDS[link.type], link.target)
        else:
            self._remark(issue, f"link type {link.type!r:.40} is not known, kept as text")
            self._link(issue, TEXT_LINKS, f"{link.type} {link.target}")

    def _take_parent(self, issue: Issue, parent: str) -> None:
        if issue.id in self.parents:
            self._remark(issue, f"second parent {parent} becomes a link")
            self._link(issue, OTHER_PARENTS, parent)
        else:
            self.parents[issue.id] = parent

    def _cut(self, source_id: str, why: str) -> None:
        issue, parent = self.issues[source_id], self.parents.pop(source_id)
        self._remark(issue, f"parent {parent} {why}, becomes a link")
        self._link(issue, OTHER_PARENTS, parent)

    def _cut_cycles(self) -> None:
        """Of each cycle the edge that stands last in the file. Cost: O(issues)."""
        place = {source_id: at for at, source_id in enumerate(self.issues)}
        seen: dict[str, str] = {}
        for start in self.issues:
            walk, here = [], start
            while here in self.parents and here not in seen:
                seen[here] = start
                walk.append(here)
                here = self.parents[here]
            if walk and seen.get(here) == start:
                cycle = walk[walk.index(here) :]
                self._cut(max(cycle, key=lambda source_id: place[source_id]), "closes a cycle")

    def _cut_depth(self) -> None:
        depth: dict[str, int] = {}
        for source_id in self.top_down():
            parent = self.parents.get(source_id)
            depth[source_id] = 0 if parent is None else depth.get(parent, 0) + 1
            if depth[source_id] > DEPTH_MAX:
                self._cut(source_id, f"is {DEPTH_MAX} levels deep")
                depth[source_id] = 0

    def _link(self, issue: Issue, name: str, target: str) -> None:
        self.links.setdefault(issue.id, {}).setdefault(name, {})[target] = None

    def _remark(self, issue: Issue, reason: str) -> None:
        self.remarks.append(Remark(issue.line, f"{issue.id}: {reason}"))

    def top_down(self) -> list[str]:
        """All issues, parents before their children, else in the order of the file."""
        depth: dict[str, int] = {}
        for start in self.issues:
            lineage = [start]
            while lineage[-1] not in depth and lineage[-1] in self.parents:
                lineage.append(self.parents[lineage[-1]])
            level = depth.get(lineage[-1], 0)
            for at, source_id in enumerate(reversed(lineage)):
                depth[source_id] = level + at
        return sorted(self.issues, key=lambda source_id: depth[source_id])
