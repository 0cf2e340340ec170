"""The order of siblings that is kept is the one that sorting anew gives, whatever happened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.tree import Move
from mesh.worknode import siblings
from mesh.worknode.record import Creation
from mesh.worknode.siblings import Siblings
from mesh.worknode.store import Birth, Store

ROOT = b"r" * 16
PARENTS = (ROOT, b"p" * 16, b"q" * 16)
NODES = tuple(bytes((n,)) * 16 for n in range(24))

acts = st.one_of(
    st.tuples(st.just("born"), st.sampled_from(NODES), st.sampled_from(PARENTS)),
    st.tuples(st.just("created"), st.sampled_from(NODES), st.integers(0, 3)),
    st.tuples(st.just("moved"), st.sampled_from(NODES), st.sampled_from(PARENTS)),
    st.tuples(st.just("cleared"), st.sampled_from(NODES), st.just(0)),
    st.tuples(st.just("read"), st.just(ROOT), st.sampled_from(PARENTS)),
)


def told(store: Store, at: int, act: tuple[str, bytes, object]) -> None:
    what, node, how = act
    if what == "born" and node not in store.births:
        assert isinstance(how, bytes)
        store.birth(node, Birth(how, 0, b""))
    elif what == "created":
        assert isinstance(how, int)
        store.create(node, at << 16, Creation("task", 1, 0, bytes((how,)), at % 5))
    elif what == "moved":
        assert isinstance(how, bytes)
        store.move([(Move((at,), node, how, bytes((at % 4,))), at, at << 16)])
    elif what == "cleared":
        store.clear(node)
    elif what == "read":
        assert isinstance(how, bytes)
        store.siblings(how)


@given(st.lists(acts, max_size=60), st.integers(0, 3))
def test_the_kept_order_is_the_sorted_one(happened: list[tuple[str, bytes, object]], least: int):
    store = Store(ROOT, order=lambda n: (b"", n, b""), dot_id=lambda at: at.to_bytes(8, "big"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(siblings, "KEPT_MIN", least)
        patch.setattr(siblings, "PARENTS_MAX", 2)
        for parent in PARENTS[1:]:
            store.birth(parent, Birth(ROOT, 0, b""))
        for at, act in enumerate(happened, 1):
            told(store, at, act)
        for parent in PARENTS:
            assert store.siblings(parent) == sorted(store.tree.family(parent), key=store._place)


def test_a_newcomer_costs_no_look_at_the_others() -> None:
    kept = Siblings()
    looked: list[bytes] = []

    def place(node: bytes) -> bytes:
        looked.append(node)
        return node

    family = {n.to_bytes(2, "big") for n in range(1_000)}
    assert kept.of(ROOT, family, place) == sorted(family)
    assert len(looked) == 1_000
    family.add(b"new")
    kept.touch(ROOT, b"new")
    looked.clear()
    assert kept.of(ROOT, family, place) == sorted(family)
    assert len(looked) < 16
    family.discard(b"new")
    looked.clear()
    assert kept.of(ROOT, family, place) == sorted(family) and not looked
