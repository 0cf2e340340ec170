"""Lines of a tracker made by hand, and imports of them into one node."""

from __future__ import annotations

import json
from typing import Any

from crdt.codec import encode
from mesh.api.importers.beads import BATCH_WRITES_MAX, ImportPlan, plan_import, read_lines
from mesh.core.limits import GROUP_BYTES_MAX
from mesh.worknode.kinds import KindRegistry
from mesh.worknode.view import worknode_view
from tests.mesh.replica.world import Mesh, Node, new_mesh, node_of


def a_node(mesh: Mesh | None = None) -> Node:
    mesh = mesh or new_mesh("acme")
    return node_of(mesh, mesh.root)


def issue(source_id: str, **more: Any) -> dict[str, Any]:
    return {
        "id": source_id,
        "title": f"Title of {source_id}",
        "status": "open",
        "issue_type": "task",
        "created_at": "2025-01-01T00:00:00Z",
        "updated_at": "2025-01-02T00:00:00Z",
        **more,
    }


def link(source_id: str, target: str, kind: str = "parent-child") -> dict[str, str]:
    return {"issue_id": source_id, "depends_on_id": target, "type": kind}


def child(source_id: str, parent: str, **more: Any) -> dict[str, Any]:
    return issue(source_id, dependencies=[link(source_id, parent)], **more)


def lines(*found: dict[str, Any]) -> bytes:
    return b"\n".join(json.dumps(one).encode() for one in found) + b"\n"


def bring_in(node: Node, data: bytes) -> ImportPlan:
    issues, skipped = read_lines(data)
    replica = node.replica
    plan = plan_import(replica, KindRegistry(), issues, under=replica.store.root, skipped=skipped)
    for batch in plan.batches():
        size = sum(len(encode(getattr(write, "value", None))) for write in batch)
        assert len(batch) <= BATCH_WRITES_MAX
        assert len(batch) == 1 or size <= GROUP_BYTES_MAX
        node.tick(1)
        node.write(*batch)
    return plan


def numbers(plan: ImportPlan) -> tuple[int, int, int]:
    return plan.report.created, plan.report.updated, plan.report.unchanged


def fields(node: Node, plan: ImportPlan, source_id: str) -> dict[str, Any]:
    return worknode_view(node.replica, plan.node(source_id))["fields"]


def place(node: Node, plan: ImportPlan, source_id: str) -> str:
    return worknode_view(node.replica, plan.node(source_id))["path"]
