"""Random histories: members who write at once, fork, reach beyond their grants and run ahead."""

from __future__ import annotations

from random import Random

from attrs import define, field

from capability import ops, permissions
from capability.bodies import CAVEAT_SESSION, SESSION, Scope
from capability.entry import KIND_DATA, KIND_ENCRYPTED, LANE_DATA, Entry
from capability.ids import TRASH, root_worknode, session_id
from capability.ops import Op, WireDot
from crdt.hlc import pack
from tests.capability.oracle import Proof
from tests.mesh.replica.hand import (
    Hand,
    add,
    append,
    create,
    hand,
    inc,
    move,
    multi,
    put,
    rem,
    root_hand,
)
from tests.mesh.replica.world import TODAY_MS, Mesh, new_mesh

#: How far ahead of the tests' wall clock the stamps of the future are.
FUTURE_MS = 3_600_000
SESSION_ID = session_id("agent")


@define
class History:
    """What was written; proofs of which the entries may be among it or not."""

    mesh: Mesh
    entries: list[Entry] = field(factory=list)
    proofs: list[Proof] = field(factory=list)


@define
class _Teller:
    random: Random
    history: History
    root: Hand
    hands: list[Hand] = field(factory=list)
    nodes: list[bytes] = field(factory=list)
    #: Every add so far: (entry, index, op).
    adds: list[tuple[Entry, int, Op]] = field(factory=list)
    stamp: int = pack(TODAY_MS, 1)
    births: int = 0
    sessions: dict[bytes, bytes] = field(factory=dict)

    def chance(self, percent: int) -> bool:
        return self.random.randrange(100) < percent

    def keep(self, entry: Entry) -> Entry:
        self.history.entries.append(entry)
        return entry

    def begin(self) -> None:
        mesh = self.history.mesh
        top = root_worknode(mesh.id)
        self.keep(mesh.genesis)
        bob, carol, dave, erin = (hand(mesh, name) for name in ("bob", "carol", "dave", "erin"))
        for other in (bob, carol):
            self.keep(self.root.grant(other))
        first = create(top, shared=b"scope")
        under = create(first.node, shared=b"inner")
        # Dave's grant goes deep below; what bears its scope comes by others' data.
        steps = ((1, b"scope"), (1, b"inner"))
        perms = permissions.READ | permissions.CREATE | permissions.OWN
        if self.chance(50):
            perms |= permissions.WRITE
        self.keep(self.root.grant(dave, scopes=(Scope(0, steps, under.node),), perms=perms))
        self.keep(bob.grant(erin, perms=permissions.READ | permissions.COMMENT | permissions.WRITE))
        self.hands += [self.root, bob, carol, dave, erin]
        self.nodes += [top, first.node, under.node]
        for op in (first, under):
            if self.chance(85):
                self.write(self.random.choice((bob, carol)), [op])

    def write(self, by: Hand, listed: list[Op], refs: list[bytes] | None = None) -> None:
        self.stamp += self.random.choice((0, 1, 1, 5))
        hlc = max(self.stamp, by.tips[LANE_DATA][2] + 1)
        session, leaf = b"", by.leaf
        if by.author in self.sessions and self.chance(50):
            leaf = self.sessions[by.author]
            session = SESSION_ID if self.chance(80) else b""
        entry = by.data(*listed, refs=refs or (), hlc=hlc, session=session, leaf=leaf)
        self.keep(entry)
        for index, op in enumerate(listed):
            if op.code in (ops.OP_ADD, ops.OP_MULTI_VALUE, ops.OP_APPEND):
                self.adds.append((entry, index, op))

    def step(self) -> None:
        roll = self.random.randrange(100)
        by = self.random.choice(self.hands)
        if roll < 84:
            self.ops(by)
        elif roll < 90:
            self.fork(by)
        elif roll < 94 and self.history.entries:
            tip = self.random.choice(self.history.entries)
            self.keep(self.root.pin(tip))
        elif roll < 96 and by.leaf:
            extra = hand(self.history.mesh, f"extra{self.random.randrange(3)}")
            self.keep(by.grant(extra))
            self.hands.append(extra)
        elif roll < 98 and by.leaf and by.author not in self.sessions:
            grant = by.grant(
                by.author, akind=SESSION, caveats=((CAVEAT_SESSION, SESSION_ID),), label="agent"
            )
            self.sessions[by.author] = self.keep(grant).id
        else:
            # Of a later version, or nonsense under a good signature: held and inert.
            kind = self.random.choice((KIND_DATA, KIND_ENCRYPTED))
            self.keep(by.write(kind, b"\x93\x01\x02\x03"))

    def fork(self, by: Hand) -> None:
        """The same hand goes on twice from here; of some forks only a proof is known."""
        twin = by.twin()
        if self.chance(30):
            first = by.twin().data(put(self.nodes[0], "lost", 1))
            second = by.twin().data(put(self.nodes[0], "lost", 2))
            self.history.proofs.append((first.signed_header, second.signed_header))
            if self.chance(50):
                self.keep(first)
        elif self.chance(30) and by.leaf:
            self.keep(by.grant(hand(self.history.mesh, "one")))
            self.keep(twin.grant(hand(self.history.mesh, "two")))
            self.hands.append(twin)
        else:
            self.hands.append(twin)
            for which in (by, twin, by.twin()):
                self.ops(which)

    def ops(self, by: Hand) -> None:
        refs: list[bytes] = []
        listed = [self.op(by, refs, at) for at in range(self.random.randrange(1, 5))]
        self.write(by, listed, refs)

    def op(self, by: Hand, refs: list[bytes], index: int) -> Op:
        # Often the same few, so that writes meet.
        node = self.random.choice(self.nodes[: 5 if self.chance(50) else None])
        name = self.random.choice("xy")
        age = self.random.choice((0, 0, 0, 1, 3, 1 << 16))
        roll = self.random.randrange(100)
        if roll < 25:
            return self.birth(by, node)
        if roll < 45:
            target = TRASH if self.chance(10) else self.random.choice(self.nodes)
            return move(node, target, b"%c" % self.random.randrange(60, 90), age=age >> 16)
        if roll < 60:
            return put(node, name, roll, ns=self.random.choice((0, 0, 1, 2, 5, 6)), age=age)
        if roll < 70:
            return add(node, name, roll % 3, self.kills(ops.OP_ADD, node, refs, index), age)
        if roll < 78:
            return rem(node, name, self.kills(ops.OP_ADD, node, refs, index), age)
        if roll < 88:
            kills = self.kills(ops.OP_MULTI_VALUE, node, refs, index)
            return multi(node, name, roll, kills, age)
        if roll < 95:
            return inc(node, name, self.random.randrange(-5, 9), age)
        return append(node, name, roll, age)

    def birth(self, by: Hand, parent: bytes) -> Op:
        if self.chance(30):
            op = create(parent, shared=b"k%d" % self.random.randrange(4))
        else:
            self.births += 1
            whose = by if self.chance(90) else self.random.choice(self.hands)
            op = create(parent, own=(whose.author, self.births), age=0 if self.chance(95) else 1)
        self.nodes.append(op.node)
        return op

    def kills(self, code: int, node: bytes, refs: list[bytes], index: int) -> list[WireDot]:
        """Mostly of adds to this node, some of other cells, of one's own entries or of nothing."""
        found: set[WireDot] = set()
        near = [a for a in self.adds if a[2].code == code and a[2].node == node] or self.adds
        while near and self.chance(60) and len(found) < 4:
            entry, at, _ = self.random.choice(near if self.chance(85) else self.adds)
            if entry.id not in refs:
                refs.append(entry.id)
            found.add((refs.index(entry.id) + 1, at))
        if self.chance(8):
            found.add((-self.random.randrange(0, 4), self.random.randrange(3)))
        if self.chance(3):
            refs.append(self.random.randbytes(32))
            found.add((len(refs), 0))
        return [dot for dot in found if dot[0] != 0 or dot[1] < index]


def history(seed: int, *, steps: int = 30) -> History:
    """One history, the same for the same seed."""
    mesh = new_mesh()
    teller = _Teller(Random(seed), History(mesh), root_hand(mesh))
    teller.begin()
    for _ in range(steps):
        teller.step()
    if teller.chance(50):
        ahead = teller.random.choice(teller.hands[1:])
        teller.stamp = pack(TODAY_MS + FUTURE_MS, 0)
        twin = ahead.twin() if teller.chance(40) else ahead
        for which in (ahead, ahead, twin):
            teller.ops(which)
    return teller.history
