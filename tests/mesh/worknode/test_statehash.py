"""The state hash against a vector that a second encoder has made, and its laws."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from capability.ids import CLASS_SHARED, worknode_id
from crdt.tree import Move
from mesh.worknode.cells import COUNTER, LOG, MULTI, REGISTER, SET, dot
from mesh.worknode.statehash import StateHash
from mesh.worknode.store import Birth, Creation, Store
from tests.vectors.naive import pack, to_json

VECTOR = Path(__file__).parents[2] / "vectors" / "state.json"
DOMAIN = b"worknode-mesh/v1/state\0"
ROOT = bytes(range(16))
IDS = [b"", *(bytes((n,)) * 32 for n in (7, 3, 9))]
A = worknode_id(ROOT, CLASS_SHARED, b"a")
B = worknode_id(ROOT, CLASS_SHARED, b"b")


def dot_id(at: int) -> bytes:
    return IDS[at >> 16] + (at & 0xFFFF).to_bytes(2, "big")


def small_store() -> Store:
    store = Store(ROOT, lambda n: (IDS[n], n, IDS[n]), dot_id)
    for node, key in ((A, b"a"), (B, b"b")):
        store.birth(node, Birth(ROOT, CLASS_SHARED, key))
        store.create(node, dot(1, len(key)), Creation("task", 1, 0, b"\x80", 100))
    store.put(A, (0, "title", REGISTER), 101, dot(1, 2), "first")
    store.put(A, (0, "title", REGISTER), 103, dot(2, 0), "second")
    store.add(A, (0, "owner", MULTI), 104, dot(2, 1), (2, B))
    store.add(A, (0, "labels", SET), 105, dot(3, 0), "x")
    store.add(A, (0, "labels", SET), 105, dot(2, 2), "y")
    store.add(A, (2, "comments", LOG), 106, dot(2, 3), (1, ("text", "hello")))
    store.increment(A, (1, "spent", COUNTER), 107, dot(2, 4), -5)
    store.move([(Move((108, IDS[2], 2, IDS[2], 5), B, A, b"\x40"), 108, dot(2, 5))])
    return store


def naive_worknodes() -> list[list[Any]]:
    def name(n: int, index: int) -> bytes:
        return IDS[n] + index.to_bytes(2, "big")

    create = [name(1, 1), "task", 1, 0, b"\x80", 100]
    labels = sorted([[name(3, 0), 105, "x"], [name(2, 2), 105, "y"]])
    cells = [
        [0, "labels", 5, labels],
        [0, "owner", 4, [[name(2, 1), 104, [2, B]]]],
        [0, "title", 3, [name(2, 0), 103, "second"]],
        [1, "spent", 7, [-5, 1]],
        [2, "comments", 8, [[name(2, 3), 106, [1, ["text", "hello"]]]]],
    ]
    return [[A, [create], None, cells], [B, [create], [A, b"\x40"], []]]


def naive_state(worknodes: list[list[Any]], rules: int) -> bytes:
    leaves = [hashlib.blake2b(DOMAIN + pack(w), digest_size=32).digest() for w in worknodes]
    total = sum(int.from_bytes(leaf, "big") for leaf in leaves) % (1 << 256)
    data = DOMAIN + pack(rules) + total.to_bytes(32, "big")
    return hashlib.blake2b(data, digest_size=32).digest()


def vector() -> list[dict[str, Any]]:
    empty = {"name": "empty", "rules": 1, "worknodes": [], "state": naive_state([], 1)}
    two = {"name": "two Worknodes", "rules": 1, "worknodes": naive_worknodes()}
    return [to_json(empty), to_json({**two, "state": naive_state(naive_worknodes(), 1)})]


def hash_of(store: Store, rules: int = 1) -> bytes:
    running = StateHash()
    running.update(store)
    return running.value(rules)


def test_the_frozen_vector_is_what_the_format_says() -> None:
    assert json.loads(VECTOR.read_text()) == vector()


def test_the_store_hashes_to_the_vector() -> None:
    _, two = json.loads(VECTOR.read_text())
    assert hash_of(small_store()).hex() == naive_state(naive_worknodes(), 1).hex()
    assert hash_of(small_store()).hex() in json.dumps(two["state"])


def test_an_empty_store_hashes_to_the_vector() -> None:
    empty = Store(ROOT, lambda n: (IDS[n], n, IDS[n]), dot_id)
    assert hash_of(empty) == naive_state([], 1)


def test_hashing_as_it_grows_equals_hashing_at_the_end() -> None:
    store, running = small_store(), StateHash()
    running.update(store)
    store.put(B, (0, "title", REGISTER), 200, dot(3, 1), "b")
    running.update(store)
    assert running.value(1) == hash_of_fresh(store)


def hash_of_fresh(store: Store) -> bytes:
    store.dirty.update(store.worknodes)
    return hash_of(store)


def test_another_rules_version_gives_another_hash() -> None:
    assert hash_of(small_store(), 1) != hash_of(small_store(), 2)
