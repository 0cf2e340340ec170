"""
The replica: everything that one node holds of a mesh, as one machine.

It joins admission, fold and pen, and keeps what depends on all three: the frontier, the state
hash, the events with their cursors. It never waits and never asks the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from attrs import define

from capability.bodies import MEMBER, PinRow
from capability.entry import LANE_AUTHORITY, LANE_DATA, Entry, SignedHeader
from capability.errors import CapabilityError
from capability.keys import Signer
from capability.notary import ED25519, Notary
from crdt.codec import encode
from mesh.core.effects import Effect, Emit, Log, Persist
from mesh.core.errors import StorageError
from mesh.core.events import Event
from mesh.core.inputs import IssueGrant, Now, Submit
from mesh.core.ports import LogReader
from mesh.core.records import PutEvents, PutMeta, PutProof, PutSnapshot, Record
from mesh.replica import snapshot
from mesh.replica.admission import Admission, BadEntry, Outcome
from mesh.replica.found import FoundRows, load_rows
from mesh.replica.held import Held, LaneKey
from mesh.replica.loading import load_held
from mesh.replica.pending import PendingRows
from mesh.replica.recovery import META_BLOCKED, PARTED, Recovery
from mesh.replica.reissue import Reissue
from mesh.replica.serving import Serving
from mesh.replica.table import EntryTable
from mesh.replica.writer import Writer
from mesh.worknode.store import Store

#: The rules of verdicts and fold that this program follows.
RULES_VERSION = 1
#: Why a node stops writing; its log would fork.
RESTORED = (
    "this home is older than what its peers hold of it: it was restored from a copy, or the same "
    "home runs twice"
)
#: A snapshot is worth its cost when this many entries came since the last one.
SNAPSHOT_ENTRIES = 256
# Past the Python code of a named tuple's constructor: 0.1 µs against 0.3 µs.
_new_event: Final[Callable[[Iterable[object]], Event]] = partial(tuple.__new__, Event)


@define
class Replica:
    """One node's state. Reads are plain calls; changes return effects."""

    mesh_id: bytes
    signer: Signer
    held: Held
    admission: Admission
    writer: Writer
    port: Serving
    recovery: Recovery
    found: FoundRows
    reissue: Reissue
    next_cursor: int
    snapshot_n: int = 0
    #: The wall clock less the monotonic one, as of the last look at both.
    wall_less_mono_ms: int = 0

    @classmethod
    def load(
        cls, reader: LogReader, *, signer: Signer, now: Now, notary: Notary = ED25519
    ) -> Replica:
        """
        Build the state from disk.

        Raises:
            StorageError: The home holds no mesh, or its log is damaged.
        """
        mesh_id = reader.meta("mesh_id")
        if mesh_id is None:
            raise StorageError(
                "this home holds no mesh yet", hint="`mesh init` makes one, `mesh join` enters one"
            )
        held = load_held(
            reader,
            mesh_id=mesh_id,
            author=signer.public,
            wall_ms=now.wall_ms,
            rules=RULES_VERSION,
            notary=notary,
        )
        pending = load_rows(reader)
        for row in pending.rows.values():
            held.clock.observe(row.hlc)
        serving = Serving(held, mesh_id)
        held.moved.update(held.ledger.lanes())
        serving.refresh()
        kept = reader.snapshot()
        writer = Writer(held, signer, mesh_id, pending)
        writer.blocked = (reader.meta(META_BLOCKED) or b"").decode()
        recovery = Recovery.load(reader, held, signer.public)
        if recovery.is_active and writer.blocked != PARTED:
            writer.blocked = recovery.sentence(())
        return cls(
            mesh_id=mesh_id,
            signer=signer,
            held=held,
            admission=Admission(held, mesh_id, signer.public, notary),
            writer=writer,
            port=serving,
            recovery=recovery,
            found=FoundRows.load(reader, held, signer.public, pending, now),
            reissue=Reissue.load(reader, held, writer),
            next_cursor=reader.last_cursor() + 1,
            snapshot_n=kept[0] if kept is not None else 0,
            wall_less_mono_ms=now.wall_ms - now.mono_ms,
        )

    # -- reading --------------------------------------------------------------------------------

    @property
    def author(self) -> bytes:
        return self.signer.public

    @property
    def store(self) -> Store:
        return self.held.store

    @property
    def name(self) -> str:
        """The mesh's name, from its genesis."""
        genesis = self.held.ledger.genesis
        return genesis.name if genesis is not None else ""

    @property
    def table(self) -> EntryTable:
        return self.held.table

    @property
    def pending(self) -> PendingRows:
        return self.writer.pending

    def state_hash(self) -> bytes:
        """The hash over all that is folded from sealed entries. Cost: O(touched since the last)."""
        self.held.hash.update(self.store)
        return self.held.hash.value(RULES_VERSION)

    def frontier_hash(self) -> bytes:
        """One hash over both frontier roots."""
        return self.port.frontier.auth_root[:16] + self.port.frontier.data_root[:16]

    def counts(self) -> dict[str, int]:
        """How much is held, and how much waits and why."""
        held = self.held
        return {
            "entries": held.table.last,
            "worknodes": self.store.count(),
            "deferred": len(self.admission.deferred),
            "waiting": len(self.admission.waiting),
            "parked": len(held.table.parked),
            "undecided": held.fold.undecided,
            "pending": len(self.pending),
        }

    def forked(self) -> list[LaneKey]:
        """Lanes whose author is proven to have forked them."""
        ledger = self.held.ledger
        lanes = ((key, ledger.lane(*key)) for key in ledger.lanes())
        return [key for key, lane in lanes if lane is not None and lane.fork_seq is not None]

    def label(self, author: bytes) -> str:
        """The name that an author's member grant gives it, the first held; empty if none is."""
        # Anybody may sign a later one, which must not rename it.
        granted = (act.grant for act in self.held.ledger.grants_held(author) if act.counts)
        return next((each.label for each in granted if each and each.akind == MEMBER), "")

    # -- changing -------------------------------------------------------------------------------

    def receive(self, batch: Sequence[bytes], now: Now) -> tuple[Outcome, list[Effect], str]:
        """Entries of a peer: what became of them, effects, and the peer's offence if any."""
        assert self.writer.group is None, "nothing is folded between a group's opening and its seal"
        offence = ""
        try:
            outcome = self.admission.receive(batch, wall_ms=now.wall_ms)
        except BadEntry as error:
            outcome, offence = error.outcome, error.message
        return outcome, self._after(outcome, now), offence

    def receive_proof(
        self, first: SignedHeader, second: SignedHeader, now: Now
    ) -> tuple[Outcome, list[Effect], str]:
        """A fork proof of a peer."""
        try:
            outcome = self.admission.receive_proof(first, second)
        except BadEntry as error:
            return error.outcome, [], error.message
        return outcome, self._after(outcome, now), ""

    def _after(self, outcome: Outcome, now: Now) -> list[Effect]:
        effects: list[Effect] = []
        if outcome.own_branch and not self.writer.blocked:
            self._stop_writing(RESTORED)
            effects.append(Log("error", "home.restored", ()))
        outcome.records += self._proofs(outcome)
        goes_on = self.author in outcome.introduced or (self.author, LANE_DATA) in outcome.ended
        if goes_on and self.pending.rows:
            self.pending.due_ms = now.mono_ms  # They may be sealed again.
        if outcome.records:
            effects.append(Persist(tuple(outcome.records)))
        for r in outcome.refused:
            fields = (("author", r.author.hex()), ("lane", r.lane), ("seq", r.seq))
            effects.append(Log("warning", "entry.refused", (*fields, ("reason", r.reason))))
        for author, lane in sorted(set(outcome.forked)):
            where = (("author", author.hex()), ("lane", lane))
            effects.append(Log("error", "log.forked", where))
        if any(entry.header.lane == LANE_AUTHORITY for entry in outcome.held):
            effects += self._pin_joins(now)
        return effects + self.finish()

    def _proofs(self, outcome: Outcome) -> list[Record]:
        """The fork proofs that are new and of which the log does not hold both halves."""
        records: list[Record] = []
        for author, lane in sorted(outcome.settled):
            held = self.held.ledger.lane(author, lane)
            if held is None or not any(held.witness(half) for half in held.proof):
                continue
            proof = self.port.fork_proof(author, lane)
            assert proof is not None, "a lane with a proof has forked"
            data = encode((proof[0].value(), proof[1].value()))
            records.append(PutProof(author, lane, data))
        return records

    def submit(self, request: Submit, now: Now) -> list[Effect]:
        """A local session's writes; the reply comes with the sealed group."""
        return self.writer.submit(request, now)

    def issue_grant(self, request: IssueGrant, now: Now) -> tuple[list[Effect], bytes]:
        """A grant of this node: effects and its id."""
        effects, grant_id = self.writer.issue_grant(request, now)
        outcome = self.admission.admit_newcomers(wall_ms=now.wall_ms)
        self.writer.fresh += outcome.held
        return effects + self._after(outcome, now), grant_id

    def seal(self) -> list[Effect]:
        """Seal the open group, if any."""
        # Also when no group is open: the pen may have issued a grant, or sealed one, on the way.
        return self.writer.seal() + self.finish()

    def seal_pending(self, now: Now) -> list[Effect]:
        """Seal all LOCAL rows."""
        return self.writer.seal_pending(now) + self.writer.seal() + self.finish()

    def finish(self) -> list[Effect]:
        """Bring the frontier up to date and give out events."""
        self.port.refresh()
        return self._recover() + self.events()

    def look_at_clocks(self, now: Now) -> None:
        """One of them may have been set: what is parked is due at another monotonic time then."""
        self.wall_less_mono_ms = now.wall_ms - now.mono_ms

    def wake(self, now: Now) -> list[Effect]:
        """Fold what is no longer in the future."""
        self.look_at_clocks(now)
        return self.events() if self.held.wake_parked(now.wall_ms) else []

    def _pin_joins(self, now: Now) -> list[Effect]:
        """The inviter pins the log of a join key at first sight, so that theft shows."""
        keys = self.held.ledger.join_keys
        by_leaf: dict[bytes, list[PinRow]] = {}
        for row in keys.pins_wanted(self.author):
            by_leaf.setdefault(keys.invited_under(self.author, row.author), []).append(row)
        effects: list[Effect] = []
        for leaf in sorted(by_leaf):
            effects += self.writer.pin(by_leaf[leaf], leaf, now)
        return effects

    def events(self) -> list[Effect]:
        """Number what the fold has changed: durable before anybody is told."""
        drafts = self.held.fold.drafts
        if not drafts:
            return []
        cursors = range(self.next_cursor, self.next_cursor + len(drafts))
        self.next_cursor = cursors.stop
        events = tuple(map(_new_event, zip(cursors, *zip(*drafts, strict=True), strict=True)))
        drafts.clear()
        return [Persist((PutEvents(events),)), Emit(events)]

    @property
    def wake_mono_ms(self) -> int | None:
        """When something parked may be folded, or said again: monotonic ms as of the last look."""
        wake, due = self.held.next_wake_ms(), self.reissue.due_ms
        if wake is None:
            return due
        wake -= self.wall_less_mono_ms
        return wake if due is None else min(wake, due)

    def own_chain(self) -> tuple[bytes, ...]:
        """
        The chain by which this node is a member, and the pin of its join if one is held.

        Empty until the ledger holds it.
        """
        ledger = self.held.ledger
        if ledger.authority(b"", self.author) is not None:
            return self.port.chain_of(b"")
        grant_id = self.writer.standing.membership()
        return self.port.chain_of(grant_id) + self._confirmation(grant_id) if grant_id else ()

    def _confirmation(self, grant_id: bytes) -> tuple[bytes, ...]:
        pin_id = self.held.ledger.join_keys.confirmation(grant_id)
        n = self.held.table.number.get(pin_id) if pin_id is not None else None
        return () if n is None else (self.held.read(n).encode(),)

    def lowest_deferred(self, author: bytes, lane: int) -> int:
        """The least seq that waits behind a gap in this lane."""
        return self.admission.deferred.least(author, lane)

    def take_fresh(self) -> list[Entry]:
        """Own entries made since the last call, for the push."""
        fresh, self.writer.fresh = self.writer.fresh, []
        return fresh

    def snapshot(self, *, least: int = SNAPSHOT_ENTRIES) -> list[Effect]:
        """An own snapshot, if at least so many entries came since the last."""
        n = self.held.table.last
        if n - self.snapshot_n < least:
            return []
        self.snapshot_n = n
        return [Persist((PutSnapshot(n, snapshot.dump(self.held, rules=RULES_VERSION)),))]

    # -- a restored home ------------------------------------------------------------------------

    def _stop_writing(self, reason: str) -> None:
        self.writer.blocked = reason
        self.recovery.unsaved.append(PutMeta(META_BLOCKED, reason.encode()))

    def _recover(self) -> list[Effect]:
        """Let the pen go, once the own log is whole again."""
        recovery = self.recovery
        if not (recovery.is_active or recovery.unsaved or self.found.unsaved):
            return []
        records, recovery.unsaved = recovery.unsaved + self.found.unsaved, []
        self.found.unsaved = []
        effects: list[Effect] = [Persist(tuple(records))] if records else []
        if not recovery.is_active or self.writer.blocked == PARTED:
            return effects
        if not recovery.is_over():
            absent = recovery.absent()
            self.writer.blocked = recovery.sentence([self.label(a) or a.hex()[:8] for a in absent])
            return effects
        self.found.came_back()
        more, fresh = recovery.finish(self.signer, self.mesh_id, self.found.without_sealed)
        self.writer.blocked = ""
        self.writer.fresh += fresh
        self.port.refresh()
        dropped = self.found.recovered()
        self.pending.due_ms = 0 if self.pending.rows else None
        return effects + more + ([Persist(tuple(dropped))] if dropped else [])

    def say_again(self, equal: Callable[[], Iterable[bytes]], now: Now) -> list[Effect]:
        """Say what waited until enough peers are *equal*: found rows, what an old key has left."""
        if self.found.waits and not self.writer.blocked and any(equal()):
            self.found.release()
        if not self.reissue.is_active or not self.reissue.is_due(equal(), now):
            return []
        return self.seal() + self.reissue.run(now) + self.finish()

    def check_heads(self, heads: Sequence[SignedHeader | None], peer: bytes = b"") -> str:
        """
        Compare what a peer states of this node's own lanes; empty if each is an ancestor or equal.

        A peer that holds more than this node has written means that the home was restored from an
        old copy or is used twice. Then nothing may be written: it would fork the log.
        """
        for lane, head in enumerate(heads):
            if head is None:
                continue
            header = head.header
            if header.author != self.author or header.lane != lane:
                return "not my header"
            try:
                self.admission.notary.check(head, self.mesh_id)
            except CapabilityError:
                return "not my header"
            held = self.held.ledger.lane(self.author, lane)
            is_behind = held is None or not held.holds(header.seq, head.id)
            if is_behind and not self.recovery.is_active:
                self._stop_writing(RESTORED)
                return RESTORED
        if self.recovery.is_active and not self.recovery.note(peer, heads):
            self._stop_writing(PARTED)
            return RESTORED
        if not self.recovery.is_active and not self.writer.blocked:
            self.found.heard(heads)
        # Whoever holds less would ask for what others hold otherwise, and so spread the fork.
        return RESTORED if self.writer.blocked == RESTORED else ""
