"""Views: the documented keys, waiting rows on top, conflicts side by side, and stable lists."""

from __future__ import annotations

import json

import pytest

from capability.ids import CLASS_SHARED, TRASH, worknode_id
from capability.keys import SeedSigner
from capability.ops import NS_COMMENT, NS_PLAIN, NS_WORK
from mesh.core.inputs import LOCAL
from mesh.core.writes import (
    AddToSet,
    Append,
    Create,
    Increment,
    Move,
    RemoveFromSet,
    SetMulti,
    SetRegister,
)
from mesh.worknode import names
from mesh.worknode.names import path_of, safe_name, title_of
from mesh.worknode.text import id_text
from mesh.worknode.view import Views, walk, worknode_view
from tests.mesh.replica.world import Node, admit, new_mesh, node_of, seed

KEYS = {
    "id",
    "short",
    "kind",
    "title",
    "parent",
    "path",
    "archived",
    "status",
    "priority",
    "fields",
    "created",
    "updated",
    "children",
}


def a_node() -> Node:
    mesh = new_mesh("acme")
    return node_of(mesh, mesh.root)


def made(node: Node, title: str, *, under: bytes | None = None, kind: str = "task") -> bytes:
    parent = node.replica.store.root if under is None else under
    key = title.encode()[:64]
    child = worknode_id(parent, CLASS_SHARED, key)
    node.tick(1)
    node.write(Create(parent, kind, shared_key=key), SetRegister(child, NS_PLAIN, "title", title))
    return child


def test_the_root_is_the_mesh_itself() -> None:
    node = a_node()
    view = worknode_view(node.replica, node.replica.store.root)
    assert set(view) == KEYS
    assert (view["kind"], view["title"], view["path"]) == ("container", "acme", "/acme")
    assert (view["parent"], view["status"], view["children"]) == (None, None, 0)
    assert view["created"]["at"] == "2026-11-20T00:00:00.000Z"


def test_a_task_shows_the_documented_keys_as_json() -> None:
    node = a_node()
    project = made(node, "Engine/room", kind="project")
    task = made(node, "Fix it", under=project)
    node.write(
        SetRegister(task, NS_PLAIN, "priority", 1),
        SetRegister(task, NS_PLAIN, "due", (4, 0)),
        SetRegister(task, NS_PLAIN, "anything", (3, "12.5")),
        AddToSet(task, NS_PLAIN, "depends_on", (2, project)),
        AddToSet(task, NS_PLAIN, "labels", "b"),
        AddToSet(task, NS_PLAIN, "labels", "a"),
        Increment(task, NS_WORK, "retry_count", 2),
    )
    view = worknode_view(node.replica, task)
    assert set(view) == KEYS
    assert view["id"] == id_text(task) and len(view["id"]) == 26
    assert view["id"].startswith(view["short"]) and len(view["short"]) == 8
    assert view["parent"] == id_text(project)
    assert view["path"] == "/acme/Engine-room/Fix it"
    assert (view["status"], view["priority"], view["archived"]) == ("pending", 1, False)
    assert view["fields"] == {
        "anything": "12.5",
        "depends_on": [id_text(project)],
        "due": "1970-01-01T00:00:00.000Z",
        "labels": ["a", "b"],
        "priority": 1,
        "retry_count": 2,
        "title": "Fix it",
    }
    assert view["created"]["by"] == node.signer.public.hex()[:8]
    assert view["updated"]["at"].endswith("Z")
    json.dumps(view)


def test_by_gives_the_name_of_a_member() -> None:
    node = a_node()
    task = made(node, "x")
    view = worknode_view(node.replica, task, label=lambda author: "ana")
    assert view["created"]["by"] == f"ana ({node.signer.public.hex()[:8]})"


def test_waiting_rows_lie_over_the_sealed_state() -> None:
    node = a_node()
    task = made(node, "x")
    node.write(SetRegister(task, NS_WORK, "progress", 10))
    node.tick(5)
    node.write(
        SetRegister(task, NS_WORK, "progress", 40),
        Increment(task, NS_WORK, "retry_count", 3),
        Append(task, NS_COMMENT, "comments", (1, ("text", "hm"))),
        level=LOCAL,
    )
    view = worknode_view(node.replica, task)
    assert view["fields"]["progress"] == 40
    assert view["fields"]["retry_count"] == 3
    assert [c["text"] for c in view["fields"]["comments"]] == ["hm"]
    assert view["fields"]["comments"][0]["author"] == node.signer.public.hex()[:8]
    assert view["updated"]["at"] > view["created"]["at"]
    node.run(node.replica.seal_pending(node.now))
    sealed = worknode_view(node.replica, task)
    assert sealed["fields"] == view["fields"]


def test_concurrent_values_of_a_multi_value_field_all_show() -> None:
    mesh = new_mesh("acme")
    signers = [SeedSigner(seed(name)) for name in ("one", "other")]
    grants = [admit(mesh, signer.public) for signer in signers]
    first, second = (node_of(mesh, signer, grants) for signer in signers)
    task = made(first, "x")
    second.receive(first.log()[3:])
    first.write(SetMulti(task, NS_PLAIN, "name", "a"))
    second.write(SetMulti(task, NS_PLAIN, "name", "b"))
    first.receive(second.log()[-1:])
    assert worknode_view(first.replica, task)["fields"]["name"] == ["a", "b"]


