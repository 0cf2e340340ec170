"""Small meshes for tests: identities that need no cryptography, and a log for each of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from attrs import define, evolve, field

from capability.bodies import (
    MEMBER,
    Genesis,
    Grant,
    Pin,
    PinRow,
    Scope,
)
from capability.entry import (
    KIND_DATA,
    KIND_GENESIS,
    KIND_GRANT,
    KIND_PIN,
    LANE_AUTHORITY,
    LANE_DATA,
    Entry,
    Header,
)
from capability.form import Value
from capability.ids import ZERO_ID, body_hash, entry_id, root_worknode, worknode_id
from capability.lane import Place
from capability.ledger import Change, Ledger
from capability.limits import CHAIN_DEPTH_MAX, NEVER_MS
from capability.permissions import ALL
from capability.verdict import Reason, Verdict

__all__ = ["COUNTS", "Log", "Mesh", "deliver", "judged", "key", "void"]

COUNTS = (Verdict.COUNTS, Reason.COUNTS)

#: Stamps of stories begin here, in ms; one entry per ms.
START_MS = 1_000


def key(name: str) -> bytes:
    """The public key of the identity *name*. The ledger never sees signatures."""
    return hashlib.blake2b(name.encode(), digest_size=32).digest()


@define
class Log:
    """One author's hand: it writes at the end of its lanes, or wherever it is told to."""

    mesh: Mesh
    author: bytes
    leaf: bytes = b""
    tips: dict[int, Entry | None] = field(factory=lambda: {LANE_AUTHORITY: None, LANE_DATA: None})

    def twin(self) -> Log:
        """The same identity once more, from the same state: what it writes forks the lane."""
        return evolve(self, tips=dict(self.tips))

    def write(
        self,
        kind: int,
        body: bytes,
        *,
        leaf: bytes | None = None,
        ms: int | None = None,
        prev: bytes | None = None,
    ) -> Entry:
        lane = LANE_DATA if kind >= KIND_DATA else LANE_AUTHORITY
        last = self.tips[lane]
        header = Header(
            author=self.author,
            lane=lane,
            seq=last.header.seq + 1 if last else 1,
            prev=prev or (last.id if last else self.mesh.id),
            hlc=(self.mesh.tick() if ms is None else ms) << 16,
            kind=kind,
            leaf=self.leaf if leaf is None else leaf,
            body_len=len(body),
            body_hash=body_hash(body),
        )
        data = header.encode()
        entry = Entry(entry_id(data), header, data, bytes(64), body)
        self.tips[lane] = entry
        self.mesh.entries.append(entry)
        return entry

    def data(self, text: str = "", **where: object) -> Entry:
        return self.write(KIND_DATA, text.encode(), **where)  # type: ignore[arg-type]

    def grant(
        self, to: Log | bytes, *, entry: dict[str, object] | None = None, **what: object
    ) -> Entry:
        """Pass on everything at the root Worknode, but for what *what* says otherwise."""
        fields: dict[str, object] = {
            "audience": to.author if isinstance(to, Log) else to,
            "akind": MEMBER,
            "scopes": (Scope(0, (), root_worknode(self.mesh.id)),),
            "perms": ALL,
            "max_depth": CHAIN_DEPTH_MAX,
            "nbf_ms": 0,
            "exp_ms": NEVER_MS,
            "caveats": (),
            "label": "",
        }
        body = Grant(**(fields | what)).encode()  # type: ignore[arg-type]
        made = self.write(KIND_GRANT, body, **(entry or {}))  # type: ignore[arg-type]
        if isinstance(to, Log) and not to.leaf:
            to.leaf = made.id
        return made

    def pin(self, *tips: Entry, **where: object) -> Entry:
        """Pin each entry as the tip of its lane."""
        rows: dict[bytes, PinRow] = {}
        for tip in tips:
            row = rows.get(tip.header.author, PinRow(tip.header.author, None, None))
            lane = "data" if tip.header.lane else "auth"
            rows[tip.header.author] = evolve(row, **{lane: (tip.header.seq, tip.id)})
        body = Pin(tuple(rows[author] for author in sorted(rows)), 0).encode()
        return self.write(KIND_PIN, body, **where)  # type: ignore[arg-type]


class Mesh:
    """A mesh with one root key, its clock and everything that was written in it."""

    def __init__(
        self, name: str = "mesh", *, roots: Sequence[str] = ("root",), **what: Value
    ) -> None:
        fields: dict[str, object] = {
            "name": name,
            "nonce": bytes(16),
            "roots": tuple(sorted(key(root) for root in roots)),
            "m": 1,
            "next_roots": ZERO_ID,
            "recovery": ZERO_ID,
            "rules": 1,
            "features": 0,
            "limits": (),
        }
        body = Genesis(**(fields | what)).encode()  # type: ignore[arg-type]
        self.now_ms = START_MS
        self.id = ZERO_ID
        self.entries: list[Entry] = []
        self.root = Log(self, key(roots[0]))
        self.genesis = self.root.write(KIND_GENESIS, body)
        self.id = self.genesis.id

    def tick(self) -> int:
        self.now_ms += 1
        return self.now_ms

    def log(self, name: str, leaf: bytes = b"") -> Log:
        return Log(self, key(name), leaf)

    def scope(self, *keys: str, parent: int = 0, under: bytes | None = None) -> Scope:
        """The scope that shared keys lead to from *under*, by default the root Worknode."""
        steps = tuple((1, step.encode()) for step in keys)
        here = under if under is not None else root_worknode(self.id)
        for key_class, step in steps:
            here = worknode_id(here, key_class, step)
        return Scope(parent, steps, here)

    def ledger(self) -> Ledger:
        """A ledger that holds whatever of the story can be placed."""
        ledger = Ledger(self.id)
        deliver(ledger, self.entries)
        return ledger


def deliver(ledger: Ledger, entries: Sequence[Entry]) -> list[Change]:
    """Bring entries in, those that cannot be placed again and again until nothing moves."""
    changes = []
    waiting = list(entries)
    while waiting:
        left = []
        for entry in waiting:
            place = ledger.place(entry.header, entry.id)
            if place in (Place.NEXT, Place.BRANCH):
                changes.append(ledger.add(entry))
            elif place is not Place.HELD:
                left.append(entry)
        if len(left) == len(waiting):
            break
        waiting = left
    return changes


def void(reason: Reason) -> tuple[Verdict, Reason]:
    return Verdict.VOID, reason


def judged(mesh: Mesh, entry: Entry) -> tuple[Verdict, Reason]:
    """What a ledger says that holds the whole story."""
    return mesh.ledger().judge(entry.header, entry.id)
