"""
Recovery: how a home that is behind its peers gets its own log back before it may write again.

A home that was restored from a copy, or that has lost pages, must not write: its next entry would
stand where another one stands already, and its log would fork. While it recovers its pen is stopped
and links stay open, so that its own entries come back from the peers like anybody else's. It writes
again when each member has stated its head of this node's lanes and all of these are held. Own
entries that were set aside because nobody had them then enter the log: as they are if they continue
it, else signed anew on its head, with the stamps at which they were made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, cast

from attrs import define, evolve, field

from capability.data_body import Data, decode_data, encode_data, parse_op
from capability.entry import KIND_DATA, Entry, SignedHeader, decode_entry, make_entry
from capability.errors import FormError
from capability.keys import PUBLIC_BYTES, Signer
from capability.lane import Place
from capability.ops import OP_ADD, OP_MULTI_VALUE, OP_REMOVE, STRICT, Create, Op
from crdt.codec import Value, decode, encode
from crdt.hlc import milliseconds
from mesh.core.effects import Effect, Log, Persist
from mesh.core.errors import Denied
from mesh.core.inputs import Now
from mesh.core.ports import LogReader
from mesh.core.records import PutEntry, PutMeta, Record
from mesh.replica.held import Held
from mesh.replica.standing import Standing
from mesh.worknode.store import Birth

#: Whether the home recovers, and whom it waits for.
META_RECOVER: Final = "recover"
WAIT_FOR_ALL: Final = b"all"
WAIT_FOR_ONE: Final = b"one"
#: Why the pen was stopped; kept, since a restart alone mends nothing.
META_BLOCKED: Final = "blocked"
#: Own entries that were set aside, encoded; see `mesh.replica.rebuilding`.
META_KEPT: Final = "kept"
#: Keys that this home had before its present one, 32 bytes each: nobody runs under them any more.
META_FORMER: Final = "former"
#: The last ones; each is a person's command. Who had more waits for the first of them in vain.
FORMER_KEYS_MAX: Final = 64
KEPT_BYTES_MAX: Final = 64 * 1024 * 1024
#: Operations whose last field names what they take away.
_KILLING: Final = frozenset({OP_MULTI_VALUE, OP_ADD, OP_REMOVE})
#: Members that a sentence names.
_NAMED_MAX: Final = 3

PARTED: Final = (
    "this home and its peers hold different entries at the same place of its log: the same home "
    "ran twice"
)


@define
class Recovery:
    """What is still to be waited for; idle in a home to which nothing has happened."""

    held: Held
    author: bytes
    mode: bytes = b""
    kept: tuple[Entry, ...] = ()
    former: frozenset[bytes] = frozenset()
    #: What each peer has stated of this node's lanes since the start.
    stated: dict[bytes, tuple[SignedHeader | None, ...]] = field(factory=dict)
    #: Not on disk yet.
    unsaved: list[Record] = field(factory=list)

    @classmethod
    def load(cls, reader: LogReader, held: Held, author: bytes) -> Recovery:
        """What the last run has left."""
        kept: tuple[Entry, ...] = ()
        data = reader.meta(META_KEPT)
        if data is not None:
            kept = decode_kept(data)
        former = former_keys(reader.meta(META_FORMER))
        return cls(held, author, reader.meta(META_RECOVER) or b"", kept, former)

    @property
    def is_active(self) -> bool:
        return bool(self.mode)

    def note(self, peer: bytes, heads: Sequence[SignedHeader | None]) -> bool:
        """What a peer states of the own lanes; whether the two can still be one log."""
        self.stated[peer] = tuple(heads)
        return not any(head and self._is_elsewhere(head) for head in heads)

    def _is_elsewhere(self, head: SignedHeader) -> bool:
        lane = self.held.ledger.lane(self.author, head.header.lane)
        return lane is not None and head.header.seq <= lane.height and not self._holds(head)

    def _holds(self, head: SignedHeader) -> bool:
        lane = self.held.ledger.lane(self.author, head.header.lane)
        return lane is not None and lane.holds(head.header.seq, head.id)

    def absent(self) -> list[bytes]:
        """Members that have not said yet what they hold of this node's log."""
        own = {self.author, *self.former}
        members = self.held.ledger.members()
        return [one for one in members if one not in own and one not in self.stated]

    def is_over(self) -> bool:
        """Whether everything that peers hold of the own log is held here again."""
        if not self.stated or (self.mode != WAIT_FOR_ONE and self.absent()):
            return False
        return self.holds_all_stated()

    def holds_all_stated(self) -> bool:
        """Whether what those who have spoken hold of the own log is held here again."""
        heads = (head for stated in self.stated.values() for head in stated if head)
        return all(map(self._holds, heads))

    def sentence(self, names: Sequence[str]) -> str:
        """Why nothing may be written yet; *names* are those of the absent."""
        if names:
            more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
            waits = f"{', '.join(names[:_NAMED_MAX])}{more} to say what they hold of its log"
        else:
            waits = "its own entries to come back from its peers"
        return f"this home is being repaired: before it writes again it waits for {waits}"

    def finish(
        self, signer: Signer, mesh_id: bytes, body_of: Callable[[Entry], bytes]
    ) -> tuple[list[Effect], list[Entry]]:
        """
        Let in what was set aside, and be over: one commit, and the entries that are new.

        Args:
            signer: The own key.
            mesh_id: What a first entry follows.
            body_of: What of an entry is still to be said, now that the log is whole.
        """
        records: list[Record] = []
        fresh: list[Entry] = []
        pen = _Pen(self.held, signer, mesh_id, body_of)
        for kept in sorted(self.kept, key=lambda e: (e.header.lane, e.header.seq)):
            entry = pen.place(kept)
            if entry is not None:
                n, touched, _ = self.held.hold(entry, wall_ms=0)
                records.append(PutEntry(n, entry, touched, own=True))
                fresh.append(entry)
        records += [PutMeta(key, b"") for key in (META_RECOVER, META_KEPT, META_BLOCKED)]
        self.mode, self.kept = b"", ()
        fields = (("entries", len(fresh)), ("signed_anew", pen.signed_anew))
        return [Persist(tuple(records)), Log("info", "node.recovered", fields)], fresh


