"""The movable tree against the oracle that knows all births first, sorts all moves and replays."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.errors import BirthConflictError
from crdt.tree import MovableTree, Move, MoveKey
from tests.crdt.strategies import BOUNDED, LONG

ROOT = b"r"
NODES = [ROOT, *(bytes([97 + i]) for i in range(7))]
Place = tuple[bytes | None, bytes | None, MoveKey | None]


def replay(births: dict[bytes, bytes], log: dict[MoveKey, Move]) -> dict[bytes, Place]:
    """The definition: births first, then every move by key unless it would close a cycle."""
    places: dict[bytes, Place] = {child: (births.get(child), None, None) for child in NODES}
    for key in sorted(log):
        move = log[key]
        above: bytes | None = move.parent
        while above is not None and above != move.child:
            above = places[above][0]
        if above is None:
            places[move.child] = (move.parent, move.meta, key)
    return places


def look(tree: MovableTree) -> dict[bytes, Place]:
    return {
        node: (tree.parent(node), tree.position(node), tree.effective_move_key(node))
        for node in NODES
    }


def check(tree: MovableTree, births: dict[bytes, bytes], log: dict[MoveKey, Move]) -> None:
    places = replay(births, log)
    assert look(tree) == places
    assert [move.key for move in tree.moves()] == sorted(log)
    for node in NODES:
        under = tuple(sorted(child for child in NODES if places[child][0] == node))
        assert tree.children(node) == under
        assert set(tree.family(node)) == set(under)
        above = places[node][0]
        ancestors = set()
        while above is not None:
            assert above not in ancestors
            ancestors.add(above)
            above = places[above][0]
        assert {other for other in NODES if tree.is_ancestor(other, node)} == ancestors


def lineage(births: dict[bytes, bytes], node: bytes) -> list[bytes]:
    found = [node]
    while found[-1] in births:
        found.append(births[found[-1]])
    return found


@st.composite
def birth_maps(draw: st.DrawFn) -> dict[bytes, bytes]:
    # Every node but the root is born under one before it: acyclic, as hashes make it.
    order = draw(st.permutations(NODES[1:]))
    known = [ROOT]
    births = {}
    for child in order:
        births[child] = draw(st.sampled_from(known))
        known.append(child)
    return births


@st.composite
def move_lists(draw: st.DrawFn) -> list[Move]:
    size = draw(st.integers(0, 14))
    keys = draw(st.permutations([(stamp, author) for stamp in range(7) for author in b"xy"]))
    return [
        Move(
            key,
            draw(st.sampled_from(NODES)),
            draw(st.sampled_from(NODES)),
            draw(st.sampled_from([b"", b"m"])),
        )
        for key in keys[:size]
    ]


@LONG
@given(birth_maps(), move_lists(), st.data())
def test_every_interleaving_equals_sort_and_replay(
    births: dict[bytes, bytes], moves: list[Move], data: st.DataObject
) -> None:
    tree = MovableTree()
    known: dict[bytes, bytes] = {}
    log: dict[MoveKey, Move] = {}
    steps: list[tuple[str, object]] = [("birth", child) for child in births]
    steps += [("move", move) for move in moves]
    steps += [("retract", move.key) for move in moves if data.draw(st.booleans())]
    steps += [("forget", child) for child in births if data.draw(st.booleans())]
    steps += data.draw(st.lists(st.sampled_from(steps), max_size=4)) if steps else []
    steps = data.draw(st.permutations(steps))
    while steps:
        size = data.draw(st.integers(1, 5))
        batch, steps = steps[:size], steps[size:]
        kind = batch[0][0]
        items = [item for what, item in batch if what == kind]
        steps = [step for step in batch if step[0] != kind] + steps
        before = look(tree)
        if kind == "birth":
            edges = [(child, births[child]) for child in items if isinstance(child, bytes)]
            known.update(edges)
            changed = tree.births(edges) if len(edges) > 1 else tree.birth(*edges[0])
        elif kind == "forget":
            gone = [child for child in items if isinstance(child, bytes)]
            for child in gone:
                known.pop(child, None)
            changed = tree.forget(iter(gone))
        elif kind == "move":
            added = [item for item in items if isinstance(item, Move)]
            for move in added:
                log.setdefault(move.key, move)
            changed = tree.apply(iter(added))
        else:
            keys = [item for item in items if isinstance(item, tuple)]
            for key in keys:
                log.pop(key, None)
            changed = tree.retract(iter(keys))
        check(tree, known, log)
        top = data.draw(st.sampled_from(NODES))
        assert tree.born_below([top]) == {node for node in NODES if top in lineage(known, node)}
        after = look(tree)
        assert changed == tuple(
            sorted(node for node in NODES if before[node][:2] != after[node][:2])
        )


@BOUNDED
@given(birth_maps(), move_lists(), st.integers(0, 2**32))
def test_replicas_that_hold_the_same_agree(
    births: dict[bytes, bytes], moves: list[Move], seed: int
) -> None:
    at_once = MovableTree()
    at_once.births(births.items())
    at_once.apply(moves)
    one_by_one = MovableTree()
    steps: list[tuple[bytes, bytes] | Move] = [*births.items(), *moves]
    random.Random(seed).shuffle(steps)
    for step in steps:
        if isinstance(step, Move):
            one_by_one.apply([step])
        else:
            one_by_one.birth(*step)
    assert look(at_once) == look(one_by_one)
    assert list(at_once.moves()) == list(one_by_one.moves())


def small_tree() -> MovableTree:
    tree = MovableTree()
    tree.births([(b"a", ROOT), (b"b", ROOT), (b"c", b"b")])
    return tree


def test_of_two_moves_that_would_close_a_cycle_the_later_is_skipped() -> None:
    tree = small_tree()
    assert tree.apply([Move((2,), b"b", b"a", b"")]) == (b"b",)
    assert tree.apply([Move((1,), b"a", b"b", b"")]) == (b"a", b"b")
    assert (tree.parent(b"a"), tree.parent(b"b")) == (b"b", ROOT)
    assert tree.retract([(1,), (9,)]) == (b"a", b"b")
    assert (tree.parent(b"a"), tree.parent(b"b")) == (ROOT, b"a")


def test_a_late_birth_undoes_a_move_under_a_descendant() -> None:
    tree = MovableTree()
    tree.birth(b"b", ROOT)
    assert tree.apply([Move((1,), b"b", b"d", b"m")]) == (b"b",)
    # d turns out to be born below b, so b could never go there.
    assert tree.birth(b"d", b"c") == (b"d",)
    assert tree.birth(b"c", b"b") == (b"b", b"c")
    assert tree.parent(b"b") == ROOT
    assert tree.position(b"b") is None
    assert [move.key for move in tree.moves()] == [(1,)]


def test_births_are_idempotent_and_refuse_what_no_hash_allows() -> None:
    tree = small_tree()
    assert tree.birth(b"c", b"b") == ()
    for child, parent in [(b"c", b"a"), (ROOT, ROOT), (ROOT, b"c")]:
        before = look(tree)
        with pytest.raises(BirthConflictError):
            tree.births([(b"d", b"a"), (child, parent)])
        assert look(tree) == before
    with pytest.raises(BirthConflictError):
        tree.births([(b"e", b"f"), (b"f", b"e")])
    assert tree.parent(b"e") is None
    assert tree.children(b"f") == ()


def test_a_move_that_says_what_is_so_changes_nothing() -> None:
    tree = small_tree()
    assert tree.apply([Move((1,), b"c", b"a", b"m")]) == (b"c",)
    assert tree.apply([Move((2,), b"c", b"a", b"m")]) == ()
    assert tree.effective_move_key(b"c") == (2,)
    assert tree.apply([Move((3,), b"c", b"a", b"n")]) == (b"c",)
    assert tree.apply([]) == tree.retract([]) == tree.births([]) == ()


def test_a_move_that_leaves_its_node_where_it_was_hides_no_other_one() -> None:
    tree = MovableTree()
    tree.births([(b"a", ROOT), (b"b", ROOT), (b"c", ROOT)])
    tree.apply([Move((1, 0), b"a", b"c", b"at")])
    again, away = Move((2, 0), b"a", b"c", b"at"), Move((3, 0), b"b", b"c", b"at")
    assert tree.apply([again, away]) == (b"b",)
    assert tree.children(b"c") == (b"a", b"b")
    assert tree.children(ROOT) == (b"c",)