def test_unset_registers_and_emptied_sets_do_not_show() -> None:
    node = a_node()
    task = made(node, "x")
    node.write(SetRegister(task, NS_PLAIN, "due", (4, 0)), AddToSet(task, NS_PLAIN, "labels", "a"))
    node.write(
        SetRegister(task, NS_PLAIN, "due", None), RemoveFromSet(task, NS_PLAIN, "labels", "a")
    )
    assert worknode_view(node.replica, task)["fields"] == {"title": "x"}


def test_two_cells_of_one_name_show_beside_each_other() -> None:
    node = a_node()
    task = made(node, "x")
    node.write(
        SetRegister(task, NS_PLAIN, "status", "mine"),
        SetRegister(task, NS_WORK, "status", "completed"),
    )
    view = worknode_view(node.replica, task)
    assert view["status"] == view["fields"]["status"] == "completed"
    assert view["fields"]["plain:register:status"] == "mine"


def test_fields_of_the_doors_stay_out() -> None:
    node = a_node()
    task = made(node, "x")
    node.write(SetRegister(task, NS_PLAIN, "_import", 1))
    assert set(worknode_view(node.replica, task)["fields"]) == {"title"}


def test_a_record_appended_twice_with_its_own_time_shows_once() -> None:
    node = a_node()
    task = made(node, "x")
    comment = (1, ("at", (4, 0)), ("author", "ana"), ("text", "hi"))
    node.write(*[Append(task, NS_COMMENT, "comments", comment)] * 2)
    assert worknode_view(node.replica, task)["fields"]["comments"] == [
        {"at": "1970-01-01T00:00:00.000Z", "author": "ana", "text": "hi"}
    ]


def titles(node: Node, under: bytes | None = None, *, depth_max: int | None = None) -> list[str]:
    """Of all that exists below *under*, as the walk comes to it."""
    top = node.replica.store.root if under is None else under
    found = walk(node.replica.store, top, depth_max=depth_max)
    return [title_of(node.replica, at) for _, at in found]


def test_a_walk_is_depth_first_in_the_order_of_creation() -> None:
    node = a_node()
    one = made(node, "1", kind="project")
    two = made(node, "2", kind="project")
    made(node, "1.1", under=one)
    made(node, "2.1", under=two)
    made(node, "1.2", under=one)
    assert titles(node) == ["1", "1.1", "1.2", "2", "2.1"]
    assert titles(node, one) == ["1.1", "1.2"]
    assert titles(node, depth_max=1) == ["1", "2"]
    assert titles(node, depth_max=0) == []
    assert [depth for depth, _ in walk(node.replica.store, node.replica.store.root)] == [
        1,
        2,
        2,
        1,
        2,
    ]


def test_positions_come_before_the_order_of_creation() -> None:
    node = a_node()
    first, second = made(node, "1"), made(node, "2")
    node.write(Move(first, node.replica.store.root, b"\x80"))
    node.write(Move(second, node.replica.store.root, b"\x40"))
    assert titles(node) == ["2", "1"]


def test_what_is_archived_stands_under_the_trash() -> None:
    node = a_node()
    project = made(node, "p", kind="project")
    task = made(node, "t", under=project)
    node.write(Move(project, TRASH))
    view = worknode_view(node.replica, task)
    assert (view["archived"], view["path"]) == (True, "/.trash/p/t")
    assert worknode_view(node.replica, project)["parent"] is None
    assert titles(node) == []
    assert titles(node, TRASH) == ["p", "t"]


def test_a_path_begins_anew_after_so_many_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a chain of 4,000 that a member signed made 100 views of its end take 3.5 s."""
    monkeypatch.setattr(names, "PATH_NAMES_MAX", 2)
    node = a_node()
    chain = [made(node, "1")]
    for number in range(2, 6):
        chain.append(made(node, str(number), under=chain[-1]))
    views = Views(node.replica)
    expected = ["/acme/1", "/acme/1/2", "/…/3", "/…/3/4", "/…/5"]
    for order in (chain, chain[::-1]):
        assert {at: views.view(at)["path"] for at in order} == dict(
            zip(chain, expected, strict=True)
        )
        views = Views(node.replica)
    assert [path_of(node.replica, at) for at in chain] == expected
    node.write(Move(chain[0], TRASH))
    shown = [worknode_view(node.replica, at) for at in chain]
    assert [view["path"] for view in shown] == ["/.trash/1", "/.trash/1/2", *expected[2:]]
    assert all(view["archived"] for view in shown)
    assert worknode_view(node.replica, TRASH)["archived"] is False


def test_a_worknode_nobody_knows_has_an_empty_view() -> None:
    node = a_node()
    view = worknode_view(node.replica, bytes(16))
    assert set(view) == KEYS
    assert (view["kind"], view["fields"], view["created"]["at"]) == ("", {}, None)


def test_titles_become_safe_names() -> None:
    assert safe_name("a/b\n  c\x00") == "a-b c"
    assert safe_name("..") == safe_name(" \t") == ""
    assert len(safe_name("x" * 1_000)) == 80
