"""
Re-issue: the work of a key that cannot go on, said again under this node's new one.

A home that ran twice, or whose clock ran ahead, gets a new key (`mesh.node.rekey`). The data of the
old key's log is set aside; what the mesh holds of it comes back from the peers like anybody else's.
When this node has compared with each member, whatever of it is not held or does not count is
stranded, and enters this node's own log: operation by operation, loose ones with the time at which
they were written, unless that is in the future; strict ones stamped now, since they have no other
time than their entry's. It is done in steps, each one commit that also says how far it came, since
links and doors wait for the engine. Worknodes keep their ids, which name the old key: a create with
a key that is not one's own needs WRITE on its parent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, cast

from attrs import define, evolve, field

from capability.bodies import SESSION
from capability.data_body import Data, parse_op
from capability.entry import LANE_DATA, Entry
from capability.ids import session_id
from capability.ops import STRICT, Create, MultiValue, Op, Payload, SetAdd, SetRemove, WireDot
from crdt.codec import decode, encode
from mesh.core.effects import Effect, Log, Persist
from mesh.core.errors import Denied, MeshError
from mesh.core.inputs import Now
from mesh.core.ports import LogReader
from mesh.core.records import PutMeta
from mesh.replica.held import Held
from mesh.replica.recovery import META_FORMER, WAIT_FOR_ONE, decode_kept, former_keys
from mesh.replica.writer import Writer
from mesh.worknode.cells import Dot, dot
from mesh.worknode.store import Birth

#: Data entries of the old key, set aside; and whom this node waits for, as in a recovery.
META_STRANDED: Final = "stranded"
META_REISSUE: Final = "reissue"
#: How far the steps came: how many entries are done, and which own ones say which of them.
META_REISSUED: Final = "reissued"
#: Half a millisecond each, so a step is about as long as a batch of the driver may be.
STEP_ENTRIES_MAX: Final = 100


@define
class Reissue:
    """What is still to be said again; idle in a home whose key is its first."""

    held: Held
    writer: Writer
    mode: bytes = b""
    #: Of one old key, or of several if that happened again; each log in its order.
    entries: tuple[Entry, ...] = ()
    former: frozenset[bytes] = frozenset()
    #: When the next step is due, in monotonic ms; None before the first.
    due_ms: int | None = None
    #: Of the entries so many are done; the runs (position, own seq, count) were said again.
    done: int = 0
    runs: list[tuple[int, int, int]] = field(factory=list)
    lost: int = 0
    _pen: _Pen | None = None
    #: Members with whom this node has been found equal since the start.
    met: set[bytes] = field(factory=set)

    @classmethod
    def load(cls, reader: LogReader, held: Held, writer: Writer) -> Reissue:
        """What a change of key has left. Raises CodecError or CapabilityError if damaged."""
        data = reader.meta(META_STRANDED)
        entries = () if data is None else decode_kept(data)
        former = former_keys(reader.meta(META_FORMER))
        made = cls(held, writer, reader.meta(META_REISSUE) or b"", ordered(entries), former)
        made.done, made.lost, made.runs = progress(reader.meta(META_REISSUED))
        return made

    @property
    def is_active(self) -> bool:
        return bool(self.entries)

    def absent(self) -> list[bytes]:
        """Members with whom this node has not compared yet."""
        # Also a key that was replaced before it wrote anything, or before it met anybody.
        own = {self.writer.author, *self.former, *(entry.header.author for entry in self.entries)}
        members = self.held.ledger.members()
        return [one for one in members if one not in own and one not in self.met]

    def is_due(self, equal: Iterable[bytes], now: Now) -> bool:
        """Whether those who are known to hold the same are enough to say what is stranded."""
        # A pen that was stopped would fork its log.
        if self.writer.bar() or not self.writer.standing.candidates(b"", now):
            return False
        if self.done:
            # What others held had come before the first step.
            return True
        self.met.update(equal)
        return bool(self.met) and (self.mode == WAIT_FOR_ONE or not self.absent())

    def run(self, now: Now) -> list[Effect]:
        """Say the next of what is stranded again: one commit, and how far it came."""
        assert self.writer.group is None, "what was open is sealed"
        effects: list[Effect] = []
        pen = self._pen = self._pen or self._restored()
        before = pen.lost
        stop = min(self.done + STEP_ENTRIES_MAX, len(self.entries))
        for at in range(self.done, stop):
            entry = self.entries[at]
            n = self.held.table.number.get(entry.id)
            if n is not None and self.held.table.counts(n):
                continue
            seq, more = pen.write(entry, now)
            effects += more
            if seq:
                self._note(at, seq)
        self.done, self.lost = stop, self.lost + pen.lost - before
        if stop < len(self.entries):
            self.due_ms = now.mono_ms
            value = encode((self.done, self.lost, tuple(self.runs)))
            return [*effects, Persist((PutMeta(META_REISSUED, value),))]
        metas = tuple(PutMeta(k, b"") for k in (META_STRANDED, META_REISSUE, META_REISSUED))
        count = sum(run[2] for run in self.runs)
        fields = (("entries", len(self.entries)), ("reissued", count), ("lost", self.lost))
        self.entries, self.mode, self.runs, self._pen = (), b"", [], None
        self.done, self.due_ms = 0, None
        return [*effects, Persist(metas), Log("info", "node.reissued", fields)]

    def _note(self, at: int, seq: int) -> None:
        if self.runs:
            position, first, count = self.runs[-1]
            if (position + count, first + count) == (at, seq):
                self.runs[-1] = (position, first, count + 1)
                return
        self.runs.append((at, seq, 1))

    def _restored(self) -> _Pen:
        """The pen, with what it knew before a restart."""
        pen = _Pen(self.held, self.writer, self.entries)
        lane = self.held.ledger.lane(self.writer.author, LANE_DATA)
        for position, seq, count in self.runs:
            assert lane is not None, "it was written with the same commit"
            for k in range(count):
                pen.remember(self.entries[position + k], self.held.table.number[lane.at(seq + k)])
        return pen


def ordered(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """In the order in which they are said again."""
    return tuple(sorted(entries, key=lambda e: (e.header.author, e.header.seq, e.id)))


def progress(data: bytes | None) -> tuple[int, int, list[tuple[int, int, int]]]:
    """What `META_REISSUED` says: done, lost, runs. Raises CodecError if it is damaged."""
    if not data:
        return 0, 0, []
    done, lost, runs = cast(
        "tuple[int, int, tuple[tuple[int, int, int], ...]]", decode(data, size_max=len(data))
    )
    return done, lost, list(runs)


@define
class _Pen:
    """Turns entries of the old key into entries of the new one."""

    held: Held
    writer: Writer
    entries: Sequence[Entry]
    #: Operations that no version of this program can say: malformed, or of a later one.
    lost: int = 0
    #: Where an operation of the old key stands now.
    _moved: dict[tuple[bytes, int], Dot] = field(factory=dict)
    _at: dict[tuple[bytes, int], bytes] = field(init=False)
    #: What the old keys called their sessions: the labels of the grants that they made for them.
    _names: dict[bytes, str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._at = {(e.header.author, e.header.seq): e.id for e in self.entries}
        self._names = {}
        for author in sorted({entry.header.author for entry in self.entries}):
            for _, held in self.held.ledger.grants_to(author):
                if held.akind == SESSION and held.grant is not None and held.grant.label:
                    self._names.setdefault(session_id(held.grant.label), held.grant.label)

    def remember(self, entry: Entry, n: int) -> None:
        """An entry that was said again, by the one that is held as *n*."""
        data = self.held.data_of(entry)
        for place, (index, _) in enumerate(_parsed(data) if data is not None else ()):
            self._moved[entry.id, index] = dot(n, place)

    def write(self, entry: Entry, now: Now) -> tuple[int, list[Effect]]:
        """One entry: the seq of the new one, 0 if nothing of it can be said; and effects."""
        data = self.held.data_of(entry)
        if data is None:
            self.lost += 1
            return 0, []
        found = _parsed(data)
        self.lost += len(data.ops) - len(found)
        if not found:
            return 0, []
        effects = self._open([op for _, op in found], data, len(entry.body), now)
        group = self.writer.group
        assert group is not None
        for index, op in found:
            age = max(0, group.facts.hlc - (entry.header.hlc - op.age))
            self._moved[entry.id, index] = dot(group.facts.n, len(group.ops))
            self.writer.put(
                group,
                evolve(
                    op,
                    age=0 if op.code in STRICT else age,
                    cites=self._dots(op.cites, entry, data, group.cite),
                    payload=self._payload(op, entry, data, group.cite),
                ),
            )
        return group.facts.seq, effects + self.writer.seal()

    def _open(self, draft: Sequence[Op], data: Data, size: int, now: Now) -> list[Effect]:
        """The group that takes one entry's operations, under the grant by which most count."""
        fresh = {
            op.node: Birth(op.payload.parent, op.payload.key_class, op.payload.key)
            for op in draft
            if isinstance(op.payload, Create)
        }
        standing, session = self.writer.standing, data.session
        births = self.held.store.judging_births(fresh)
        effects: list[Effect] = []
        try:
            authority = standing.covering(draft, session, now, births=births)
            name = self._names.get(session, "")
            if name:
                authority, effects = self.writer.open_session(authority, name, now)
        except MeshError as error:
            # What the old key alone may write is refused op by op, visibly; the rest counts.
            if not isinstance(error, Denied):
                effects = []
            authority = standing.candidates(session, now)[0]
        return effects + self.writer.open(authority, session, len(draft), size, now)

    def _payload(
        self, op: Op, entry: Entry, data: Data, cite: Callable[[Sequence[Dot]], tuple[WireDot, ...]]
    ) -> Payload:
        match op.payload:
            case MultiValue() | SetAdd() | SetRemove():
                return evolve(op.payload, kills=self._dots(op.payload.kills, entry, data, cite))
            case _:
                return op.payload

    def _dots(
        self,
        dots: Sequence[WireDot],
        entry: Entry,
        data: Data,
        cite: Callable[[Sequence[Dot]], tuple[WireDot, ...]],
    ) -> tuple[WireDot, ...]:
        """The same dots, as the new entry names them; those that nobody holds are gone anyway."""
        found: set[Dot] = set()
        for r, index in dots:
            named = self._entry_at(r, entry, data)
            n = self.held.table.number.get(named)
            if (named, index) in self._moved:
                found.add(self._moved[named, index])
            elif n is not None:
                found.add(dot(n, index))
        return cite(sorted(found))

    def _entry_at(self, r: int, entry: Entry, data: Data) -> bytes:
        if r > 0:
            return data.refs[r - 1]
        author, seq = entry.header.author, entry.header.seq + r
        if (author, seq) in self._at:
            return self._at[author, seq]
        lane = self.held.ledger.lane(author, LANE_DATA)
        return lane.at(seq) if lane is not None and 0 < seq <= len(lane) else b""


def _parsed(data: Data) -> list[tuple[int, Op]]:
    return [(i, op) for i in range(len(data.ops)) if (op := parse_op(data, i)) is not None]
