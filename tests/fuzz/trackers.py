"""The import of a tracker's lines: whatever a file holds is imported, or is a remark."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mesh.api.importers.beads import BATCH_WRITES_MAX, plan_import, read_lines
from mesh.worknode.kinds import KindRegistry
from tests.fuzz.target import KIB, Broken, Target
from tests.mesh.api.tracker import a_node, child, issue, lines, link

_REGISTRY: Final = KindRegistry()


def _beads(data: bytes) -> None:
    """Twice: the second time nothing may be left to write."""
    node = a_node()
    for turn in range(2):
        issues, skipped = read_lines(data)
        root = node.replica.store.root
        plan = plan_import(node.replica, _REGISTRY, issues, under=root, skipped=skipped)
        for batch in plan.batches():
            if turn:
                raise Broken(f"the second import writes {batch!r:.200}")
            if len(batch) > BATCH_WRITES_MAX:
                raise Broken(f"a batch of {len(batch)} writes")
            node.tick(1)
            node.write(*batch)
        plan.report.to_json()


def _seeds() -> Iterator[bytes]:
    yield lines(issue("bd-1"), child("bd-2", "bd-1"), child("bd-1", "bd-2"))
    yield lines(
        issue("bd-1", labels=["a", "b"], assignee="ana", estimated_minutes=90, priority=0),
        issue("bd-1", title="", description="d", notes=None, closed_at="2025-01-03T00:00:00+11:00"),
        issue("bd-3", dependencies=[link("bd-3", "bd-1", "blocks"), link("bd-3", "gone")]),
        issue("bd-4", comments=[{"author": "ben", "text": "hm", "created_at": "2025-01-02"}]),
    )
    yield b'{"id": "x", "title": "\\ud800", "priority": 1e999, "n": 12345678901234567890}\n{}\n[1'
    yield b"\xef\xbb\xbf\n\r\n" + lines(issue("bd-9", updated_at=5, extra={"a": [1.5, None]}))


TARGETS: Final = (
    Target("beads", _beads, _seeds, size_max=4 * KIB, memory=(8 << 20, 2_000), is_packed=False),
)
