"""What a second import changes, and what it leaves as people have made it."""

from __future__ import annotations

from typing import Any

import pytest

from capability.ids import TRASH
from capability.keys import SeedSigner
from capability.ops import NS_PLAIN, NS_WORK
from mesh.api.importers.beads import plan_import, read_lines
from mesh.api.importers.sample import sample_tracker
from mesh.api.importers.shadow import SHADOW, Shadow
from mesh.core.writes import AddToSet, Move, RemoveFromSet, SetRegister
from mesh.worknode.kinds import KindRegistry
from tests.mesh.api.tracker import (
    a_node,
    bring_in,
    child,
    fields,
    issue,
    lines,
    numbers,
    place,
)
from tests.mesh.replica.world import admit, new_mesh, node_of, seed


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
    mesh = new_mesh("acme")
    signers = [SeedSigner(seed(name)) for name in ("one", "other")]
    grants = [admit(mesh, signer.public) for signer in signers]
    first, second = (node_of(mesh, signer, grants) for signer in signers)
    data = sample_tracker(issues=20)
    plan = bring_in(first, data)
    bring_in(second, data)
    theirs, ours = second.log(), first.log()
    first.receive(theirs[3:])
    second.receive(ours[3:])
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
