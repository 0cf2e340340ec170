"""
Succession: from what could be read of an old key's home to the records of one under a new key.

Entries of others stay, and so does what the old key has sent of its authority log, since chains may
pass through it. Its data is set aside for `mesh.replica.reissue`: which of it others hold, nobody
here can say.

What a clock that ran ahead has sent is held by others, parked, and would come to count one day,
beside what is said again. So the old key ends its log itself: it signs a second header in the place
of the first entry from the future. The two are a fork proof, after which nothing from there on
counts, for anybody, for ever. What stands before it stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from attrs import evolve, frozen

from capability.entry import (
    KIND_DATA,
    LANE_AUTHORITY,
    LANE_DATA,
    Entry,
    SignedHeader,
    decode_signed_header,
    make_entry,
)
from capability.errors import CapabilityError
from capability.form import record
from capability.keys import Signer
from capability.ledger import Ledger
from crdt.codec import decode, encode
from crdt.errors import CodecError
from crdt.hlc import pack
from mesh.core.errors import StorageError
from mesh.core.limits import SKEW_MS_MAX
from mesh.core.records import Record
from mesh.replica.pending import decode_row
from mesh.replica.rebuilding import (
    PlacedLog,
    Remains,
    has_left,
    kept_before,
    records_of,
    sent_marks,
)
from mesh.replica.recovery import (
    KEPT_BYTES_MAX,
    META_BLOCKED,
    META_KEPT,
    META_RECOVER,
    decode_kept,
    encode_kept,
)
from mesh.replica.reissue import META_REISSUE, META_REISSUED, META_STRANDED, ordered, progress

_PROOF_BYTES_MAX: Final = 2048


@frozen
class Estate:
    """What an old key leaves: the log without what is in doubt, and that, set aside."""

    found: Remains
    placed: tuple[Entry, ...]
    stranded: tuple[Entry, ...]
    unreadable: int

    @classmethod
    def of(
        cls, found: Remains, *, old: Signer, wall_ms: int, is_signed: Callable[[Entry], bool]
    ) -> Estate:
        """
        Sort what was read.

        Args:
            found: What the old home still says.
            old: Its key, which ends its own log if that ran ahead.
            wall_ms: The present: the clock must be right by now.
            is_signed: Whether an entry that was set aside earlier is its author's.
        """
        sent = sent_marks(found)
        own = [e for e in found.entries if e.header.author == old.public]
        data = [entry for entry in own if entry.header.lane == LANE_DATA]
        ahead = _first_ahead(data, wall_ms)
        first = 1 if ahead is None or _is_in_doubt(found, old.public) else ahead.header.seq
        proofs = list(found.proofs)
        if ahead is not None and has_left(ahead, sent):
            proofs.append((old.public, LANE_DATA, _ended(ahead, old, found.mesh_id)))

        def stays(entry: Entry) -> bool:
            if entry.header.author != old.public:
                return True
            if entry.header.lane == LANE_AUTHORITY:
                # What never left admits nobody.
                return has_left(entry, sent)
            return entry.header.seq < first

        log = PlacedLog(Ledger(found.mesh_id))
        log.take(entry for entry in found.entries if stays(entry))
        placed = {entry.id for entry in log.placed}
        stranded = [entry for entry in data if entry.id not in placed]
        unreadable = found.unreadable
        # Of an earlier repair or change of key that was not over.
        for key in (META_KEPT, META_STRANDED):
            known = placed | {entry.id for entry in stranded}
            before, seen = kept_before(found, known, is_signed, key=key)
            unreadable += seen - found.unreadable
            said = _said_again(found) if key == META_STRANDED else set()
            stranded += [e for e in before if e.header.lane == LANE_DATA and e.id not in said]
        rows = tuple(_stamped(found.pending, wall_ms))
        found = evolve(found, proofs=tuple(proofs), pending=rows)
        return cls(found, tuple(log.placed), tuple(stranded), unreadable)

    def records(self, author: bytes, metas: Mapping[str, bytes], mode: bytes) -> tuple[Record, ...]:
        """
        The records of the new home.

        Args:
            author: The new key.
            metas: What a new member's home says under names.
            mode: Whom to wait for before anything is said again.

        Raises:
            StorageError: More would have to be set aside than `KEPT_BYTES_MAX`.
        """
        kept = encode_kept(self.stranded)
        if len(kept) > KEPT_BYTES_MAX:
            raise StorageError(
                f"{len(self.stranded)} entries of the old key are {len(kept)} bytes, "
                f"at most {KEPT_BYTES_MAX} can be set aside",
                hint="keep a copy of the home, and join anew in another one",
            )
        names = dict(metas)
        if self.stranded:
            names |= {META_STRANDED: kept, META_REISSUE: mode}
        return records_of(self.found, self.placed, author, names)


def _said_again(found: Remains) -> set[bytes]:
    """What a re-issue that was not over had done; the old key says it in its own log."""
    try:
        entries = ordered(decode_kept(found.meta.get(META_STRANDED, encode_kept(()))))
        done, _, _ = progress(found.meta.get(META_REISSUED))
    except (CapabilityError, CodecError):
        return set()
    return {entry.id for entry in entries[:done]}


def _first_ahead(own: Iterable[Entry], wall_ms: int) -> Entry | None:
    """The first entry of the old key that others have parked, by this machine's clock."""
    ahead = [e for e in own if e.header.hlc > pack(wall_ms + SKEW_MS_MAX, 0)]
    return min(ahead, key=lambda entry: entry.header.seq, default=None)


def _is_in_doubt(found: Remains, old: bytes) -> bool:
    """Whether the old key's log may not be the one that others hold."""
    if found.meta.get(META_BLOCKED) or found.meta.get(META_RECOVER):
        return True
    log = PlacedLog(Ledger(found.mesh_id))
    log.take(found.entries)
    for halves in map(_halves, found.proofs):
        if halves is not None:
            log.ledger.add_proof(*halves)
    lanes = (log.ledger.lane(old, lane) for lane in (LANE_AUTHORITY, LANE_DATA))
    return any(lane is not None and lane.fork_seq is not None for lane in lanes)


def _halves(row: tuple[bytes, int, bytes]) -> tuple[SignedHeader, SignedHeader] | None:
    try:
        halves = record(decode(row[2], size_max=_PROOF_BYTES_MAX), 2, "fork proof")
        first, second = map(decode_signed_header, halves)
    except (CapabilityError, CodecError):
        return None
    return first, second


def _ended(ahead: Entry, old: Signer, mesh_id: bytes) -> bytes:
    """The proof by which the old key ends its log before *ahead*."""
    header = ahead.header
    other = make_entry(
        old,
        mesh_id=mesh_id,
        lane=LANE_DATA,
        seq=header.seq,
        prev=header.prev,
        hlc=header.hlc + 1,
        kind=KIND_DATA,
        leaf=header.leaf,
        body=b"",
    )
    halves = (ahead.signed_header, other.signed_header)
    return encode(tuple(half.value() for half in sorted(halves, key=lambda half: half.id)))


def _stamped(rows: Iterable[tuple[int, bytes]], wall_ms: int) -> Iterator[tuple[int, bytes]]:
    """LOCAL rows keep their stamps, unless these are in the future."""
    for slot, data in rows:
        row = decode_row(data)
        yield slot, evolve(row, hlc=min(row.hlc, pack(wall_ms, 0))).encode()