@define
class _Pen:
    """Puts own entries that were set aside onto the head of their lane, lowest first."""

    held: Held
    signer: Signer
    mesh_id: bytes
    body_of: Callable[[Entry], bytes]
    signed_anew: int = 0
    #: New ids of what was signed anew, and per lane the least old seq that was.
    _ids: dict[bytes, bytes] = field(factory=dict)
    _first: dict[int, int] = field(factory=dict)

    def place(self, entry: Entry) -> Entry | None:
        """The entry as it may be held now, None if it is held."""
        place = self.held.ledger.continues(entry.header, entry.id)
        if place is Place.HELD:
            return None
        # Before a grant is looked for, which has to be in time for its stamp.
        self.held.clock.observe(entry.header.hlc)
        body = self.body_of(entry)
        is_as_it_was = (body, self._leaf(entry)) == (entry.body, entry.header.leaf)
        if place is Place.NEXT and is_as_it_was and entry.header.lane not in self._first:
            return entry
        # Also one of which nothing is left: what later ones say of distances is true then.
        return self._anew(entry, body)

    def _anew(self, entry: Entry, body: bytes) -> Entry:
        old = entry.header
        first = self._first.setdefault(old.lane, old.seq)
        held = self.held.ledger.lane(old.author, old.lane)
        seq, prev = held.tip if held is not None else (0, self.mesh_id)
        hlc = self.held.clock.tick(0)
        if old.kind == KIND_DATA:
            try:
                data = decode_data(body)
            except FormError:
                pass
            else:
                body = self._moved(data, age=hlc - old.hlc, first=first, old=old.seq, new=seq + 1)
        made = make_entry(
            self.signer,
            mesh_id=self.mesh_id,
            lane=old.lane,
            seq=seq + 1,
            prev=prev,
            hlc=hlc,
            kind=old.kind,
            leaf=self._leaf(entry, hlc),
            body=body,
        )
        self._ids[entry.id] = made.id
        self.signed_anew += 1
        return made

    def _leaf(self, entry: Entry, hlc: int | None = None) -> bytes:
        """The grant under which it is said now: its own, unless that is nowhere any more."""
        old = entry.header
        leaf = self._ids.get(old.leaf, old.leaf)
        if old.kind != KIND_DATA or not leaf or self._serves(leaf, old.author, hlc):
            return leaf
        data, standing, now = self.held.data_of(entry), Standing(self.held, old.author), Now(0, 0)
        draft = _operations(data)
        fresh = {op.node: _birth(op.payload) for op in draft if isinstance(op.payload, Create)}
        births = self.held.store.judging_births(fresh)
        session = data.session if data is not None else b""
        try:
            # Not just any: others may have signed grants to this key that allow little.
            return standing.covering(draft, session, now, births=births).leaf
        except Denied:
            known = standing.candidates(session, now)
            return known[0].leaf if known else leaf

    def _serves(self, leaf: bytes, author: bytes, hlc: int | None) -> bool:
        """Whether a grant is held, and what is signed anew with the stamp *hlc* counts by it."""
        if hlc is None:
            return self.held.ledger.grant(leaf) is not None
        under = self.held.ledger.authority(leaf, author)
        return under is not None and under.nbf_ms <= milliseconds(hlc) < under.exp_ms

    def _moved(self, data: Data, *, age: int, first: int, old: int, new: int) -> bytes:
        """The same operations, as an entry at *new* says them."""

        def back(dot: Value) -> Value:
            r, index = cast("tuple[int, int]", dot)
            # A negative reference counts own entries back. What it names has moved along, unless
            # it stands before all that was set aside.
            return (r - (new - old) if r < 0 and old + r < first else r, index)

        def moved(op: Value) -> Value:
            if not isinstance(op, tuple) or len(op) < 4 or not isinstance(op[3], tuple):
                return op
            code, older, node, dots, *rest = op
            if isinstance(older, int) and code not in STRICT:
                # Loose ones keep the time at which they were written.
                older += age
            killed = rest[-1] if code in _KILLING and rest else None
            if isinstance(killed, tuple):
                rest[-1] = tuple(map(back, killed))
            return (code, older, node, tuple(map(back, cast("tuple[Value, ...]", dots))), *rest)

        refs = tuple(self._ids.get(ref, ref) for ref in data.refs)
        ops = tuple(map(moved, data.ops))
        return encode_data(evolve(data, refs=refs, ops=ops, registers=None))


def _operations(data: Data | None) -> list[Op]:
    listed = range(len(data.ops)) if data is not None else ()
    return [op for at in listed if data is not None and (op := parse_op(data, at)) is not None]


def _birth(made: Create) -> Birth:
    return Birth(made.parent, made.key_class, made.key)


def former_keys(data: bytes | None) -> frozenset[bytes]:
    """What `META_FORMER` says."""
    data = data or b""
    return frozenset(data[at : at + PUBLIC_BYTES] for at in range(0, len(data), PUBLIC_BYTES))


def with_former(data: bytes | None, key: bytes) -> bytes:
    """The value of `META_FORMER` when *key* is one of them, too."""
    return ((data or b"") + key)[-FORMER_KEYS_MAX * PUBLIC_BYTES :]


def encode_kept(entries: Sequence[Entry]) -> bytes:
    """The value of `META_KEPT`."""
    return encode(tuple(entry.encode() for entry in entries))


def decode_kept(data: bytes) -> tuple[Entry, ...]:
    """Read it again. Raises CodecError or CapabilityError if it is damaged."""
    listed = decode(data, size_max=len(data))
    items = listed if isinstance(listed, tuple) else ()
    return tuple(decode_entry(item) for item in items if isinstance(item, bytes))
