"""
Admission: what becomes of an entry that a peer has sent (the table at the end of docs/formats.md).

    bad form, hash, size, signature   the link is closed
    another mesh, not after its prev  refused for good, and reported
    author not introduced             waiting room
    gap before it                     deferred; ask from my head
    another entry where prev should be  reported; a bisection by headers finds the fork
    chained and introduced            held (`mesh.replica.held`)

Every entry that is kept anywhere has a verified signature, so a stranger cannot fill a room with
noise under somebody else's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import define, field, frozen

from capability.entry import Entry, SignedHeader
from capability.errors import CapabilityError, FormError
from capability.lane import Place
from capability.ledger import Change
from capability.notary import ED25519, Notary
from mesh.core.errors import ProtocolViolation
from mesh.core.limits import (
    DEFERRED_BYTES_MAX,
    DEFERRED_ENTRIES_MAX,
    REFUSALS_KEPT_MAX,
    WAITING_BYTES_MAX,
    WAITING_ENTRIES_MAX,
)
from mesh.core.records import PutEntry, Record
from mesh.replica.held import Held
from mesh.replica.rooms import LaneKey, Room

_REFUSED: Final = {
    Place.STALE: "stamp not after the one before it",
    Place.FULL: "lane is full",
    Place.FOREIGN: "genesis of another mesh",
}


@frozen
class Refusal:
    """An entry that is refused for good, and why."""

    author: bytes
    lane: int
    seq: int
    reason: str


@define
class Outcome:
    """What one batch of received entries came to."""

    held: list[Entry] = field(factory=list)
    records: list[Record] = field(factory=list)
    #: Lanes with something deferred: ask from my head.
    gaps: set[LaneKey] = field(factory=set)
    #: Lanes in which the sender has another entry where I hold one, and the number of that place.
    mismatches: dict[LaneKey, int] = field(factory=dict)
    #: Authors for whom no chain is held.
    unknown: set[bytes] = field(factory=set)
    introduced: list[bytes] = field(factory=list)
    forked: list[LaneKey] = field(factory=list)
    #: Forked lanes of which the proof or the branch that stands may be another now.
    settled: set[LaneKey] = field(factory=set)
    #: Data lanes that end elsewhere now, or no longer.
    ended: set[LaneKey] = field(factory=set)
    refused: list[Refusal] = field(factory=list)
    #: (author, lane, seq) of each good entry of the batch that was held before or waited already.
    shown: list[tuple[bytes, int, int]] = field(factory=list)
    #: The same of those that were not, and are held or wait now.
    brought: list[tuple[bytes, int, int]] = field(factory=list)
    #: A peer holds entries of this node's own log that this node has not written.
    own_branch: bool = False

    @property
    def parted(self) -> list[tuple[tuple[int, bytes], int]]:
        """Where a peer holds other entries than this node, as reconciliation names lanes."""
        return sorted(((lane, author), seq) for (author, lane), seq in self.mismatches.items())

    def note(self, change: Change) -> None:
        """Add what the ledger said of one entry or proof."""
        self.introduced.extend(change.introduced)
        self.settled.update(change.lanes)
        self.ended.update(change.ended)
        self.forked.extend(change.forked)


@define
class Admission:
    """The door for received entries: two rooms, a list of refusals, and what is held."""

    held: Held
    mesh_id: bytes
    #: This node's own key: nobody else may bring a second branch of its log.
    own: bytes
    notary: Notary = ED25519
    deferred: Room = field(factory=lambda: Room(DEFERRED_ENTRIES_MAX, DEFERRED_BYTES_MAX))
    waiting: Room = field(factory=lambda: Room(WAITING_ENTRIES_MAX, WAITING_BYTES_MAX))
    refusals: list[Refusal] = field(factory=list)

    def receive(self, batch: Sequence[bytes], *, wall_ms: int) -> Outcome:
        """
        Take in encoded entries, in any order, with duplicates.

        Raises:
            ProtocolViolation: One of them is no entry of this mesh or its signature is wrong;
                those before it in the batch are held (`outcome` of the error), the rest is not
                looked at.
        """
        # A proof, or what this node wrote itself, may have introduced somebody since.
        outcome = self.admit_newcomers(wall_ms=wall_ms)
        for data in batch:
            try:
                entry = self.notary.read(data)
                at = (entry.header.author, entry.header.lane, entry.header.seq)
                if self._known(entry):
                    outcome.shown.append(at)
                    if entry.id in self.waiting.entries:
                        outcome.unknown.add(entry.header.author)
                    continue
                self.notary.check(entry, self.mesh_id)
                self._admit([entry], outcome, wall_ms)
                if self._known(entry):
                    outcome.brought.append(at)
            except CapabilityError as error:
                raise BadEntry(str(error), outcome) from error
        return outcome

    def receive_proof(self, first: SignedHeader, second: SignedHeader) -> Outcome:
        """
        Take in a fork proof.

        Raises:
            ProtocolViolation: It proves nothing, or a signature is wrong.
        """
        outcome = Outcome()
        try:
            self.notary.check(first, self.mesh_id)
            self.notary.check(second, self.mesh_id)
            change = self.held.ledger.add_proof(first, second)
        except CapabilityError as error:
            raise BadEntry(str(error), outcome) from error
        if change:
            outcome.note(change)
            self.held.apply_change(change)
        if change is None:
            self._note_parting(first, outcome)
        return outcome

    def _note_parting(self, half: SignedHeader, outcome: Outcome) -> None:
        """A proof that waits for another predecessor than is held shows an earlier fork."""
        key, before = (half.header.author, half.header.lane), half.header.seq - 1
        lane = self.held.ledger.lane(*key)
        if lane is None or lane.lacks(before) or lane.holds(before, half.header.prev):
            return
        if self._parts_below(key, before):
            outcome.mismatches[key] = before

    def _known(self, entry: Entry) -> bool:
        return (
            entry.id in self.held.table.number
            or entry.id in self.deferred.entries
            or entry.id in self.waiting.entries
        )

    def admit_newcomers(self, *, wall_ms: int) -> Outcome:
        """Look again at what waits of authors who were introduced since anything was admitted."""
        outcome = Outcome()
        self._admit(self._of_newcomers(), outcome, wall_ms)
        return outcome

    def _admit(self, queue: list[Entry], outcome: Outcome, wall_ms: int) -> None:
        while queue:
            item = queue.pop()
            if self._place(item, outcome, wall_ms):
                queue.extend(self._next_in_lane(item))
                queue.extend(self._of_newcomers())

    def _of_newcomers(self) -> list[Entry]:
        """Take from the waiting room what it has of them, the last to be placed first."""
        authors, self.held.newcomers = self.held.newcomers, []
        return [
            self.waiting.take(entry_id)
            for author in authors
            for entry_id in reversed(self.waiting.of_author(author))
        ]

    def _next_in_lane(self, entry: Entry) -> list[Entry]:
        key = (entry.header.author, entry.header.lane)
        waiting = self.deferred.at(key, entry.header.seq + 1)
        return [self.deferred.take(entry_id) for entry_id in waiting]

    def _place(self, entry: Entry, outcome: Outcome, wall_ms: int) -> bool:
        """Let one entry in where it belongs; whether it is held now and was not before."""
        header = entry.header
        key = (header.author, header.lane)
        place = self.held.ledger.place(header, entry.id)
        if place is Place.FULL and entry.id in self.held.expected:
            place = self.held.ledger.continues(header, entry.id)
        if header.author == self.own and place is not Place.HELD:
            # Nobody else can sign it, so this home is a copy: of this one, or this one of another.
            outcome.own_branch = True
        if header.author == self.own and place in (Place.BRANCH, Place.MISMATCH):
            self.refuse(entry, "another branch of this node's own log", outcome)
            return False
        match place:
            case Place.NEXT | Place.BRANCH:
                n, touched, change = self.held.hold(entry, wall_ms=wall_ms)
                outcome.records.append(PutEntry(n, entry, touched, own=False))
                outcome.held.append(entry)
                outcome.note(change)
                return True
            case Place.HELD:
                pass
            case Place.UNINTRODUCED:
                self.waiting.put(entry)
                outcome.unknown.add(header.author)
            case Place.GAP:
                self.deferred.put(entry)
                outcome.gaps.add(key)
            case Place.MISMATCH:
                if self._parts_below(key, header.seq - 1):
                    outcome.mismatches[key] = header.seq - 1
            case _:
                self.refuse(entry, _REFUSED[place], outcome)
        return False

    def _parts_below(self, key: LaneKey, seq: int) -> bool:
        """Whether another entry at *seq* than is held there shows an earlier fork than is known."""
        lane = self.held.ledger.lane(*key)
        return lane is not None and (lane.fork_seq is None or seq < lane.fork_seq)

    def refuse(self, entry: Entry, reason: str, outcome: Outcome) -> None:
        """Report an entry that will never be held."""
        refusal = Refusal(entry.header.author, entry.header.lane, entry.header.seq, reason)
        outcome.refused.append(refusal)
        self.refusals.append(refusal)
        del self.refusals[:-REFUSALS_KEPT_MAX]


class BadEntry(ProtocolViolation):
    """A peer sent bytes that no honest node sends; `outcome` is what had been held before them."""

    code = "bad_entry"

    def __init__(self, message: str, outcome: Outcome) -> None:
        super().__init__(message)
        self.outcome = outcome


__all__ = ["Admission", "BadEntry", "FormError", "Outcome", "Refusal"]
