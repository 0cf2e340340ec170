"""What an import of a tracker's export brings in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mesh.api.importers import records
from mesh.api.importers.hierarchy import DEPTH_MAX
from mesh.worknode.text import id_text
from mesh.worknode.view import walk, worknode_view
from tests.mesh.api.tracker import (
    a_node,
    bring_in,
    child,
    fields,
    issue,
    lines,
    link,
    numbers,
    place,
)

MEDIUM = Path(__file__).parents[4] / "shared" / "data" / "tracker" / "medium.jsonl"


def test_an_issue_comes_in_with_all_its_fields() -> None:
    node = a_node()
    plan = bring_in(
        node,
        lines(
            issue(
                "bd-1",
                title=" Fix\n it ",
                description="long",
                status="in_progress",
                priority=0,
                issue_type="bug",
                labels=["b", "a", "b", " "],
                assignee="ana",
                estimated_minutes=90,
                closed_at="2025-01-03T00:00:00+11:00",
                notes="n",
                content_hash="abc",
                comments=[{"author": "ben", "text": "hm", "created_at": "2025-01-02T00:00:00Z"}],
            )
        ),
    )
    assert numbers(plan) == (1, 0, 0)
    view = worknode_view(node.replica, plan.node("bd-1"))
    assert (view["kind"], view["title"], view["status"]) == ("task", "Fix it", "pending")
    assert view["path"] == "/acme/beads import/Fix it"
    assert view["fields"] == {
        "assignees": ["ana"],
        "closed_at": "2025-01-02T13:00:00.000Z",
        "comments": [{"at": "2025-01-02T00:00:00.000Z", "author": "ben", "text": "hm"}],
        "created_at": "2025-01-01T00:00:00.000Z",
        "description": "long",
        "estimate": 5400,
        "labels": ["a", "b"],
        "notes": "n",
        "priority": 0,
        "source_extra": {"content_hash": "abc"},
        "source_id": "bd-1",
        "source_status": "in_progress",
        "status": "pending",
        "title": "Fix it",
        "type": "bug",
        "updated_at": "2025-01-02T00:00:00.000Z",
    }
    root = worknode_view(node.replica, plan.report.root)
    assert (root["kind"], root["title"]) == ("folder", "beads import")


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("open", "pending"),
        ("in_progress", "pending"),
        ("closed", "completed"),
        ("tombstone", "cancelled"),
        ("frozen", "pending"),
    ],
)
def test_states_are_mapped_and_kept(said: str, status: str) -> None:
    node = a_node()
    plan = bring_in(node, lines(issue("a", status=said)))
    assert fields(node, plan, "a")["status"] == status
    assert fields(node, plan, "a")["source_status"] == said


def test_the_line_with_the_greatest_time_wins_whatever_its_zone() -> None:
    node = a_node()
    plan = bring_in(
        node,
        lines(
            issue("a", title="late", updated_at="2025-01-02T00:00:00.000000002-08:00"),
            issue("a", title="early", updated_at="2025-01-02T07:00:00Z"),
            issue("a", title="almost", updated_at="2025-01-02T08:00:00.000000001Z"),
        ),
    )
    assert fields(node, plan, "a")["title"] == "late"
    assert numbers(plan) == (1, 0, 0) and plan.report.superseded == 2


def test_children_hang_under_their_parents_even_if_these_come_later() -> None:
    node = a_node()
    plan = bring_in(node, lines(child("c", "b"), child("b", "a"), issue("a")))
    assert place(node, plan, "c") == "/acme/beads import/Title of a/Title of b/Title of c"


def test_the_first_parent_stands_and_the_others_become_links() -> None:
    node = a_node()
    both = issue("c", dependencies=[link("c", "b"), link("c", "a")])
    plan = bring_in(node, lines(issue("a"), issue("b"), both))
    assert place(node, plan, "c").endswith("/Title of b/Title of c")
    assert fields(node, plan, "c")["also_child_of"] == [id_text(plan.node("a"))]
    assert "second parent a" in plan.report.warnings[0].reason


def test_links_point_at_worknodes_and_dangling_ones_are_kept_as_text() -> None:
    node = a_node()
    linked = issue(
        "x",
        dependencies=[
            link("x", "a", "blocks"),
            link("x", "a", "discovered-from"),
            link("x", "a", "related"),
            link("x", "gone", "blocks"),
            link("x", "a", "smells-like"),
            link("x", "x", "blocks"),
        ],
    )
    plan = bring_in(node, lines(linked, issue("a")))
    target = [id_text(plan.node("a"))]
    found = fields(node, plan, "x")
    assert found["depends_on"] == found["discovered_from"] == found["related"] == target
    assert found["external_links"] == ["blocks gone", "smells-like a"]
    assert len(plan.report.warnings) == 3
    assert plan.report.skipped == []


def test_a_cycle_of_parents_is_cut_at_the_edge_that_closes_it() -> None:
    node = a_node()
    plan = bring_in(node, lines(child("a", "b"), child("b", "c"), child("c", "a")))
    assert place(node, plan, "a").endswith("/Title of c/Title of b/Title of a")
    assert fields(node, plan, "c")["also_child_of"] == [id_text(plan.node("a"))]
    assert "cycle" in plan.report.warnings[0].reason
    assert numbers(bring_in(node, lines(child("a", "b"), child("b", "c"), child("c", "a")))) == (
        0,
        0,
        3,
    )


def test_each_of_several_cycles_is_cut_once() -> None:
    node = a_node()
    rows = [child("a", "b"), child("b", "a"), child("t", "a"), child("x", "y"), child("y", "x")]
    plan = bring_in(node, lines(*rows))
    assert [remark.line for remark in plan.report.warnings] == [2, 5]
    assert place(node, plan, "t").endswith("/Title of b/Title of a/Title of t")
    assert place(node, plan, "x").endswith("import/Title of y/Title of x")


@pytest.mark.parametrize("step", [1, -1])
def test_a_chain_without_end_is_cut_into_pieces(step: int) -> None:
    node = a_node()
    rows = [child(f"{n}", f"{n + 1}") for n in range(300)][::step]
    plan = bring_in(node, lines(*rows))
    store = node.replica.store
    depths = [depth for depth, _ in walk(store, store.root)]
    assert len(depths) == 301 and max(depths) <= DEPTH_MAX + 2
    assert numbers(bring_in(node, lines(*rows))) == (0, 0, 300)
    assert any("levels deep" in remark.reason for remark in plan.report.warnings)


def test_long_ids_texts_and_many_comments_fit_the_bounds() -> None:
    node = a_node()
    comments = [{"text": f"{n}" * 100} for n in range(1_200)]
    long = issue("i" * 500, description="ü" * 60_000, notes="n" * 60_000, comments=comments)
    plan = bring_in(node, lines(long))
    found = fields(node, plan, "i" * 500)
    assert len(found["comments"]) == 1_200
    assert len(found["description"].encode()) == records.KEPT_BYTES_MAX
    assert "cut" in plan.report.warnings[0].reason
    assert numbers(bring_in(node, lines(long))) == (0, 0, 1)


def test_a_real_export_comes_in_whole() -> None:
    if not MEDIUM.exists():
        pytest.skip(f"{MEDIUM} is not here")
    node = a_node()
    data = MEDIUM.read_bytes()
    plan = bring_in(node, data)
    assert numbers(plan) == (898, 0, 0)
    assert plan.report.skipped == [] and plan.report.superseded == 12
    assert node.replica.counts()["worknodes"] == 899
    said = {}
    for row in map(json.loads, data.splitlines()):
        kept = said.get(row["id"])
        times = [records.parse_nanoseconds(r["updated_at"]) for r in (row, kept) if r]
        if kept is None or times[0] >= times[1]:
            said[row["id"]] = row
    store, parents = node.replica.store, 0
    for source_id, row in said.items():
        targets: dict[str, list[str]] = {}
        for dep in row.get("dependencies", ()):
            targets.setdefault(dep["type"], []).append(dep["depends_on_id"])
        up = targets.get("parent-child", [])
        parents += len(up)
        expected = plan.node(up[0]) if up else plan.report.root
        assert store.parent(plan.node(source_id)) == expected
        found = fields(node, plan, source_id)
        for kind, name in (("blocks", "depends_on"), ("discovered-from", "discovered_from")):
            ids = sorted(id_text(plan.node(t)) for t in targets.get(kind, ()))
            assert sorted(found.get(name, [])) == ids
        assert found["source_status"] == row["status"]
        assert found.get("priority") == row.get("priority", 0)
    assert parents == 142
    before = node.replica.state_hash()
    assert list(bring_in(node, data).batches()) == []
    assert node.replica.state_hash() == before
    assert len(list(walk(node.replica.store, node.replica.store.root))) == 899
