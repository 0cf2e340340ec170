"""
One lane of one author: its hash chain, the branches off it, and the proof that it forked.

The branch that arrived first is the main chain, kept as 44 bytes per entry; every other chained
entry is a branch entry. Which one is main is an accident, so nothing here that a verdict may use
depends on it: `fork_seq`, `proof` and paths are functions of the set of entries and proofs held.

The end of a lane, which limits what its verdicts are worth, is the ledger's; see `stray` for the
bound on what is held without being of any use.

Source: docs/formats.md, rules 2 and 9.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from enum import Enum, auto
from typing import Final, TypeAlias

from attrs import frozen

from capability.entry import Header, SignedHeader
from capability.ids import ID_BYTES

__all__ = ["BRANCH_ENTRIES_MAX", "PROOFS_WAITING_MAX", "Lane", "LaneKey", "Path", "Place"]

#: Held entries of one lane that stand at or after its fork and on no pinned branch. A guess: a
#: doubled home that ran for a day. Nothing rests on them, so nothing rests on which these are.
BRANCH_ENTRIES_MAX: Final = 4096
#: Fork proofs of one lane whose prev is not held yet; of more, the least seqs are kept.
PROOFS_WAITING_MAX: Final = 4

#: A lane's author and number.
LaneKey: TypeAlias = tuple[bytes, int]

#: Stamp of what precedes seq 1: less than every stamp.
_BEFORE_ALL: Final = -1


class Place(Enum):
    """Where an entry stands with respect to what is held of its lane."""

    #: It continues the main chain.
    NEXT = auto()
    #: Its prev is held, but is not the end of the main chain.
    BRANCH = auto()
    HELD = auto()
    #: Nothing is held as far up as its prev.
    GAP = auto()
    #: Something else is held where its prev should be.
    MISMATCH = auto()
    #: Not later than its prev: refused for good.
    STALE = auto()
    #: The lane holds as many stray entries as it may, or has ended: not held, unless asked for.
    FULL = auto()
    #: No held chain of grants leads to its author yet.
    UNINTRODUCED = auto()
    #: A genesis, but not of this mesh: refused for good.
    FOREIGN = auto()


@frozen
class Path:
    """The chain down from the tip (*seq*, *id*): the main chain up to *trunk*, then *off_main*."""

    seq: int
    id: bytes
    trunk: int
    off_main: frozenset[bytes]


class Lane:
    """The held entries of one lane; entries enter by `add`, in the order of their chain."""

    __slots__ = (
        "_base",
        "_hlcs",
        "_ids",
        "_leaf_numbers",
        "_leaves",
        "_leaves_known",
        "_tip",
        "_tip_hlc",
        "_waiting",
        "_witnesses",
        "branches",
        "fork_seq",
        "height",
        "proof",
    )

    #: Entries off the main chain: id → (seq, prev, hlc, leaf).
    branches: dict[bytes, tuple[int, bytes, int, bytes]]
    #: The least seq at which two chained entries are known.
    fork_seq: int | None
    #: The two least ids at `fork_seq`, empty while there is no fork.
    proof: tuple[bytes, ...]
    #: The greatest held seq.
    height: int

    def __init__(self, base: bytes) -> None:
        """*base* is what an entry at seq 1 has as its prev: the mesh id."""
        self._base = base
        self._ids = bytearray()
        self._hlcs = array("Q")
        # A lane is written by few grants, so a number stands for each.
        self._leaves = array("I")
        self._leaf_numbers: dict[bytes, int] = {}
        self._leaves_known: list[bytes] = []
        self._tip = base
        self._tip_hlc = _BEFORE_ALL
        self._waiting: list[tuple[SignedHeader, SignedHeader]] = []
        self._witnesses: dict[bytes, SignedHeader] = {}
        self.branches = {}
        self.fork_seq = None
        self.proof = ()
        self.height = 0

    @classmethod
    def of_genesis(cls, mesh_id: bytes, hlc: int) -> Lane:
        """The lane that begins with the genesis; no other entry can stand at its seq 1."""
        # No prev is empty, so that a second genesis of the same key, for another mesh, is no fork.
        lane = cls(b"")
        lane._append(mesh_id, hlc, b"")
        return lane

    def __len__(self) -> int:
        """Entries on the main chain."""
        return len(self._hlcs)

    @property
    def tip(self) -> tuple[int, bytes]:
        """The last (seq, id) of the main chain; seq 0 with the mesh id while it is empty."""
        return len(self._hlcs), self._tip

    def at(self, seq: int) -> bytes:
        """The id on the main chain at *seq*; at 0 what precedes the chain."""
        if seq == 0:
            return self._base
        assert 0 < seq <= len(self._hlcs), f"seq {seq} of {len(self._hlcs)}"
        return bytes(self._ids[(seq - 1) * ID_BYTES : seq * ID_BYTES])

    def facts(self, seq: int) -> tuple[int, bytes]:
        """(hlc, leaf) of the entry on the main chain at *seq*."""
        return self._hlcs[seq - 1], self._leaves_known[self._leaves[seq - 1]]

    def holds(self, seq: int, entry_id: bytes) -> bool:
        """Whether this very entry is held. Cost: O(1)."""
        if 0 < seq <= len(self._hlcs) and self.at(seq) == entry_id:
            return True
        branch = self.branches.get(entry_id)
        return branch is not None and branch[0] == seq

    def held_from(self, seq: int) -> Iterator[tuple[int, bytes]]:
        """Every held (seq, id) at *seq* and after it, ascending. Cost: O(entries after it)."""
        off_main: dict[int, list[bytes]] = {}
        for entry_id, (branch_seq, *_) in self.branches.items():
            off_main.setdefault(branch_seq, []).append(entry_id)
        for here in range(max(seq, 1), self.height + 1):
            ids = off_main.get(here, [])
            if here <= len(self._hlcs):
                ids = [*ids, self.at(here)]
            yield from ((here, entry_id) for entry_id in sorted(ids))

    def place(self, header: Header, entry_id: bytes) -> Place:
        """Where this entry stands; changes nothing. Cost: O(1)."""
        if header.prev == self._tip and header.seq == len(self._hlcs) + 1:
            return Place.NEXT if header.hlc > self._tip_hlc else Place.STALE
        if self.holds(header.seq, entry_id):
            return Place.HELD
        before = self._stamp(header.seq - 1, header.prev)
        if before is None:
            return Place.GAP if header.seq - 1 > self.height else Place.MISMATCH
        return Place.STALE if header.hlc <= before else Place.BRANCH

    def stray(self, path: Path | None) -> int:
        """How many entries are held at or after the fork and off *path*. Cost: O(1)."""
        if self.fork_seq is None:
            return 0
        held = len(self.branches) + max(len(self._hlcs) - self.fork_seq + 1, 0)
        return held if path is None else held - (path.seq - self.fork_seq + 1)

    def lacks(self, seq: int) -> bool:
        """Whether nothing is held as far up as *seq*."""
        return seq > self.height

    def add(self, header: Header, entry_id: bytes) -> None:
        """Hold an entry that `place` has found to be NEXT or BRANCH. Cost: O(1)."""
        if header.prev == self._tip and header.seq == len(self._hlcs) + 1:
            self._append(entry_id, header.hlc, header.leaf)
            if header.seq == self.fork_seq:
                self._note_fork(header.seq, (entry_id,))
        else:
            self.branches[entry_id] = (header.seq, header.prev, header.hlc, header.leaf)
            self.height = max(self.height, header.seq)
            # Above the main chain it only lengthens a branch whose fork is known already.
            if header.seq <= len(self._hlcs):
                self._note_fork(header.seq, (entry_id,))
        self._witnesses.pop(entry_id, None)
        if self._waiting:
            self._retry_proofs()

    def add_proof(self, first: SignedHeader, second: SignedHeader) -> bool:
        """
        Hold two headers that differ and have one seq and one prev: the author forked there.

        Either entry may be absent. If their prev is not held yet, the pair waits for it.

        Returns:
            Whether it is held; not so if it waits, or if one of the two is not later than its prev.
        """
        before = self._stamp(first.header.seq - 1, first.header.prev)
        if before is None:
            if (first, second) not in self._waiting:
                self._waiting.append((first, second))
                self._waiting.sort(key=lambda pair: (pair[0].header.seq, pair[0].id, pair[1].id))
                del self._waiting[PROOFS_WAITING_MAX:]
            return False
        if min(first.header.hlc, second.header.hlc) <= before:
            return False
        self._note_fork(first.header.seq, (first.id, second.id))
        for witness in (first, second):
            if witness.id in self.proof and not self.holds(witness.header.seq, witness.id):
                self._witnesses[witness.id] = witness
        return True

    def witness(self, entry_id: bytes) -> SignedHeader | None:
        """One half of the proof, if it is known by a proof alone and not as a held entry."""
        return self._witnesses.get(entry_id)

    def path(self, seq: int, entry_id: bytes) -> Path | None:
        """The chain that ends with this entry, None if it is not held. Cost: O(its branch)."""
        if not self.holds(seq, entry_id):
            return None
        off_main = []
        here, here_id = seq, entry_id
        while (branch := self.branches.get(here_id)) is not None:
            off_main.append(here_id)
            here, here_id = here - 1, branch[1]
        return Path(seq, entry_id, here, frozenset(off_main))

    def is_on(self, path: Path, seq: int, entry_id: bytes) -> bool:
        """Whether a held entry is an ancestor of the path's tip, or the tip. Cost: O(1)."""
        if entry_id in path.off_main:
            return True
        return 0 < seq <= path.trunk and self.at(seq) == entry_id

    def along(self, path: Path, first: int, last: int) -> Iterator[bytes]:
        """The ids on *path* from seq *first* to *last*. Cost: O(these + its branch)."""
        for seq in range(max(first, 1), min(last, path.trunk) + 1):
            yield self.at(seq)
        for entry_id in path.off_main:
            if first <= self.branches[entry_id][0] <= last:
                yield entry_id

    @property
    def is_empty(self) -> bool:
        """Whether neither an entry nor a proof is held; a waiting proof is not held."""
        return not self._hlcs and self.fork_seq is None

    def _append(self, entry_id: bytes, hlc: int, leaf: bytes) -> None:
        self._ids += entry_id
        self._hlcs.append(hlc)
        number = self._leaf_numbers.setdefault(leaf, len(self._leaves_known))
        if number == len(self._leaves_known):
            self._leaves_known.append(leaf)
        self._leaves.append(number)
        self._tip = entry_id
        self._tip_hlc = hlc
        self.height = max(self.height, len(self._hlcs))

    def _stamp(self, seq: int, entry_id: bytes) -> int | None:
        """The stamp of the held entry that an entry names as its prev."""
        if seq <= len(self._hlcs) and self.at(seq) == entry_id:
            return self._hlcs[seq - 1] if seq else _BEFORE_ALL
        branch = self.branches.get(entry_id)
        return branch[2] if branch is not None and branch[0] == seq else None

    def _note_fork(self, seq: int, ids: tuple[bytes, ...]) -> None:
        """Take note of chained *ids* at *seq*, of which there are now two or more."""
        if self.fork_seq is not None and seq > self.fork_seq:
            return
        known = set(ids)
        if seq == self.fork_seq:
            known.update(self.proof)
        elif seq <= len(self._hlcs):
            # The one entry that was held here before: below the least fork there is one chain.
            known.add(self.at(seq))
        self.fork_seq = seq
        self.proof = tuple(sorted(known)[:2])
        for gone in [known_id for known_id in self._witnesses if known_id not in self.proof]:
            del self._witnesses[gone]

    def _retry_proofs(self) -> None:
        waiting, self._waiting = self._waiting, []
        for first, second in waiting:
            self.add_proof(first, second)
