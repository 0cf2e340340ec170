"""
From entries to state: which operations are folded, which wait, and what is folded anew.

An operation is folded once, when its entry counts and it counts itself. One whose birth path is
not known waits under the missing Worknode. When the verdict of an entry changes, the Worknodes it
touches are cleared and folded again from the log; the result is the same as folding from scratch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from attrs import define, field, frozen

from capability.authority import Authority
from capability.data_body import Data, parse_op
from capability.entry import LANE_DATA, Entry
from capability.ledger import Ledger
from capability.notary import data_of
from capability.ops import (
    LOOSE,
    Append,
    Create,
    Increment,
    Move,
    MultiValue,
    Op,
    Register,
    SetAdd,
    SetRemove,
    WireDot,
)
from capability.verdict import Verdict
from crdt import tree
from mesh.replica.drafts import Draft, EventDrafts, Facts
from mesh.replica.judge import judge
from mesh.replica.plain import PlainFold
from mesh.replica.required import births_in
from mesh.replica.table import EntryTable
from mesh.worknode.births import Stops
from mesh.worknode.cells import COUNTER, LOG, MULTI, REGISTER, SET, Dot, dot
from mesh.worknode.store import Birth, Births, Creation, Store

#: Remembered permissions: per grant, and grants. A guess: the Worknodes that one agent works on.
_ALLOWED_MAX: Final = 4_096
_ALLOWED_GRANTS_MAX: Final = 64
#: Decoded bodies that are kept for operations which wait. A guess: one per author who is ahead.
_BODIES_MAX: Final = 8


def facts_of(n: int, entry: Entry) -> Facts:
    """The facts of a held entry."""
    header = entry.header
    return Facts(n, entry.id, header.author, header.seq, header.hlc, header.leaf)


def touched_by(data: Data | None) -> tuple[bytes, ...]:
    """The Worknodes whose fold depends on this body."""
    return () if data is None else data.nodes


@frozen
class Context:
    """One entry while its operations are folded; `moves` and `events` are collected."""

    facts: Facts
    session: bytes
    refs: Sequence[bytes]
    authority: Authority
    moves: list[tuple[tree.Move, int, Dot]]
    events: EventDrafts
    #: (Worknode, namespace) pairs found to be allowed: that stays so until births are forgotten.
    allowed: set[tuple[bytes, int]] = field(factory=set)


def _names_before_first(op: Op, seq: int) -> bool:
    """Whether a dot of the operation names an own entry before seq 1."""
    # Ascending, so that the first dot reaches furthest back.
    if op.cites and -op.cites[0][0] >= seq:
        return True
    kills: tuple[WireDot, ...] = getattr(op.payload, "kills", ())
    return bool(kills) and -kills[0][0] >= seq


@define
class Fold:
    """The store, and the operations that wait. *read* gives held entries by number."""

    store: Store
    table: EntryTable
    ledger: Ledger
    read: Callable[[int], Entry]
    touching: Callable[[bytes], Iterable[int]]
    data_of: Callable[[Entry], Data | None] = data_of
    #: missing Worknode → operations that wait for its birth: (n, index).
    waiting: dict[bytes, dict[tuple[int, int], None]] = field(factory=dict)
    #: Operations refused, by reason, since the start; for `status` and the audit.
    refused: dict[str, int] = field(factory=dict)
    drafts: list[Draft] = field(factory=list)
    #: While nobody is to hear of what is folded: it happened before.
    is_quiet: bool = False
    births: Births = field(init=False)
    #: Scopes of whatever has waited, and the root; found when first asked for.
    _stops: Stops | None = field(default=None, repr=False)
    _plain: PlainFold = field(init=False)
    _bodies: dict[int, Data | None] = field(factory=dict)
    #: What `Context.allowed` has by (leaf, author): bounded, since it can be found anew.
    _allowed: dict[tuple[bytes, bytes], set[tuple[bytes, int]]] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.births = self.store.judging_births()
        self._plain = PlainFold(self.store)

    @property
    def undecided(self) -> int:
        """How many operations wait for a birth."""
        # Where births were forgotten, one may wait under two of those that its path lacks.
        counts = self.table.counts
        return len({op for ops in self.waiting.values() for op in ops if counts(op[0])})

    def learn_births(self, data: Data | None) -> None:
        """Take note of the births that a required body states, whether or not it counts."""
        for node, payload in births_in(data):
            self.learn_birth(node, payload)

    def forget_births(self, gone: set[bytes]) -> set[bytes]:
        """
        Births that no required body states any more; the Worknodes to be folded again.

        Cost: O(births below + moves). It takes a fork, or a grant that counts no more, of somebody
        who wrote below what only he had created.
        """
        touched = self.store.forget_births(gone)
        if self._stops is not None:
            self._stops.ends.clear()
        self.births = self.store.judging_births()
        self._plain = PlainFold(self.store)
        self._allowed.clear()
        return touched

    def learn_birth(self, node: bytes, payload: Create) -> None:
        """One birth; operations that waited for it are judged anew."""
        birth = Birth(payload.parent, payload.key_class, payload.key)
        if self.store.birth(node, birth):
            self._wake(node)

    def _wake(self, node: bytes) -> None:
        waiting = self.waiting.pop(node, {})
        if not waiting or self._wait_above(node, waiting):
            return
        by_entry: dict[int, list[int]] = {}
        for n, index in waiting:
            by_entry.setdefault(n, []).append(index)
        for n, indexes in by_entry.items():
            if self.table.counts(n):
                entry = self.read(n)
                data = self._body(n, entry)
                if data is not None:
                    self.fold(facts_of(n, entry), data, indexes=indexes)

    def _wait_above(self, node: bytes, waiting: dict[tuple[int, int], None]) -> bool:
        """
        Let what waited for *node* wait for the next unknown birth above it, if there is one.

        No operation is judged for that: a member could let thousands wait at the lower end of a
        chain of births, and show it from below. Where a scope lies between, each is judged.
        """
        if self._stops is None:
            stops = {self.births.root}
            for n in {n for ops in (waiting, *self.waiting.values()) for n, _ in ops}:
                grant = self.ledger.grant(self.table.header_facts(n)[4])
                stops.update(scope.id for scope in (grant.scopes if grant else ()))
            self._stops = Stops(stops)
        # By what is remembered of walks: many may wait below one end of a chain of any length.
        _, missing = self._stops.missing_ancestor(node, self.births)
        if missing is None:
            return False
        node = missing
        known = self.waiting.setdefault(node, waiting)
        if known is not waiting:
            small, large = sorted((known, waiting), key=len)
            large.update(small)
            self.waiting[node] = large
        return True

    def _body(self, n: int, entry: Entry) -> Data | None:
        """A body, kept for a while: the births that an entry waits for tend to come together."""
        if n not in self._bodies:
            if len(self._bodies) >= _BODIES_MAX:
                self._bodies.pop(next(iter(self._bodies)))
            self._bodies[n] = self.data_of(entry)
        return self._bodies[n]

    def fold(
        self,
        facts: Facts,
        data: Data,
        *,
        indexes: Iterable[int] | None = None,
        only: Collection[bytes] | None = None,
    ) -> None:
        """Fold the operations of a counted entry: all, those of *indexes*, or those on *only*."""
        authority = self.ledger.authority(facts.leaf, facts.author)
        if authority is None:
            return
        events = EventDrafts(facts, data.session)
        left: Iterable[int] = range(len(data.ops)) if indexes is None else indexes
        if indexes is None and only is None:
            written = self._plain.fold(facts, data, authority, self.births)
            if written is not None:
                if not self.is_quiet:
                    events.note_fields(written)
                left = data.others()
        moves: list[tuple[tree.Move, int, Dot]] = []
        allowed = self._allowed_by(facts.leaf, facts.author)
        context = Context(facts, data.session, data.refs, authority, moves, events, allowed)
        for index in left:
            op = parse_op(data, index)
            if op is None:
                self.refuse("malformed or unknown operation")
            elif only is None or op.node in only:
                self.fold_op(context, index, op)
        if moves:
            self.store.move(moves)
        if not self.is_quiet:
            self.drafts.extend(events.drafts())

    def _allowed_by(self, leaf: bytes, author: bytes) -> set[tuple[bytes, int]]:
        allowed = self._allowed.get((leaf, author))
        if allowed is None or len(allowed) > _ALLOWED_MAX:
            if len(self._allowed) >= _ALLOWED_GRANTS_MAX:
                self._allowed.clear()
            allowed = self._allowed[leaf, author] = set()
        return allowed

    def fold_op(self, context: Context, index: int, op: Op) -> None:
        """Judge one operation and join it if it counts; moves are left to the caller to join."""
        facts = context.facts
        hlc = facts.hlc - op.age
        if hlc < 0:
            self.refuse("operation older than time")
            return
        if _names_before_first(op, facts.seq):
            self.refuse("cites an entry before the first")
            return
        if not self._may(context, index, op):
            return
        at = dot(facts.n, index)
        if isinstance(op.payload, Move):
            key = (hlc, facts.author, facts.seq, facts.id, index)
            item = tree.Move(key, op.node, op.payload.parent, op.payload.pos)
            context.moves.append((item, hlc, at))
        else:
            self._join(op, hlc, at, context)
        if not self.is_quiet:
            context.events.note(op)

    def _may(self, context: Context, index: int, op: Op) -> bool:
        """Whether the operation counts; if that is not known yet it is left to wait."""
        facts, authority = context.facts, context.authority
        # Without caveats the answer for a field depends on its Worknode and namespace alone.
        plain = op.code in LOOSE and not authority.caveats
        if plain and (op.node, op.payload.ns) in context.allowed:  # type: ignore[union-attr]
            return True
        found = judge(
            op,
            authority=authority,
            author=facts.author,
            session=context.session,
            seq=facts.seq,
            births=self.births,
        )
        if found.verdict is Verdict.COUNTS:
            if plain:
                context.allowed.add((op.node, op.payload.ns))  # type: ignore[union-attr]
            return True
        if found.verdict is Verdict.UNDECIDED:
            assert found.missing is not None
            self.waiting.setdefault(found.missing, {})[(facts.n, index)] = None
            if self._stops is not None:
                self._stops.add(authority.scopes, self.births)
        else:
            self.refuse(found.reason)
        return False

    def refuse(self, reason: str) -> None:
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def _join(self, op: Op, hlc: int, at: Dot, context: Context) -> None:
        store, node = self.store, op.node
        payload = op.payload
        # Most operations are these, and a class pattern costs more than the join.
        if isinstance(payload, Register):
            store.put(node, (payload.ns, payload.name, REGISTER), hlc, at, payload.value)
            return
        match payload:
            case Create(kind=kind, schema=schema, mode=mode, pos=pos):
                store.create(node, at, Creation(kind, schema, mode, pos, hlc))
            case MultiValue(ns, name, value, kills):
                key = (ns, name, MULTI)
                store.kill(node, key, hlc, at, self._killed(kills, context))
                store.add(node, key, hlc, at, value)
            case SetAdd(ns, name, value, kills):
                key = (ns, name, SET)
                store.kill(node, key, hlc, at, self._killed(kills, context))
                store.add(node, key, hlc, at, value)
            case SetRemove(ns, name, kills):
                store.kill(node, (ns, name, SET), hlc, at, self._killed(kills, context))
            case Increment(ns, name, amount):
                store.increment(node, (ns, name, COUNTER), hlc, at, amount)
            case Append(ns, name, value):
                store.add(node, (ns, name, LOG), hlc, at, value)
            case _:
                raise AssertionError(f"{op.payload!r} was judged to count")

    def _killed(self, kills: Iterable[WireDot], context: Context) -> list[tuple[Dot | None, bytes]]:
        """Wire dots as (local dot if its entry is held, its name everywhere)."""
        facts = context.facts
        found: list[tuple[Dot | None, bytes]] = []
        for r, index in kills:
            if r == 0:
                found.append((dot(facts.n, index), facts.id + index.to_bytes(2, "big")))
                continue
            entry_id = context.refs[r - 1] if r > 0 else self._own_ancestor(facts, -r)
            n = self.table.number.get(entry_id)
            at = None if n is None else dot(n, index)
            found.append((at, entry_id + index.to_bytes(2, "big")))
        return found

    def _own_ancestor(self, facts: Facts, back: int) -> bytes:
        """
        The id of the author's entry *back* places before this one, on this one's branch.

        Cost: O(1); off the main chain O(its branch).
        """
        lane = self.ledger.lane(facts.author, LANE_DATA)
        assert lane is not None and back < facts.seq
        here, entry_id = facts.seq, facts.id
        while here > facts.seq - back and entry_id in lane.branches:
            here, entry_id = here - 1, lane.branches[entry_id][1]
        return lane.at(facts.seq - back) if here > facts.seq - back else entry_id

    def fold_again(self, nodes: Iterable[bytes]) -> None:
        """
        Clear these Worknodes and fold them from the log, without events.

        Cost: O(entries that touch them): each is read once, however many of them it touches.
        """
        again = set(nodes)
        self.store.clear_all(sorted(again))
        was_quiet, refused = self.is_quiet, dict(self.refused)
        self.is_quiet = True
        for n in sorted({n for node in again for n in self.touching(node)}):
            if self.table.counts(n):
                entry = self.read(n)
                data = self.data_of(entry)
                if data is not None:
                    self.fold(facts_of(n, entry), data, only=again)
        self.is_quiet, self.refused = was_quiet, refused
