"""The frontier: rows, roots against naive code and the frozen vector, what moved since when."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from random import Random

import pytest

from capability.frontier import Frontier, FrontierRow, proof_digest, row_of
from tests.capability.story import Log, Mesh, deliver, key

VECTORS = Path(__file__).parent.parent / "vectors" / "frontier.json"
DOMAIN = b"worknode-mesh/v1/frontier\0"


def naive_int(value: int) -> bytes:
    if value < 1 << 7:
        return bytes([value])
    for first, size in ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)):
        if value < 1 << 8 * size:
            return bytes([first]) + value.to_bytes(size, "big")
    raise ValueError(value)


def naive_row(author: bytes, seq: int, head: bytes, proof: bytes) -> bytes:
    """A row by the msgpack specification alone: fixarray of 4, bin 8, uint, bin 8, bin 8."""
    binary = [b"\xc4" + bytes([len(part)]) + part for part in (author, head, proof)]
    return b"\x94" + binary[0] + naive_int(seq) + binary[1] + binary[2]


def naive_root(rows: list[tuple[bytes, int, bytes, bytes]]) -> bytes:
    """The root by the words of docs/formats-state.md."""
    hashes = []
    for first in range(256):
        bucket = sorted(row for row in rows if row[0][0] == first)
        joined = b"".join(naive_row(*row) for row in bucket)
        hashes.append(
            hashlib.blake2b(DOMAIN + joined, digest_size=32).digest() if bucket else bytes(32)
        )
    return hashlib.blake2b(DOMAIN + b"".join(hashes), digest_size=32).digest()


def random_row(random: Random) -> FrontierRow:
    author = bytes([random.randrange(4)]) + random.randbytes(1) + bytes(30)
    proof = random.choice([b"", b"", random.randbytes(32)])
    return FrontierRow(
        author, random.randrange(2), random.randrange(1 << 17), random.randbytes(32), proof
    )


@pytest.mark.parametrize("seed", range(10))
def test_roots_are_those_of_naive_code(seed: int) -> None:
    random = Random(seed)
    frontier = Frontier()
    rows: dict[tuple[bytes, int], FrontierRow] = {}
    for step in range(200):
        row = random_row(random)
        rows[row.author, row.lane] = row
        assert frontier.update(row)
        assert not frontier.update(row)
        if step % 23 == 0:
            for lane, root in enumerate((frontier.auth_root, frontier.data_root)):
                values = [row.value() for (_, number), row in rows.items() if number == lane]
                assert root == naive_root(values)
    assert len(frontier) == len(rows)
    for lane in (0, 1):
        found = [row.author for row in frontier.rows(lane)]
        assert found == sorted(author for author, number in rows if number == lane)


def test_vectors() -> None:
    for vector in json.loads(VECTORS.read_text(encoding="utf-8")):
        frontier = Frontier()
        rows = [
            (bytes.fromhex(author), seq, bytes.fromhex(head), bytes.fromhex(proof))
            for author, seq, head, proof in vector["rows"]
        ]
        for author, seq, head, proof in reversed(rows):
            frontier.update(FrontierRow(author, 0, seq, head, proof))
        assert frontier.auth_root.hex() == vector["root"], vector["name"]
        assert naive_root(rows).hex() == vector["root"], vector["name"]


def test_rows_since_gives_what_moved_last_first() -> None:
    frontier = Frontier()
    one, two = (FrontierRow(key(name), 1, 1, key("head"), b"") for name in ("one", "two"))
    frontier.update(one)
    frontier.update(two)
    since = frontier.version
    assert frontier.rows_since(0) == [two, one]
    assert frontier.rows_since(since) == []
    moved = FrontierRow(one.author, 1, 2, key("next"), b"")
    frontier.update(moved)
    assert frontier.rows_since(since) == [moved]
    assert frontier.rows_since(0) == [moved, two]
    gone = FrontierRow(two.author, 1, 0, key("mesh"), b"")
    assert frontier.update(gone)
    assert not frontier.update(gone)
    # Who knew the row must be told that there is none now.
    assert frontier.rows_since(since) == [gone, moved]
    assert list(frontier.rows(1)) == [moved]
    assert len(frontier) == 1
    assert frontier.data_root == naive_root([moved.value()])
    assert frontier.update(two)
    assert frontier.rows_since(since) == [two, moved]
    assert not frontier.update(FrontierRow(key("three"), 1, 0, key("mesh"), b""))


def test_only_dirty_buckets_change() -> None:
    frontier = Frontier()
    frontier.update(FrontierRow(b"\x07" + bytes(31), 0, 1, key("head"), b""))
    hashes = frontier.bucket_hashes(0)
    assert [index for index, value in enumerate(hashes) if any(value)] == [7]
    assert frontier.auth_root != frontier.data_root
    assert frontier.data_root == naive_root([])


def test_rows_of_a_ledger() -> None:
    mesh = Mesh()
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    start = ann.data()
    ledger = mesh.ledger()
    assert row_of(ledger, ann.author, 0) == FrontierRow(ann.author, 0, 0, mesh.id, b"")
    assert row_of(ledger, ann.author, 1) == FrontierRow(ann.author, 1, 1, start.id, b"")
    left, right = ann.twin().data("left"), ann.twin().data("right")
    deliver(ledger, [left, right])
    proof = proof_digest(tuple(sorted((left.id, right.id))))
    assert row_of(ledger, ann.author, 1) == FrontierRow(ann.author, 1, 1, start.id, proof)
    deliver(ledger, [mesh.root.pin(right)])
    assert row_of(ledger, ann.author, 1) == FrontierRow(ann.author, 1, 2, right.id, proof)


def test_a_fork_at_the_first_entry_leaves_the_mesh_id_as_head() -> None:
    mesh = Mesh()
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    ledger = mesh.ledger()
    left, right = ann.twin().data("left"), ann.twin().data("right")
    expected = FrontierRow(
        ann.author, 1, 0, mesh.id, proof_digest(tuple(sorted((left.id, right.id))))
    )
    ledger.add_proof(left.signed_header, right.signed_header)
    assert row_of(ledger, ann.author, 1) == expected
    deliver(ledger, [left, Log(mesh, ann.author, ann.leaf, {0: None, 1: left}).data()])
    assert row_of(ledger, ann.author, 1) == expected
