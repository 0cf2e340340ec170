"""
A node's own snapshot of its fold: what start-up reads instead of folding the whole log again.

It is never a peer's. It is labelled with the fold's version and with the verdicts on which it
rests; where those differ from what the ledger says now, the Worknodes concerned are folded again.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from attrs import frozen

from capability.verdict import Verdict
from crdt.codec import Value, encode, unpack
from crdt.errors import CodecError, CrdtError
from crdt.tree import Move
from mesh.core.errors import DamagedRecord
from mesh.replica.fold import touched_by
from mesh.replica.held import Held
from mesh.worknode.record import is_moved, unpack_record
from mesh.worknode.store import Birth, Store

#: Raised when the meaning of a folded operation or of this layout changes.
FOLD_VERSION: Final = 3
_DEPTH_MAX: Final = 8
#: What comes of bytes that are taken for rows and are none.
DISORDER: Final = (
    CrdtError,
    DamagedRecord,
    AttributeError,
    LookupError,
    OverflowError,
    TypeError,
    ValueError,
)
#: Rows that are encoded and decoded together, so that neither needs a second copy of everything.
_PAGE_ROWS: Final = 512


def dump(held: Held, *, rules: int) -> bytes:
    """The whole fold as bytes. Cost: O(state), of which what rests is copied."""
    store = held.store
    held.hash.update(store)
    leaves = held.hash.leaves
    births = ((node, b.parent, b.key_class, b.key) for node, b in store.births.items())
    worknodes = ((node, leaves.get(node, b""), data) for node, data in store.worknodes.rows())
    waiting = tuple((node, tuple(ops)) for node, ops in sorted(held.fold.waiting.items()))
    verdicts = bytes(held.table.verdicts)
    parked = tuple(sorted(held.table.parked))
    labels = (FOLD_VERSION, rules, (verdicts, bytes(held.table.required)), parked)
    return encode((*labels, _pages(births), _pages(worknodes), waiting), depth_max=_DEPTH_MAX)


def _pages(rows: Iterator[tuple[Value, ...]]) -> tuple[bytes, ...]:
    pages = []
    while page := tuple(islice(rows, _PAGE_ROWS)):
        pages.append(encode(page, depth_max=2))
    return tuple(pages)


def _rows(pages: Any) -> Iterator[Any]:
    for page in pages:
        yield from unpack(page, size_max=len(page), depth_max=2)  # type: ignore[misc]


@frozen
class Basis:
    """What a snapshot rests on, by local number: verdicts, what was required, what was parked."""

    verdicts: bytes
    required: bytes
    parked: frozenset[int]


class Unreadable(Exception):
    """The bytes are in no order; what they were put into is good for nothing any more."""


def restore(held: Held, data: bytes, *, n: int, rules: int) -> Basis | None:
    """
    Put a snapshot that covers the log up to *n* into an empty store.

    Returns:
        What it rests on, for `settle` once the tail is folded. None, with nothing changed, if it is
        of another version; then everything is folded from the log.

    Raises:
        Unreadable: It says that it is of this version, and is not.
    """
    try:
        # A checksum has told already that the bytes are this node's own.
        value: Any = unpack(data, size_max=len(data), depth_max=_DEPTH_MAX)
        version, labelled, verdicts, parked, births, worknodes, waiting = value
    except (CodecError, TypeError, ValueError):
        return None
    if version != FOLD_VERSION or labelled != rules:
        return None
    try:
        verdicts, required = verdicts
        if not len(verdicts) == len(required) == n + 1:
            return None
        _restore_births(held.store, _rows(births))
        _restore_worknodes(held, _rows(worknodes))
        for node, ops in waiting:
            held.fold.waiting[node] = dict.fromkeys(ops)
        return Basis(bytes(verdicts), bytes(required), frozenset(parked))
    except DISORDER as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def _restore_births(store: Store, rows: Iterator[Any]) -> None:
    # One object for equal parents, and for a node here and in every other table.
    same = {store.root: store.root}
    for node, parent, key_class, key in rows:
        here = same.setdefault(node, node)
        store.births[here] = Birth(same.setdefault(parent, parent), key_class, key)
    store.tree.births((node, birth.parent) for node, birth in store.births.items())


def _restore_worknodes(held: Held, rows: Iterator[Any]) -> None:
    store, leaves = held.store, held.hash.leaves
    same = dict(zip(store.births, store.births, strict=True))
    moves: list[Move] = []
    total = 0
    for found, leaf, packed in rows:
        node = same.get(found, found)
        store.worknodes.put_packed(node, packed)
        if leaf:
            leaves[node] = leaf
            total += int.from_bytes(leaf, "big")
        if is_moved(packed):
            moves += unpack_record(packed).moves.values()
    held.hash.start(total)
    store.tree.apply(moves)


def settle(held: Held, basis: Basis) -> None:
    """
    Fold again what rested on verdicts or parking that are different now.

    The tail must be folded before, since a Worknode is folded again from the whole log.
    """
    nodes: set[bytes] = set()
    gained: list[int] = []
    lost: list[int] = []
    for n in range(1, len(basis.verdicts)):
        was = basis.verdicts[n] == Verdict.COUNTS and n not in basis.parked
        if was != held.table.counts(n):
            nodes.update(touched_by(held.data_of(held.read(n))))
        if basis.required[n] != held.table.required[n]:
            (gained if held.table.required[n] else lost).append(n)
    nodes |= held.forget(lost)
    if nodes:
        held.fold.fold_again(nodes)
    for n in gained:
        held.fold.learn_births(held.data_of(held.read(n)))
