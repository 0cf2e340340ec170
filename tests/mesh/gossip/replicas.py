"""Replicas that are nothing but dicts of lanes, and chains of entries that nobody verifies."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from attrs import define, field

from capability.entry import KIND_DATA, KIND_GRANT, Entry, SignedHeader, make_entry
from capability.frontier import FrontierRow, proof_digest
from mesh.gossip.reconcile import ForkFound

MESH = b"M" * 32
Proof = tuple[SignedHeader, SignedHeader]


def name(label: str | int) -> bytes:
    return str(label).encode().rjust(32, b"\0")


class FakeSigner:
    """Signs nothing: reconciliation never verifies, its engine does."""

    def __init__(self, public: bytes) -> None:
        self.public = public

    def sign(self, data: bytes) -> bytes:
        return hashlib.blake2b(data).digest()


def chain(
    author: bytes,
    length: int,
    *,
    lane: int = 1,
    size: int = 10,
    after: Sequence[Entry] = (),
    mark: bytes = b"x",
) -> list[Entry]:
    """*length* entries that follow *after*; another *mark* gives another branch."""
    made = list(after)
    for seq in range(len(made) + 1, len(made) + length + 1):
        made.append(
            make_entry(
                FakeSigner(author),
                mesh_id=MESH,
                lane=lane,
                seq=seq,
                prev=made[-1].id if made else MESH,
                hlc=seq,
                kind=KIND_DATA if lane else KIND_GRANT,
                leaf=b"",
                body=mark * size,
            )
        )
    return made


@define
class Lane:
    entries: list[Entry] = field(factory=list)
    proof: Proof | None = None
    #: Proofs of which the predecessor is not held.
    waiting: list[ForkFound] = field(factory=list)

    def before(self, seq: int) -> bytes | None:
        """What an entry at *seq* would have as its predecessor, None if that is not held."""
        if seq == 1:
            return MESH
        return self.entries[seq - 2].id if seq - 2 < len(self.entries) else None


class FakeReplica:
    """Holds what chains. A fork truncates its lane, as the required set does."""

    mesh_id = MESH

    def __init__(self, *lanes: Sequence[Entry]) -> None:
        self.lanes: dict[tuple[bytes, int], Lane] = {}
        self.version = 0
        self.moved: dict[tuple[int, bytes], int] = {}
        #: Lanes of which a proof that waited is held now.
        self.settled: list[tuple[bytes, int]] = []
        for entries in lanes:
            for entry in entries:
                self.take(entry)

    def take(self, entry: Entry) -> str:
        """held, known, gap, mismatch or fork."""
        header = entry.header
        lane = self.lanes.setdefault((header.author, header.lane), Lane())
        if lane.proof is not None and header.seq >= lane.proof[0].header.seq:
            return "known"
        if header.seq <= len(lane.entries):
            mine = lane.entries[header.seq - 1]
            return "known" if mine.id == entry.id else "fork"
        if header.seq > len(lane.entries) + 1:
            return "gap"
        if header.prev != (lane.entries[-1].id if lane.entries else MESH):
            return "mismatch"
        lane.entries.append(entry)
        self._move(header.author, header.lane)
        waiting, lane.waiting = lane.waiting, []
        self.settled += [(header.author, header.lane) for fork in waiting if self.add_proof(fork)]
        return "held"

    def add_proof(self, fork: ForkFound) -> bool:
        """Whether the canonical proof is another one now."""
        header = fork.first.header
        lane = self.lanes.setdefault((header.author, header.lane), Lane())
        if lane.before(header.seq) != header.prev:
            lane.waiting.append(fork)
            return False
        pool = {half.id: half for half in (fork.first, fork.second, *(lane.proof or ()))}
        least = min(half.header.seq for half in pool.values())
        same = sorted(i for i, half in pool.items() if half.header.seq == least)
        proof = (pool[same[0]], pool[same[1]])
        if lane.proof is not None and lane.proof[0].id == same[0] and lane.proof[1].id == same[1]:
            return False
        lane.proof = proof
        self._move(header.author, header.lane)
        return True

    def parted(self, fork: ForkFound) -> list[tuple[tuple[int, bytes], int]]:
        """Where another entry is held than the one before a fork."""
        header = fork.first.header
        lane = self.lanes[header.author, header.lane]
        before = lane.before(header.seq)
        known = lane.proof is not None and lane.proof[0].header.seq < header.seq
        if before in (None, header.prev) or known:
            return []
        return [((header.lane, header.author), header.seq - 1)]

    def _move(self, author: bytes, lane: int) -> None:
        self.version += 1
        self.moved[lane, author] = self.version

    def roots(self) -> tuple[bytes, bytes]:
        both = (repr(list(self.rows(lane))).encode() for lane in (0, 1))
        first, second = (hashlib.sha256(text).digest() for text in both)
        return first, second

    def rows(self, lane: int) -> Sequence[FrontierRow]:
        return [self.row(author, lane) for author, number in sorted(self.lanes) if number == lane]

    def rows_since(self, version: int) -> Sequence[FrontierRow]:
        moved = sorted(key for key, at in self.moved.items() if at > version)
        return [self.row(author, lane) for lane, author in moved]

    def row(self, author: bytes, lane: int) -> FrontierRow:
        held = self.lanes.get((author, lane), Lane())
        seq, proof = len(held.entries), b""
        if held.proof is not None:
            seq = min(seq, held.proof[0].header.seq - 1)
            proof = proof_digest((held.proof[0].id, held.proof[1].id))
        return FrontierRow(author, lane, seq, held.entries[seq - 1].id if seq else MESH, proof)

    def read_range(
        self, author: bytes, lane: int, first: int, last: int, bytes_max: int
    ) -> Sequence[bytes]:
        found: list[bytes] = []
        for entry in self.lanes[author, lane].entries[first - 1 : last]:
            data = entry.encode()
            if found and sum(map(len, found)) + len(data) > bytes_max:
                break
            found.append(data)
        return found

    def header_at(self, author: bytes, lane: int, seq: int) -> SignedHeader | None:
        entries = self.lanes.get((author, lane), Lane()).entries
        return entries[seq - 1].signed_header if 0 < seq <= len(entries) else None

    def entries_by_id(self, ids: Sequence[bytes], bytes_max: int) -> Sequence[bytes]:
        held = {entry.id: entry for lane in self.lanes.values() for entry in lane.entries}
        return [held[i].encode() for i in ids if i in held]

    def fork_proof(self, author: bytes, lane: int) -> Proof | None:
        return self.lanes.get((author, lane), Lane()).proof

    def end(self, author: bytes, lane: int) -> int | None:
        return None

    def holds(self, author: bytes, lane: int, seq: int, entry_id: bytes) -> bool:
        entries = self.lanes.get((author, lane), Lane()).entries
        return any(e.id == entry_id and e.header.seq == seq for e in entries) or not seq

    def awaits(self, row: FrontierRow) -> bool:
        """There are no pins here."""
        return False

    def expect(self, ids: Sequence[bytes]) -> None:
        raise AssertionError("there are no branches here")
