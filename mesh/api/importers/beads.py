"""
The plan of an import of a tracker's JSON lines: which writes bring the mesh up to the file.

Every issue is born under one import root with its source id as shared key, so that two imports,
also on two nodes at once, make one Worknode; its place in the hierarchy is a move. A field is
written when the source has changed it since the last import (`mesh.api.importers.shadow`). The plan
reads a replica and writes nothing: the caller submits one batch after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import define, field

from capability.ids import CLASS_SHARED, worknode_id
from capability.ops import NS_PLAIN
from capability.values import Value
from crdt.codec import encode
from mesh.api.importers.hierarchy import TEXT_LINKS, Hierarchy, newest
from mesh.api.importers.records import Issue, Remark, read_lines
from mesh.api.importers.shadow import SHADOW, SHADOW_PARENT, Shadow, mark
from mesh.core.writes import AddToSet, Append, Create, Move, RemoveFromSet, SetRegister, Write
from mesh.worknode.cells import SET
from mesh.worknode.compose import shared_key
from mesh.worknode.kinds import KindRegistry
from mesh.worknode.names import is_archived
from mesh.worknode.reading import Readable, log, members, register
from mesh.worknode.text import id_text, node_value

#: Writes, and encoded bytes, of one batch: one group of the log takes both.
BATCH_WRITES_MAX: Final = 500
BATCH_BYTES_MAX: Final = 48 * 1024
#: What a write costs besides its value. A guess on the safe side.
_WRITE_BYTES: Final = 96
#: After so many issues others get their turn, as in `mesh.api.worknodes`.
_TURN_ISSUES: Final = 50
#: Remarks that a report holds; the rest is counted.
REMARKS_MAX: Final = 1_000

IMPORT_KEY: Final = b"beads"
IMPORT_TITLE: Final = "beads import"
ROOT_KIND: Final = "folder"
ISSUE_KIND: Final = "task"

Batch = tuple[Write, ...]


@define
class Report:
    """What an import did. It is complete when the last batch was taken."""

    root: bytes
    skipped: list[Remark]
    warnings: list[Remark] = field(factory=list)
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    #: Lines that a later line of the same id replaces.
    superseded: int = 0

    def to_json(self) -> dict[str, Any]:
        """The keys that the command line documents, and more."""
        found: dict[str, Any] = {
            "created": self.created,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "superseded": self.superseded,
            "root": id_text(self.root),
        }
        for name, remarks in (("skipped", self.skipped), ("warnings", self.warnings)):
            found[name] = [remark.to_json() for remark in remarks[:REMARKS_MAX]]
            if len(remarks) > REMARKS_MAX:
                found[f"{name}_not_shown"] = len(remarks) - REMARKS_MAX
        return found


@define
class ImportPlan:
    """
    The batches of one import, in order, and its report.

    The caller applies each batch before it asks for the next: later ones look at what is there.
    """

    replica: Readable
    registry: KindRegistry
    under: bytes
    hierarchy: Hierarchy
    report: Report
    _spaces: dict[str, int] = field(init=False)
    _created: set[str] = field(factory=set, init=False)
    _changed: set[str] = field(factory=set, init=False)
    #: Issues of which this file says something older than what was imported before.
    _stale: set[str] = field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        kind = self.registry.get(ISSUE_KIND)
        self._spaces = {known.name: known.ns for known in kind.fields}

    def node(self, source_id: str) -> bytes:
        """The Worknode of an issue, whether or not it exists yet."""
        return worknode_id(self.report.root, CLASS_SHARED, shared_key(source_id))

    def batches(self) -> Iterator[Batch]:
        """All batches of `steps`."""
        return (batch for batch in self.steps() if batch)

    def steps(self) -> Iterator[Batch]:
        """
        All batches: first issues with their fields and links, then the moves.

        Moves come second, since a parent may stand after its children in the file, and from the
        top down, so that an issue may become a child of what was below it. An empty one comes
        after so many issues, for others to have their turn: most may be as they were.
        """
        batcher = Batcher()
        if not self.replica.store.exists(self.report.root):
            yield from batcher.put(self._home())
        for number, issue in enumerate(self.hierarchy.issues.values(), 1):
            yield from batcher.put(self._fields(issue))
            if number % _TURN_ISSUES == 0:
                yield ()
        yield from batcher.flush()
        for number, source_id in enumerate(self.hierarchy.top_down(), 1):
            if number % _TURN_ISSUES == 0:
                yield ()
            if self._is_above_target(source_id):
                # Maybe only until the moves so far are applied.
                yield from batcher.flush()
            yield from batcher.put(self._place(source_id))
        yield from batcher.flush()
        self._count()

    def _home(self) -> list[Write]:
        return [
            Create(self.under, ROOT_KIND, shared_key=IMPORT_KEY),
            SetRegister(self.report.root, NS_PLAIN, "title", IMPORT_TITLE),
        ]

    def _count(self) -> None:
        report, issues = self.report, len(self.hierarchy.issues)
        report.created, report.updated = len(self._created), len(self._changed)
        report.unchanged = issues - report.created - report.updated

    # -- fields ---------------------------------------------------------------------------------

    def _fields(self, issue: Issue) -> list[Write]:
        node = self.node(issue.id)
        writes: list[Write] = []
        is_new = not self.replica.store.exists(node)
        if is_new:
            version = self.registry.get(ISSUE_KIND).version
            key = shared_key(issue.id)
            writes.append(Create(self.report.root, ISSUE_KIND, shared_key=key, schema=version))
        last = Shadow.from_value(register(self.replica, node, NS_PLAIN, SHADOW))
        if last is not None and _is_older(issue, last):
            self._warn(issue, "older than what was imported before, left out")
            self._stale.add(issue.id)
            return []
        sets = self._sets(issue)
        shadow = Shadow.of(issue.updated_ns, issue.registers, sets)
        if last != shadow:
            writes += self._registers(node, issue.registers, shadow, last)
            for name in sorted(sets.keys() | (last.sets.keys() if last else set())):
                writes += self._members(node, name, sets.get(name, ()), last)
            writes.append(SetRegister(node, NS_PLAIN, SHADOW, shadow.to_value()))
        writes += self._comments(node, issue)
        if is_new:
            self._created.add(issue.id)
        elif writes:
            self._changed.add(issue.id)
        return writes

    def _sets(self, issue: Issue) -> dict[str, Sequence[Value]]:
        """Labels, assignees and links by field."""
        sets: dict[str, Sequence[Value]] = dict(issue.sets)
        for name, targets in self.hierarchy.links.get(issue.id, {}).items():
            is_text = name == TEXT_LINKS
            sets[name] = [t if is_text else node_value(self.node(t)) for t in targets]
        return sets

    def _registers(
        self, node: bytes, said: Mapping[str, Value], shadow: Shadow, last: Shadow | None
    ) -> list[Write]:
        before = last.registers if last is not None else {}
        writes: list[Write] = []
        for name in sorted(said.keys() | before.keys()):
            value, ns = said.get(name), self._spaces.get(name, NS_PLAIN)
            if before.get(name) == shadow.registers.get(name):
                continue
            if encode(register(self.replica, node, ns, name)) != encode(value):
                writes.append(SetRegister(node, ns, name, value))
        return writes

    def _members(
        self, node: bytes, name: str, said: Sequence[Value], last: Shadow | None
    ) -> list[Write]:
        ns = self._spaces.get(name, NS_PLAIN)
        before = last.sets.get(name, frozenset()) if last is not None else frozenset()
        held = {mark(value): value for value in members(self.replica, node, ns, name, SET)}
        wanted = {mark(value): value for value in said}
        writes: list[Write] = [
            AddToSet(node, ns, name, value)
            for digest, value in wanted.items()
            if digest not in before and digest not in held
        ]
        writes += [
            RemoveFromSet(node, ns, name, value)
            for digest, value in held.items()
            if digest in before and digest not in wanted
        ]
        return writes

    def _comments(self, node: bytes, issue: Issue) -> list[Write]:
        if not issue.comments:
            return []
        ns = self._spaces["comments"]
        held = {encode(value) for _, _, value in log(self.replica, node, ns, "comments")}
        fresh = {encode(c): c for c in issue.comments if encode(c) not in held}
        return [Append(node, ns, "comments", comment) for comment in fresh.values()]

    # -- places ---------------------------------------------------------------------------------

    def _target(self, source_id: str) -> bytes:
        parent = self.hierarchy.parents.get(source_id)
        return self.report.root if parent is None else self.node(parent)

    def _is_above_target(self, source_id: str) -> bool:
        tree = self.replica.store.tree
        return tree.is_ancestor(self.node(source_id), self._target(source_id))

    def _place(self, source_id: str) -> list[Write]:
        """The move of one issue; none if the source has not moved it since the last import."""
        store = self.replica.store
        node, parent = self.node(source_id), self.hierarchy.parents.get(source_id, "")
        last = register(self.replica, node, NS_PLAIN, SHADOW_PARENT) or ""
        if last == parent or source_id in self._stale:
            return []
        if is_archived(store, node):
            self._warn(self.hierarchy.issues[source_id], "archived here, not moved")
            return []
        if self._is_above_target(source_id):
            self._warn(
                self.hierarchy.issues[source_id],
                f"stands above its new parent {parent} here, not moved",
            )
            return []
        if source_id not in self._created:
            self._changed.add(source_id)
        noted = SetRegister(node, NS_PLAIN, SHADOW_PARENT, parent or None)
        target = self._target(source_id)
        return [noted] if store.parent(node) == target else [Move(node, target), noted]

    def _warn(self, issue: Issue, reason: str) -> None:
        self.report.warnings.append(Remark(issue.line, f"{issue.id}: {reason}"))


@define
class Batcher:
    """Collects writes into batches within their bounds; the writes of one `put` stay together."""

    _writes: list[Write] = field(factory=list, init=False)
    _bytes: int = field(default=0, init=False)

    def put(self, writes: Sequence[Write]) -> Iterator[Batch]:
        """Take writes; what is full comes out first. Only what fits no batch is taken apart."""
        sizes = [_size(write) for write in writes]
        if not self._fits(len(writes), sum(sizes)):
            yield from self.flush()
        for write, size in zip(writes, sizes, strict=True):
            if not self._fits(1, size):
                yield from self.flush()
            self._writes.append(write)
            self._bytes += size

    def _fits(self, count: int, size: int) -> bool:
        return (
            len(self._writes) + count <= BATCH_WRITES_MAX and self._bytes + size <= BATCH_BYTES_MAX
        )

    def flush(self) -> Iterator[Batch]:
        """What was collected, if anything."""
        if self._writes:
            batch, self._writes, self._bytes = tuple(self._writes), [], 0
            yield batch


def _size(write: Write) -> int:
    return _WRITE_BYTES + len(encode(getattr(write, "value", None)))


def _is_older(issue: Issue, last: Shadow) -> bool:
    if issue.updated_ns is None or last.updated_ms is None:
        return False
    return issue.updated_ns // 1_000_000 < last.updated_ms


def plan_import(
    replica: Readable,
    registry: KindRegistry,
    records: Iterable[Issue],
    *,
    under: bytes,
    skipped: Sequence[Remark] = (),
) -> ImportPlan:
    """
    Plan the import of *records* below the Worknode *under*.

    Args:
        replica: What the mesh holds; read while the batches are made.
        registry: The kinds of this mesh.
        records: Issues of `read_lines`, in the order of the file.
        under: Where the import root is born. Another place is another import.
        skipped: What `read_lines` left out, for the report.
    """
    issues, superseded = newest(records)
    root = worknode_id(under, CLASS_SHARED, IMPORT_KEY)

    def known(source_id: str) -> bool:
        return replica.store.exists(worknode_id(root, CLASS_SHARED, shared_key(source_id)))

    hierarchy = Hierarchy(issues, known)
    report = Report(root, list(skipped), superseded=superseded)
    for issue in issues.values():
        report.warnings += [Remark(issue.line, f"{issue.id}: {text}") for text in issue.warnings]
    report.warnings = sorted(report.warnings + hierarchy.remarks, key=lambda remark: remark.line)
    return ImportPlan(replica, registry, under, hierarchy, report)


__all__ = [
    "BATCH_BYTES_MAX",
    "BATCH_WRITES_MAX",
    "Batch",
    "ImportPlan",
    "Issue",
    "Remark",
    "Report",
    "plan_import",
    "read_lines",
]
