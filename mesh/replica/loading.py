"""
Start-up: from the log on disk to the state in memory.

The ledger is built from the whole log first, so that every verdict is final before anything is
folded. The fold comes from this node's own snapshot and the tail after it, or from the log alone:
both give the same state, which a test shows.
"""

from __future__ import annotations

from capability.entry import Entry, decode_signed_header
from capability.errors import FormError
from capability.form import record
from capability.ids import root_worknode
from capability.ledger import Ledger
from capability.notary import ED25519, Notary
from crdt.codec import decode
from crdt.errors import CodecError
from crdt.hlc import Clock
from mesh.core.errors import StorageError
from mesh.core.ports import LogReader
from mesh.replica import snapshot
from mesh.replica.fold import facts_of
from mesh.replica.held import Held
from mesh.replica.table import EntryTable
from mesh.worknode.store import Store

_PROOF_BYTES_MAX = 2048


def load_held(
    reader: LogReader,
    *,
    mesh_id: bytes,
    author: bytes,
    wall_ms: int,
    rules: int,
    notary: Notary = ED25519,
) -> Held:
    """
    Everything that is held, judged and folded.

    Raises:
        StorageError: The log contradicts itself. Cost: O(log), O(tail) of it folding.
    """
    kept = reader.snapshot()
    if kept is None or not 0 < kept[0] <= reader.last_n():
        kept = None
    try:
        return _load(_empty(reader, mesh_id, author, notary), kept, wall_ms=wall_ms, rules=rules)
    except snapshot.Unreadable:
        # It may have been put in by half, so nothing that it was put into is used.
        return _load(_empty(reader, mesh_id, author, notary), None, wall_ms=wall_ms, rules=rules)


def _empty(reader: LogReader, mesh_id: bytes, author: bytes, notary: Notary) -> Held:
    table = EntryTable()
    store = Store(root_worknode(mesh_id), table.order, table.dot_id)
    return Held(Ledger(mesh_id), table, store, Clock(), reader, author, notary.data)


def _load(held: Held, kept: tuple[int, bytes] | None, *, wall_ms: int, rules: int) -> Held:
    table, folded = held.table, kept[0] if kept is not None else 0
    tail = _load_ledger(held, after=folded)
    _load_proofs(held)
    _judge_all(held, wall_ms)
    held.fold.is_quiet = True
    basis = None
    if kept is not None:
        basis = snapshot.restore(held, kept[1], n=folded, rules=rules)
    if basis is None:
        for n in range(1, table.last + 1):
            _fold_one(held, n)
    else:
        _fold_tail(held, basis, tail)
    held.fold.is_quiet = False
    return held


def _fold_tail(held: Held, basis: snapshot.Basis, tail: list[int]) -> None:
    """What came after the snapshot, and what rested on verdicts that are different now."""
    try:
        for n in tail:
            _fold_one(held, n)
        snapshot.settle(held, basis)
    except snapshot.DISORDER as error:
        # A record of the snapshot is unpacked only when something is folded into it. A mistake of
        # the fold itself shows again when everything is folded from the log.
        raise snapshot.Unreadable(f"{type(error).__name__}: {error}") from error


def _load_ledger(held: Held, *, after: int) -> list[int]:
    """Feed the log to the ledger and the table; the numbers after *after*."""
    tail = []
    for stored in held.reader.entries():
        entry = stored.entry
        try:
            held.ledger.add(entry)
        except AssertionError as error:
            raise StorageError(
                f"log entry {stored.n} does not continue its lane: {error}",
                hint="the log is damaged; run `mesh doctor`",
            ) from error
        n = held.table.append(entry.id, entry.header)
        if n != stored.n:
            raise StorageError(
                f"log number {stored.n} stands at place {n}",
                hint="the log is damaged; run `mesh doctor`",
            )
        if n > after:
            tail.append(n)
    return tail


def _load_proofs(held: Held) -> None:
    for data in held.reader.proofs():
        try:
            halves = record(decode(data, size_max=_PROOF_BYTES_MAX), 2, "fork proof")
            first, second = map(decode_signed_header, halves)
        except (CodecError, FormError) as error:
            raise StorageError(
                f"a fork proof cannot be read: {error}",
                hint="the log is damaged; run `mesh doctor`",
            ) from error
        held.ledger.add_proof(first, second, was_held=True)


def _judge_all(held: Held, wall_ms: int) -> None:
    """Set every verdict and find what is parked now."""
    table = held.table
    for n in range(1, table.last + 1):
        # Reading the log again would cost as much as the rest of the start.
        header = table.header(n)
        table.verdicts[n] = held.ledger.judge(header, table.ids[n])[0]
        table.required[n] = held.ledger.requires(header, table.ids[n])
        held.observe(n, header, wall_ms=wall_ms)


def _fold_one(held: Held, n: int) -> None:
    entry: Entry = held.read(n)
    data = held.data_of(entry)
    if held.table.required[n]:
        held.fold.learn_births(data)
    if data is not None and held.table.counts(n):
        held.fold.fold(facts_of(n, entry), data)
