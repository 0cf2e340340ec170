"""What people type to name a Worknode, and what they are told when it names none or several."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capability.ids import CLASS_SHARED, TRASH, worknode_id
from capability.ops import NS_PLAIN
from mesh.core.errors import NotFound, UsageError
from mesh.core.writes import Create, Move, SetRegister
from mesh.worknode.names import index_of, prefixed, short_id
from mesh.worknode.resolve import resolve
from mesh.worknode.store import Birth
from mesh.worknode.text import id_bytes, id_text
from tests.mesh.replica.world import Node, new_mesh, node_of


def a_node() -> Node:
    mesh = new_mesh("acme")
    return node_of(mesh, mesh.root)


def made(node: Node, title: str, *, under: bytes | None = None, key: str = "") -> bytes:
    parent = node.replica.store.root if under is None else under
    name = (key or title).encode()
    child = worknode_id(parent, CLASS_SHARED, name)
    node.write(
        Create(parent, "task", shared_key=name), SetRegister(child, NS_PLAIN, "title", title)
    )
    return child


@given(st.binary(min_size=16, max_size=16))
def test_an_id_is_26_characters_and_reads_back(node: bytes) -> None:
    text = id_text(node)
    assert text == base64.b32encode(node).decode().rstrip("=").lower()
    assert len(text) == 26
    assert id_bytes(text) == id_bytes(text.upper()) == node


@pytest.mark.parametrize("text", ["", "abc", "a" * 25 + "b", "!" * 26, "ä" * 26, "a" * 27])
def test_what_is_no_id_is_refused(text: str) -> None:
    assert id_bytes(text) is None


def test_ids_prefixes_and_paths_find_a_worknode() -> None:
    node = a_node()
    one = made(node, "engineering")
    two = made(node, "a/b c", under=one)
    replica = node.replica
    for text in ("/", ".", "/acme", "acme", id_text(replica.store.root)):
        assert resolve(replica, text) == replica.store.root
    for text in (id_text(two), id_text(two).upper(), id_text(two)[:8], id_text(two)[:12], " a "):
        if text != " a ":
            assert resolve(replica, text) == two
    for text in ("/acme/engineering", "/engineering", "engineering", "acme/engineering/"):
        assert resolve(replica, text) == one
    assert resolve(replica, "/acme/engineering/a-b c") == two


def test_what_is_not_there_is_not_found_and_says_what_to_do() -> None:
    node = a_node()
    made(node, "x")
    for text in ("zzzz", "/acme/nothing", "a" * 26, "/x/y", "x/y/z", "//", "abc"):
        with pytest.raises(NotFound) as caught:
            resolve(node.replica, text)
        assert caught.value.exit_code == 3 and "mesh list" in caught.value.hint
    with pytest.raises(UsageError):
        resolve(node.replica, "  ")


def test_an_ambiguous_name_names_the_candidates() -> None:
    node = a_node()
    one, two = made(node, "twin", key="1"), made(node, "twin", key="2")
    with pytest.raises(UsageError) as caught:
        resolve(node.replica, "/twin")
    for twin in (one, two):
        assert short_id(node.replica, twin) in caught.value.message


def test_a_birth_without_a_create_is_no_candidate() -> None:
    node = a_node()
    task = made(node, "x")
    ghost = task[:15] + bytes((task[15] ^ 1,))
    node.replica.store.birth(ghost, Birth(node.replica.store.root, 1, b"?"))
    assert resolve(node.replica, id_text(task)[:8]) == task
    assert len(short_id(node.replica, task)) > 8
    with pytest.raises(NotFound):
        resolve(node.replica, id_text(ghost))


def test_the_archived_are_found_by_id_and_in_the_trash() -> None:
    node = a_node()
    task = made(node, "x")
    node.write(Move(task, TRASH))
    assert resolve(node.replica, id_text(task)) == resolve(node.replica, "/.trash/x") == task
    with pytest.raises(NotFound):
        resolve(node.replica, "/acme/x")


def test_a_child_of_the_root_may_be_called_like_the_mesh() -> None:
    node = a_node()
    inner = made(node, "acme")
    leaf = made(node, "leaf", under=inner)
    assert resolve(node.replica, "/acme/acme/leaf") == resolve(node.replica, "/acme/leaf") == leaf


@given(st.lists(st.binary(min_size=16, max_size=16), min_size=1, unique=True), st.data())
@settings(max_examples=100, deadline=None)
def test_prefixes_agree_with_a_scan(ids: list[bytes], data: st.DataObject) -> None:
    node = a_node()
    store = node.replica.store
    index_of(store)
    for born in ids:
        store.birth(born, Birth(store.root, 1, b""))
    text = id_text(data.draw(st.sampled_from(ids)))[: data.draw(st.integers(1, 26))]
    known = [*ids, store.root]
    assert prefixed(store, text) == sorted(n for n in known if id_text(n).startswith(text))
    for born in ids:
        short = short_id(node.replica, born)
        assert [n for n in known if id_text(n).startswith(short)] == [born]
