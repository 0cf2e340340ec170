"""Imports of a tracker's export: what comes in, what is left out, and what a second run changes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capability.ids import TRASH
from capability.ops import NS_PLAIN, NS_WORK
from mesh.api.importers import records
from mesh.api.importers.beads import (
    BATCH_BYTES_MAX,
    BATCH_WRITES_MAX,
    ImportPlan,
    plan_import,
    read_lines,
)
from mesh.api.importers.sample import sample_tracker
from mesh.api.importers.shadow import SHADOW, Shadow
from mesh.core.writes import AddToSet, Move, RemoveFromSet, SetRegister
from mesh.worknode.kinds import KindRegistry
from mesh.worknode.text import id_text
from mesh.worknode.view import list_worknodes, worknode_view
from tests.mesh.replica.world import Mesh, Node, admit, new_mesh, node_of, seed

MEDIUM = Path(__file__).parents[4] / "shared" / "data" / "tracker" / "medium.jsonl"


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
        assert len(batch) <= BATCH_WRITES_MAX
        node.tick(1)
        node.write(*batch)
    return plan


def numbers(plan: ImportPlan) -> tuple[int, int, int]:
    return plan.report.created, plan.report.updated, plan.report.unchanged


def fields(node: Node, plan: ImportPlan, source_id: str) -> dict[str, Any]:
    return worknode_view(node.replica, plan.node(source_id))["fields"]


def place(node: Node, plan: ImportPlan, source_id: str) -> str:
    return worknode_view(node.replica, plan.node(source_id))["path"]


def reasons(remarks: Iterable[records.Remark]) -> dict[int, str]:
    return {remark.line: remark.reason for remark in remarks}


# -- what comes in ------------------------------------------------------------------------------


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


# -- what is left out ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"id":"a","title":"\\ud800"}', "not UTF-8"),
        (b"[1]", "not an object"),
        (b"null", "not an object"),
        (b"[" * 100_000, "not JSON"),
        (b'{"title":"x"}', "no id"),
        (b'{"id":""}', "no id"),
        (b'{"id":3}', "id is not a text"),
        (b'{"id":"a","title":3}', "title is not a text"),
        (b'{"id":"a","priority":"high"}', "priority is not a whole number"),
        (b'{"id":"a","priority":true}', "priority is not a whole number"),
        (b'{"id":"a","updated_at":"yesterday"}', "updated_at is not an instant"),
        (b'{"id":"a","updated_at":"2025-01-01T00:00:00"}', "updated_at is not an instant"),
        (b'{"id":"a","labels":"x"}', "labels is not a list"),
        (b'{"id":"a","labels":[1]}', "labels is not a list"),
        (b'{"id":"a","dependencies":[{}]}', "a dependency without"),
        (b'{"id":"a","dependencies":{}}', "dependencies is not a list"),
        (b'{"id":"a","comments":["x"]}', "comments is not a list"),
        (b'{"id":"' + b"a" * 2_000 + b'"}', "an id longer than"),
        (b'{"id":"' + b"a" * records.LINE_BYTES_MAX + b'"}', "longer than"),
    ],
)
def test_a_bad_line_is_reported_with_its_number_and_the_others_go_on(
    line: bytes, reason: str
) -> None:
    data = lines(issue("ok-1")) + b"\n" + line + b"\r\n" + lines(issue("ok-2"))
    issues, skipped = read_lines(data)
    assert [one.id for one in issues] == ["ok-1", "ok-2"]
    assert [remark.line for remark in skipped] == [3]
    assert reason in skipped[0].reason


def test_a_value_of_no_use_is_left_out_and_said() -> None:
    issues, skipped = read_lines(lines(issue("a", priority=9, title="", x=2**70)))
    assert not skipped
    assert issues[0].registers["title"] == "a"
    assert "priority" not in issues[0].registers
    assert len(issues[0].warnings) == 2


@given(st.lists(st.binary(max_size=30)), st.integers(1, 40))
@settings(max_examples=100, deadline=None)
def test_how_a_file_is_cut_into_pieces_does_not_matter(rows: list[bytes], size: int) -> None:
    data = b"\n".join([*rows, b'{"id":"a"}'])
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert read_lines(pieces) == read_lines(data)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
keys = st.sampled_from(
    ["id", "title", "status", "priority", "labels", "dependencies", "comments", "updated_at", "z"]
)


@given(st.dictionaries(keys, documents))
@settings(max_examples=100, deadline=None)
def test_no_line_stops_an_import(document: dict[str, Any]) -> None:
    issues, skipped = read_lines(json.dumps({"id": "a", **document}).encode())
    assert len(issues) + len(skipped) == 1
    node = a_node()
    plan = plan_import(
        node.replica, KindRegistry(), issues, under=node.replica.store.root, skipped=skipped
    )
    for batch in plan.batches():
        node.write(*batch)
    json.dumps(plan.report.to_json())


# -- again --------------------------------------------------------------------------------------


def test_a_second_import_writes_nothing() -> None:
    node = a_node()
    data = sample_tracker()
    first = bring_in(node, data)
    assert numbers(first) == (60, 0, 0)
    before = node.replica.state_hash()
    second = bring_in(node, data)
    assert list(second.batches()) == []
    assert numbers(second) == (0, 0, 60)
    assert node.replica.state_hash() == before


def test_an_import_cut_off_anywhere_is_finished_by_the_next() -> None:
    data = sample_tracker(issues=30)
    whole = a_node()
    plan = bring_in(whole, data)
    for batches in range(6):
        node = a_node()
        issues, _ = read_lines(data)
        cut = plan_import(node.replica, KindRegistry(), issues, under=node.replica.store.root)
        for done, batch in enumerate(cut.batches()):
            if done == batches:
                break
            for at in range(0, len(batch), 20):
                if done < batches - 1 or at < 40:
                    node.write(*batch[at : at + 20])
        bring_in(node, data)
        for one in issues:
            assert place(node, plan, one.id) == place(whole, plan, one.id)
            assert fields(node, plan, one.id) == fields(whole, plan, one.id)


def test_what_the_source_changes_comes_in_and_what_is_changed_here_stays() -> None:
    node = a_node()
    plan = bring_in(node, lines(issue("a", priority=1, labels=["x", "y"], notes="n"), issue("b")))
    task = plan.node("a")
    node.write(
        SetRegister(task, NS_PLAIN, "title", "Mine"),
        SetRegister(task, NS_WORK, "status", "completed"),
        AddToSet(task, NS_PLAIN, "labels", "mine"),
        RemoveFromSet(task, NS_PLAIN, "labels", "x"),
    )
    again = bring_in(node, lines(issue("a", priority=0, labels=["x", "z"]), issue("b")))
    assert numbers(again) == (0, 1, 1)
    found = fields(node, plan, "a")
    assert found["title"] == "Mine" and found["status"] == "completed"
    assert found["labels"] == ["mine", "z"]
    assert found["priority"] == 0 and "notes" not in found


def test_a_later_import_moves_instead_of_doubling() -> None:
    node = a_node()
    plan = bring_in(node, lines(issue("a"), issue("b"), child("c", "a")))
    count = node.replica.counts()["worknodes"]
    again = bring_in(node, lines(issue("a"), issue("b"), child("c", "b")))
    assert numbers(again) == (0, 1, 2)
    assert place(node, plan, "c").endswith("/Title of b/Title of c")
    assert node.replica.counts()["worknodes"] == count
    bring_in(node, lines(issue("a"), issue("b"), issue("c")))
    assert place(node, plan, "c") == "/acme/beads import/Title of c"


def test_parent_and_child_may_change_places() -> None:
    node = a_node()
    plan = bring_in(node, lines(issue("a"), child("b", "a"), child("c", "b")))
    bring_in(node, lines(child("a", "c"), issue("b"), child("c", "b")))
    assert place(node, plan, "a").endswith("/Title of b/Title of c/Title of a")
    bring_in(node, lines(child("b", "c"), child("a", "b"), issue("c")))
    assert place(node, plan, "a").endswith("import/Title of c/Title of b/Title of a")


def test_what_was_moved_or_archived_here_stays_where_it_is() -> None:
    node = a_node()
    plan = bring_in(node, lines(issue("a"), issue("b"), child("c", "a"), child("d", "a")))
    node.write(Move(plan.node("c"), node.replica.store.root), Move(plan.node("d"), TRASH))
    bring_in(node, lines(issue("a"), issue("b"), child("c", "a"), child("d", "b")))
    assert place(node, plan, "c") == "/acme/Title of c"
    assert place(node, plan, "d") == "/.trash/Title of d"


def test_a_parent_that_was_put_below_its_child_here_is_reported() -> None:
    node = a_node()
    plan = bring_in(node, lines(issue("a"), issue("b")))
    node.write(Move(plan.node("b"), plan.node("a")))
    again = bring_in(node, lines(child("a", "b"), issue("b")))
    assert "stands above" in again.report.warnings[0].reason
    assert place(node, plan, "b").endswith("/Title of a/Title of b")


def test_an_older_export_takes_nothing_back() -> None:
    node = a_node()
    new = issue("a", title="new", updated_at="2025-02-01T00:00:00Z")
    plan = bring_in(node, lines(new))
    again = bring_in(node, lines(child("a", "b", title="old"), issue("b")))
    assert numbers(again) == (1, 0, 1)
    assert fields(node, plan, "a")["title"] == "new"
    assert "older" in again.report.warnings[0].reason


def test_a_link_that_dangled_becomes_a_link_when_its_target_comes() -> None:
    node = a_node()
    plan = bring_in(node, lines(child("a", "b")))
    assert fields(node, plan, "a")["external_links"] == ["parent-child b"]
    bring_in(node, lines(child("a", "b"), issue("b")))
    assert "external_links" not in fields(node, plan, "a")
    assert place(node, plan, "a").endswith("/Title of b/Title of a")
    # Now the parent is known though the file no longer has it.
    assert numbers(bring_in(node, lines(child("a", "b")))) == (0, 0, 1)


def test_two_nodes_that_import_at_once_hold_everything_once() -> None:
    from capability.keys import SeedSigner

    mesh = new_mesh("acme")
    first, other = a_node(mesh), SeedSigner(seed("other"))
    grant = admit(mesh, other.public)
    first.receive([grant])
    second = node_of(mesh, other, [grant])
    data = sample_tracker(issues=20)
    plan = bring_in(first, data)
    bring_in(second, data)
    theirs, ours = second.log(), first.log()
    first.receive(theirs[2:])
    second.receive(ours[2:])
    assert first.replica.state_hash() == second.replica.state_hash()
    assert first.replica.counts()["worknodes"] == 21
    for one in read_lines(data)[0]:
        comments = fields(first, plan, one.id).get("comments", [])
        assert len(comments) == len(one.comments)
    assert numbers(bring_in(first, data)) == (0, 0, 20)


@pytest.mark.parametrize(
    "value", [None, 3, (1,), (0, 1), (1, ("at", 5), ("registers", 7), ("sets", (0, 1 << 60)))]
)
def test_a_damaged_shadow_only_costs_a_comparison(value: Any) -> None:
    node = a_node()
    plan = bring_in(node, lines(issue("a", labels=["x"])))
    node.write(SetRegister(plan.node("a"), NS_PLAIN, SHADOW, value))
    again = bring_in(node, lines(issue("a", labels=["x"])))
    assert numbers(again) == (0, 1, 0)
    assert numbers(bring_in(node, lines(issue("a", labels=["x"])))) == (0, 0, 1)


def test_a_shadow_reads_back() -> None:
    shadow = Shadow.of(5_000_000, {"a": 1, "b": None}, {"s": ["x", "y"], "none": []})
    assert Shadow.from_value(shadow.to_value()) == shadow


# -- samples ------------------------------------------------------------------------------------


def test_the_sample_is_the_same_for_the_same_seed() -> None:
    assert sample_tracker(seed=1) == sample_tracker(seed=1) != sample_tracker(seed=2)
    issues, skipped = read_lines(sample_tracker())
    assert not skipped and len({one.id for one in issues}) == 60 < len(issues)


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
        assert found.get("priority") == row.get("priority")
    assert parents == 142
    before = node.replica.state_hash()
    assert list(bring_in(node, data).batches()) == []
    assert node.replica.state_hash() == before
    assert len(list_worknodes(node.replica)) == 899
    assert BATCH_BYTES_MAX <= 64 * 1024
