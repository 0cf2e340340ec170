"""
The pen of this node: its own data lane, its own authority lane, and the LOCAL rows.

Only this module makes entries. It plans a submit, finds the grant under which it counts, folds it
into the open group and seals the group: fresh stamp, header, signature, one `Persist`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from attrs import define, field, frozen

from capability import ops
from capability.authority import Authority
from capability.bodies import Pin, PinRow
from capability.entry import (
    KIND_DATA,
    KIND_GRANT,
    KIND_PIN,
    LANE_AUTHORITY,
    LANE_DATA,
    Entry,
    Header,
    make_entry,
)
from capability.errors import CapabilityError
from capability.ids import ZERO_ID, session_id
from capability.keys import Signer
from capability.limits import PIN_ROWS_MAX
from capability.ops import Op
from capability.verdict import Verdict
from crdt import tree
from crdt.codec import Value, encode
from mesh.core.effects import Effect, Log, Persist, Reply
from mesh.core.errors import Denied, Precondition, UsageError
from mesh.core.inputs import LOCAL, IssueGrant, Now, Submit
from mesh.core.limits import FLUSH_INTERVAL_MS, GROUP_OPS_MAX, PENDING_ROWS_MAX
from mesh.core.records import PutEntry, PutPending, Record
from mesh.core.writes import Create, Write
from mesh.replica.drafts import Facts
from mesh.replica.grants import grant_under
from mesh.replica.group import Group
from mesh.replica.held import Held
from mesh.replica.pending import LocalWrite, PendingRows, Row
from mesh.replica.plan import Planner, check_text
from mesh.replica.standing import Standing

#: Names and values of one submit: with tables and operations it stays below an entry's body.
SUBMIT_BYTES_MAX: Final = 128 * 1024


@frozen
class Submitted:
    """What a durable submit came to; `entry` is empty if it made none (LOCAL, nothing changed)."""

    created: tuple[bytes, ...]
    hlc: int
    entry: bytes = b""


@define
class Writer:
    """Makes this node's entries. Its machines and the disk see them only through effects."""

    held: Held
    signer: Signer
    mesh_id: bytes
    pending: PendingRows = field(factory=PendingRows)
    group: Group | None = None
    #: Why this node may not write, empty while it may (a restored home, see `check_heads`).
    blocked: str = ""
    fresh: list[Entry] = field(factory=list)
    standing: Standing = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.standing = Standing(self.held, self.author)

    @property
    def author(self) -> bytes:
        return self.signer.public

    # -- data -----------------------------------------------------------------------------------

    def submit(self, request: Submit, now: Now) -> list[Effect]:
        """
        Take one session's writes: folded at once, answered when they are durable.

        Raises:
            LocalError: Nothing was changed; the class and hint say why.
        """
        self._may_write(LANE_DATA)
        if len(request.writes) > GROUP_OPS_MAX:
            raise UsageError(f"{len(request.writes)} writes at once, at most {GROUP_OPS_MAX}")
        check_text("session name", request.session, least=0)
        planner = Planner(self.held.store, self.author)
        planner.check(request.writes)
        draft, cited = planner.draft(request.writes)
        created, planner.created = tuple(planner.created), []
        size = cited + sum(len(encode(_parts(write))) for write in request.writes)
        if size > SUBMIT_BYTES_MAX:
            raise UsageError(
                f"{size} bytes in one submit, at most {SUBMIT_BYTES_MAX}",
                hint="split it; each part is durable by itself",
            )
        session = session_id(request.session)
        births = self.held.store.judging_births(planner.fresh)
        authority = self.standing.covering(
            draft, session, now, births=births, ahead=self._ahead(request)
        )
        # Everything that may refuse stands above this line: from here on something changes.
        authority, effects = self.open_session(authority, request.session, now)
        may_wait = request.level == LOCAL and not self._ends_soon(authority, now)
        if may_wait and all(isinstance(w, LocalWrite) for w in request.writes):
            return effects + self._put_rows(request, now)
        effects += self._seal_overlaid(request, now)
        if not draft:
            return effects + self._answer(request.request, created)
        effects += self.open(authority, session, len(draft), size, now)
        group = self.group
        assert group is not None
        for write in request.writes:
            op = planner.operation(write, group.cite)
            if op is not None:
                self.put(group, op)
        group.size += size
        group.replies.append((request.request, created))
        return effects

    def bar(self, lane: int = LANE_DATA) -> str:
        """Why nothing may be added to an own lane, empty while it may. Not for a fork."""
        return self.blocked or self.standing.why_ended(lane)

    def _may_write(self, lane: int) -> None:
        if bar := self.bar(lane):
            raise Precondition(bar, hint="run `mesh doctor`")
        if self.standing.has_forked(lane):
            raise Precondition(
                "this node's own log has forked, so nothing more of it counts",
                hint="run `mesh doctor`",
            )

    def _ends_soon(self, authority: Authority, now: Now) -> bool:
        """Whether a row that is written now might be sealed after the end of its grant."""
        # Twice the time, since a tick may be late.
        return authority.exp_ms - self.standing.stamp_ms(now) <= 2 * FLUSH_INTERVAL_MS

    def _answer(self, request: int, created: tuple[bytes, ...]) -> list[Effect]:
        if self.group is not None:
            self.group.replies.append((request, created))
            return []
        return [Reply(request, Submitted(created, self.held.clock.last))]

    def open(
        self, authority: Authority, session: bytes, writes: int, size: int, now: Now
    ) -> list[Effect]:
        """Have a group open that takes so many operations more of this leaf and session."""
        effects: list[Effect] = []
        if self.group is not None and not self.group.fits(authority, session, writes, size):
            effects = self.seal()
        if self.group is None:
            seq, prev = self.standing.tip(LANE_DATA)
            hlc = self.held.clock.tick(now.wall_ms)
            header = Header(
                self.author, LANE_DATA, seq + 1, prev, hlc, KIND_DATA, authority.leaf, 0, ZERO_ID
            )
            n = self.held.table.append(b"", header)
            self.held.table.verdicts[n] = Verdict.COUNTS
            facts = Facts(n, b"", self.author, seq + 1, hlc, authority.leaf)
            self.group = Group(facts, session, authority, self.held.table)
        return effects

    def put(self, group: Group, op: Op) -> None:
        """Fold an operation into the open group; whoever calls has seen that it counts."""
        index = len(group.ops)
        if isinstance(op.payload, ops.Create):
            self.held.fold.learn_birth(op.node, op.payload)
        group.ops.append(op)
        moves = group.context.moves
        self.held.fold.fold_op(group.context, index, op)
        if moves:
            self.held.store.move(moves)
            group.moves.extend(moves)
            moves.clear()

    # -- sealing --------------------------------------------------------------------------------

    def seal(self) -> list[Effect]:
        """Sign the open group: one entry, durable before its answers. Nothing if none is open."""
        group, self.group = self.group, None
        if group is None:
            return []
        facts = group.facts
        body, touched = group.body()
        entry = make_entry(
            self.signer,
            mesh_id=self.mesh_id,
            lane=LANE_DATA,
            seq=facts.seq,
            prev=self.standing.tip(LANE_DATA)[1],
            hlc=facts.hlc,
            kind=KIND_DATA,
            leaf=facts.leaf,
            body=body,
        )
        change = self.held.ledger.add(entry)
        self.held.moved.add((self.author, LANE_DATA))
        assert not change, "an own entry continues its lane"
        self.held.table.name(facts.n, entry)
        self._rename_moves(group, entry)
        self.held.note_uncommitted(facts.n, entry, touched)
        # It may have been hashed, or tied with another, while it had no id.
        self.held.store.dirty.update(touched)
        self.fresh.append(entry)
        records: list[Record] = [PutEntry(facts.n, entry, touched, own=True)]
        if group.sealed_slots:
            records += self.pending.sealed(entry.id, group.sealed_slots)
        effects: list[Effect] = [Persist(tuple(records))]
        verdict, reason = self.held.ledger.judge(entry.header, entry.id)
        if verdict is Verdict.COUNTS:
            self.held.fold.drafts.extend(group.events.drafts())
        else:
            # It was folded as it came, but no peer will, nor this node after a restart.
            self.held.table.verdicts[facts.n] = verdict
            self.held.fold.fold_again({*touched, *self.held.cover(facts.n)})
            fields = (("entry", entry.id.hex()), ("reason", str(reason)))
            effects.append(Log("warning", "entry.will_not_count", fields))
        effects += [
            Reply(request, Submitted(created, facts.hlc, entry.id))
            for request, created in group.replies
        ]
        return effects

    def _rename_moves(self, group: Group, entry: Entry) -> None:
        self.held.store.replace_moves(
            (item.key, _named(item, entry.id), hlc, at) for item, hlc, at in group.moves
        )

    # -- LOCAL rows -----------------------------------------------------------------------------

    def _put_rows(self, request: Submit, now: Now) -> list[Effect]:
        records: list[Record] = []
        hlc = 0
        for write in request.writes:
            assert isinstance(write, LocalWrite)
            hlc = self.held.clock.tick(now.wall_ms)
            slot, row = self.pending.add(Row(request.session, hlc, write))
            records.append(PutPending(slot, row.encode()))
        if self.pending.due_ms is None:
            self.pending.due_ms = now.mono_ms + FLUSH_INTERVAL_MS
        effects: list[Effect] = [
            Persist(tuple(records)),
            Reply(request.request, Submitted((), hlc)),
        ]
        if len(self.pending) >= PENDING_ROWS_MAX:
            effects += self.seal_pending(now, whole=True)
        return effects

    def _seal_overlaid(self, request: Submit, now: Now) -> list[Effect]:
        """An operation on a Worknode with waiting rows first seals these, in the same commit."""
        return self.seal_pending(now, whole=True) if self._overlays(request) else []

    def _overlays(self, request: Submit) -> bool:
        named = {
            write.parent if isinstance(write, Create) else write.node for write in request.writes
        }
        return any(map(self.pending.touches, named))

    def _ahead(self, request: Submit) -> int:
        """How many entries may be sealed before that of this submit, at most."""
        rows = len(self.pending) if self._overlays(request) else 0
        return rows + (self.group is not None)

    def seal_pending(self, now: Now, *, whole: bool = False) -> list[Effect]:
        """
        Turn rows into entries, with the stamps at which they were written.

        Those that were found at the start are left until a peer has spoken, unless *whole*; then
        they get entries of their own, of which it is remembered that nobody had spoken.
        """
        if self.bar():
            self.pending.due_ms = None
            return []
        effects: list[Effect] = []
        if self.group is not None and self.group.facts.hlc < self.pending.last_hlc():
            # The group was opened before a row was written, and an operation has no age below 0.
            effects += self.seal()
        until = self.pending.found_until
        drained = self.pending.drain(whole=whole)
        found = [item for item in drained if item[0] <= until]
        if found:
            effects += self.seal() + self._put_drained(found, now) + self.seal()
        return effects + self._put_drained(drained[len(found) :], now)

    def _put_drained(self, rows: Iterable[tuple[int, Row]], now: Now) -> list[Effect]:
        effects: list[Effect] = []
        births = self.held.store.judging_births()
        for slot, row in rows:
            session = session_id(row.session)
            try:
                authority = self.standing.covering([row.operation(0)], session, now, births=births)
            except Denied as error:
                # It was acknowledged, so it goes into the log and the history all the same.
                known = self.standing.candidates(session, now) or self._any_authority()
                fields = (("field", row.write.name), ("reason", error.message))
                effects.append(Log("warning", "write.will_not_count", fields))
                if not known:
                    self.pending.keep(slot, row)
                    continue
                authority = known[0]
            size = len(row.encode())
            effects += self.open(authority, session, 1, size, now)
            assert self.group is not None
            self.group.size += size
            self.put(self.group, row.operation(self.group.facts.hlc - row.hlc))
            self.group.sealed_slots.append(slot)
        return effects

    def _any_authority(self) -> list[Authority]:
        return [authority for _, authority in self.held.ledger.grants_to(self.author)]

    # -- authority ------------------------------------------------------------------------------

    def issue_grant(self, request: IssueGrant, now: Now) -> tuple[list[Effect], bytes]:
        """
        Issue a grant: effects and its id.

        Raises:
            Denied: No grant of this node may delegate this much.
        """
        self._may_write(LANE_AUTHORITY)
        for authority in self.standing.candidates(b"", now):
            grant = grant_under(authority, request, self.held.store)
            if grant is None or not self.standing.may_pass_on(authority, grant, now):
                continue
            try:
                body = grant.encode()
            except CapabilityError as error:
                raise UsageError(str(error)) from error
            return self._issue(KIND_GRANT, body, authority.leaf, now)
        raise Denied(
            "this node may not delegate these permissions there",
            hint="ask a member whose grant covers it to invite",
        )

    def _issue(self, kind: int, body: bytes, leaf: bytes, now: Now) -> tuple[list[Effect], bytes]:
        effects = self.seal()
        seq, prev = self.standing.tip(LANE_AUTHORITY)
        entry = make_entry(
            self.signer,
            mesh_id=self.mesh_id,
            lane=LANE_AUTHORITY,
            seq=seq + 1,
            prev=prev,
            hlc=self.held.clock.tick(now.wall_ms),
            kind=kind,
            leaf=leaf,
            body=body,
        )
        n, touched, _ = self.held.hold(entry, wall_ms=now.wall_ms)
        self.fresh.append(entry)
        effects.append(Persist((PutEntry(n, entry, touched, own=True),)))
        return effects, entry.id

    def open_session(self, under: Authority, name: str, now: Now) -> tuple[Authority, list[Effect]]:
        """Let a named session act by *under*: the authority it uses, and what making it took."""
        grant = self.standing.wanted_grant(under, session_id(name), name, now)
        if grant is None:
            return under, []
        effects, grant_id = self._issue(KIND_GRANT, grant.encode(), under.leaf, now)
        return self.held.ledger.authority(grant_id, self.author) or under, effects

    def pin(self, rows: Sequence[PinRow], leaf: bytes, now: Now) -> list[Effect]:
        """State which branch of these logs this node has seen."""
        ordered = sorted(rows, key=lambda row: row.author)
        effects: list[Effect] = []
        for at in range(0, len(ordered), PIN_ROWS_MAX):
            if self.bar(LANE_AUTHORITY) or self.standing.has_forked(LANE_AUTHORITY):
                break
            pin = Pin(tuple(ordered[at : at + PIN_ROWS_MAX]), 0)
            effects += self._issue(KIND_PIN, pin.encode(), leaf, now)[0]
        return effects


def _named(item: tree.Move, entry_id: bytes) -> tree.Move:
    """A move under its final key, once its entry has an id."""
    hlc, author, seq, _, index = item.key
    return tree.Move((hlc, author, seq, entry_id, index), item.child, item.parent, item.meta)


def _parts(write: Write) -> tuple[Value, ...]:
    """What of a write counts towards the size of its group: all of it."""
    return tuple(getattr(write, name) for name in type(write).__match_args__)
