"""
Rebuilding: from what could be read of a home to the records of a new one that cannot fork its log.

Entries go in as far as they continue their lanes. Own ones that do not, or that nobody else can
have while peers hold other ones in their place, are set aside; the new home recovers
(`mesh.replica.recovery`) before it writes again. Where the bytes come from and go to is the
caller's: `mesh doctor` has files, a simulation has memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from attrs import define, field, frozen

from capability.entry import KIND_GENESIS, LANE_DATA, Entry
from capability.errors import CapabilityError
from capability.lane import Place
from capability.ledger import Ledger
from capability.notary import data_of
from crdt.codec import decode
from crdt.errors import CodecError
from mesh.core.errors import StorageError
from mesh.core.records import PutEntry, PutMeta, PutPeer, PutPending, PutProof, Record
from mesh.replica.fold import touched_by
from mesh.replica.founding import META_MESH
from mesh.replica.recovery import (
    KEPT_BYTES_MAX,
    META_BLOCKED,
    META_KEPT,
    META_RECOVER,
    decode_kept,
    encode_kept,
)

_SENT_BYTES_MAX: Final = 64


@frozen
class Remains:
    """
    What could be read of a home.

    Attributes:
        mesh_id: Of the genesis.
        entries: In the order of the log; each is believed by its hash and its signature.
        meta: What stands under names.
        pending: LOCAL rows that wait to be sealed.
        peers: What is remembered of them.
        proofs: Of forks, each with its author and lane.
        unreadable: How much was there and could not be read.
        is_damaged: Whether anything may be missing; else the home is whole, and only behind.
    """

    mesh_id: bytes
    entries: Sequence[Entry]
    meta: Mapping[str, bytes]
    pending: Sequence[tuple[int, bytes]]
    peers: Sequence[tuple[bytes, bytes]]
    proofs: Sequence[tuple[bytes, int, bytes]]
    unreadable: int
    is_damaged: bool


@frozen
class Rebuilt:
    """The new home: its records, and what they came to."""

    records: tuple[Record, ...]
    entries: int
    #: Own entries that wait until the log is whole.
    kept: int
    unreadable: int
    #: Whether peers have to be met before this home writes again.
    waits: bool


@define
class PlacedLog:
    """What of the readable entries continues the log, in their order."""

    ledger: Ledger
    placed: list[Entry] = field(factory=list)
    left: list[Entry] = field(factory=list)

    def take(self, entries: Iterable[Entry]) -> None:
        left = list(entries)
        while left:
            again: list[Entry] = []
            for entry in left:
                if self.ledger.place(entry.header, entry.id) in (Place.NEXT, Place.BRANCH):
                    self.ledger.add(entry)
                    self.placed.append(entry)
                else:
                    again.append(entry)
            if len(again) == len(left):
                break
            left = again
        self.left += left


def rebuild(
    found: Remains, *, author: bytes, mode: bytes, is_signed: Callable[[Entry], bool]
) -> Rebuilt:
    """
    The records of a new home.

    Args:
        found: What the old one still says.
        author: The home's own key.
        mode: Whom to wait for, `WAIT_FOR_ALL` or `WAIT_FOR_ONE`.
        is_signed: Whether an entry is its author's: what an earlier repair set aside is not
            believed yet.

    Raises:
        StorageError: More would have to be set aside than `KEPT_BYTES_MAX`.
    """
    sent = sent_marks(found)
    unsent: list[Entry] = []
    if not found.is_damaged:
        # It does not continue what the peers hold, and nobody has it: it may be signed anew.
        own = [e for e in found.entries if e.header.author == author]
        unsent = [e for e in own if not has_left(e, sent)]
    log = _placed(found, unsent)
    if orphans := _orphans(log, author, sent):
        log, unsent = _placed(found, [*unsent, *orphans]), [*unsent, *orphans]
    unsent += [entry for entry in log.left if entry.header.author == author]
    before, unreadable = kept_before(found, {e.id for e in (*log.placed, *unsent)}, is_signed)
    unsent += before
    kept = encode_kept(unsent)
    if len(kept) > KEPT_BYTES_MAX:
        raise StorageError(
            f"{len(unsent)} own entries that nobody has are {len(kept)} bytes, "
            f"at most {KEPT_BYTES_MAX} can be set aside",
            hint="keep a copy of the home, and join anew in another one",
        )
    knows_others = len(log.ledger.members()) > 1 or found.peers or sent != (0, 0)
    is_alone = not knows_others and not unreadable
    waits = bool(not is_alone or unsent)
    metas = {**found.meta, META_MESH: found.mesh_id, META_BLOCKED: b"", META_KEPT: b""}
    if waits:
        metas |= {META_RECOVER: mode, META_KEPT: kept if unsent else b""}
    records = records_of(found, log.placed, author, metas)
    return Rebuilt(records, len(log.placed), len(unsent), unreadable, waits)


def _placed(found: Remains, unsent: Iterable[Entry]) -> PlacedLog:
    log, aside = PlacedLog(Ledger(found.mesh_id)), {entry.id for entry in unsent}
    log.take(entry for entry in found.entries if entry.id not in aside)
    return log


def _orphans(log: PlacedLog, author: bytes, sent: Sequence[int] | None) -> list[Entry]:
    """
    Own data that nobody has from the first on whose grant is lost: of a session, never sent either.

    It may be signed anew under another grant; in its place it would never count.
    """
    own = [e for e in log.placed if e.header.author == author and e.header.lane == LANE_DATA]
    lost = [
        entry.header.seq
        for entry in own
        if entry.header.leaf
        and log.ledger.grant(entry.header.leaf) is None
        and not has_left(entry, sent)
    ]
    return [entry for entry in own if lost and entry.header.seq >= min(lost)]


def records_of(
    found: Remains, placed: Sequence[Entry], author: bytes, metas: Mapping[str, bytes]
) -> tuple[Record, ...]:
    """All of a new home: the log, what stands under names, and what stands beside."""
    records: list[Record] = [
        PutEntry(n, entry, touched_by(data_of(entry)), own=entry.header.author == author)
        for n, entry in enumerate(placed, start=1)
    ]
    records += [PutMeta(key, value) for key, value in metas.items() if value]
    records += [PutPending(slot, data) for slot, data in found.pending]
    records += [PutPeer(node, data) for node, data in found.peers]
    records += [PutProof(*row) for row in found.proofs]
    return tuple(records)


def kept_before(
    found: Remains,
    held: set[bytes],
    is_signed: Callable[[Entry], bool],
    *,
    key: str = META_KEPT,
) -> tuple[list[Entry], int]:
    """What an earlier repair had set aside, if that was not over; and all that is unreadable."""
    try:
        entries = decode_kept(found.meta.get(key, encode_kept(())))
    except (CapabilityError, CodecError):
        return [], found.unreadable + 1
    good = [entry for entry in entries if entry.id not in held and is_signed(entry)]
    return good, found.unreadable


def sent_marks(found: Remains) -> tuple[int, int] | None:
    """How far the own lanes may have left this home, None if nobody can say."""
    data = found.meta.get("sent")
    if data is None:
        # The mark is on disk before the first entry leaves.
        return None if found.is_damaged else (0, 0)
    try:
        value = decode(data, size_max=_SENT_BYTES_MAX)
    except CodecError:
        return None
    if not isinstance(value, tuple) or len(value) != 2:
        return None
    authority, own = value
    return (authority, own) if isinstance(authority, int) and isinstance(own, int) else None


def has_left(entry: Entry, sent: Sequence[int] | None) -> bool:
    """Whether anybody else may hold an own entry."""
    # Where the mark cannot be read everything may have left. A genesis is what makes the mesh.
    if sent is None or entry.header.kind == KIND_GENESIS:
        return True
    return entry.header.seq <= sent[entry.header.lane]
