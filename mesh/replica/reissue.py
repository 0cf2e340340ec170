"""
Re-issue: the work of a key that cannot go on, said again under this node's new one.

A home that ran twice, or whose clock ran ahead, gets a new key (`mesh.node.rekey`). The data of the
old key's log is set aside; what the mesh holds of it comes back from the peers like anybody else's.
When this node has compared with each member, whatever of it is not held or does not count is
stranded, and enters this node's own log: operation by operation, loose ones with the time at which
they were written, unless that is in the future; strict ones stamped now, since they have no other
time than their entry's. Worknodes keep their ids, which name the old key: a create with a key that
is not one's own needs WRITE on its parent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from attrs import define, evolve, field

from capability.bodies import SESSION
from capability.data_body import Data, parse_op
from capability.entry import LANE_DATA, Entry
from capability.ids import session_id
from capability.ops import STRICT, Create, MultiValue, Op, Payload, SetAdd, SetRemove, WireDot
from mesh.core.effects import Effect, Log, Persist
from mesh.core.errors import Denied, MeshError
from mesh.core.inputs import Now
from mesh.core.ports import LogReader
from mesh.core.records import PutMeta
from mesh.replica.fold import data_of
from mesh.replica.held import Held
from mesh.replica.recovery import META_FORMER, WAIT_FOR_ONE, decode_kept, former_keys
from mesh.replica.writer import Writer
from mesh.worknode.cells import Dot, dot
from mesh.worknode.store import Birth

#: Data entries of the old key, set aside; and whom this node waits for, as in a recovery.
META_STRANDED: Final = "stranded"
META_REISSUE: Final = "reissue"


@define
class Reissue:
    """What is still to be said again; idle in a home whose key is its first."""

    held: Held
    writer: Writer
    mode: bytes = b""
    #: Of one old key, or of several if that happened again; each log in its order.
    entries: tuple[Entry, ...] = ()
    former: frozenset[bytes] = frozenset()
    #: Members with whom this node has been found equal since the start.
    met: set[bytes] = field(factory=set)

    @classmethod
    def load(cls, reader: LogReader, held: Held, writer: Writer) -> Reissue:
        """What a change of key has left. Raises CodecError or CapabilityError if damaged."""
        data = reader.meta(META_STRANDED)
        entries = () if data is None else decode_kept(data)
        former = former_keys(reader.meta(META_FORMER))
        return cls(held, writer, reader.meta(META_REISSUE) or b"", entries, former)

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
        self.met.update(equal)
        may_write = bool(self.writer.standing.candidates(b"", now))
        return may_write and bool(self.met) and (self.mode == WAIT_FOR_ONE or not self.absent())

    def run(self, now: Now) -> list[Effect]:
        """Say again what is stranded: one commit, after which nothing is set aside any more."""
        assert self.writer.group is None, "what was open is sealed"
        effects: list[Effect] = []
        pen = _Pen(self.held, self.writer, self.entries)
        count = 0
        for entry in sorted(self.entries, key=lambda e: (e.header.author, e.header.seq)):
            n = self.held.table.number.get(entry.id)
            if n is not None and self.held.table.counts(n):
                continue
            effects += pen.write(entry, now)
            count += 1
        metas = (PutMeta(META_STRANDED, b""), PutMeta(META_REISSUE, b""))
        fields = (("entries", len(self.entries)), ("reissued", count), ("lost", pen.lost))
        self.entries, self.mode = (), b""
        return [*effects, Persist(metas), Log("info", "node.reissued", fields)]


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

    def __attrs_post_init__(self) -> None:
        self._at = {(e.header.author, e.header.seq): e.id for e in self.entries}

    def write(self, entry: Entry, now: Now) -> list[Effect]:
        data = data_of(entry)
        if data is None:
            self.lost += 1
            return []
        found = [(i, op) for i in range(len(data.ops)) if (op := parse_op(data, i)) is not None]
        self.lost += len(data.ops) - len(found)
        if not found:
            return []
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
        return effects + self.writer.seal()

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
            name = self._session_name(session)
            if name:
                authority, effects = self.writer.open_session(authority, name, now)
        except MeshError as error:
            # What the old key alone may write is refused op by op, visibly; the rest counts.
            if not isinstance(error, Denied):
                effects = []
            authority = standing.candidates(session, now)[0]
        return effects + self.writer.open(authority, session, len(draft), size, now)

    def _session_name(self, session: bytes) -> str:
        """What the old key called a session: the label of the grant that it made for it."""
        ledger = self.held.ledger
        for author in {entry.header.author for entry in self.entries}:
            for _, held in ledger.grants_to(author):
                name = held.grant.label if held.grant is not None else ""
                if held.akind == SESSION and session_id(name) == session:
                    return name
        return ""

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
