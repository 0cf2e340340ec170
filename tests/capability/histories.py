"""Random histories of a mesh: mostly honest authors, some who fork, widen, back-date and bluff."""

from __future__ import annotations

from itertools import combinations
from random import Random

from attrs import define, evolve

from capability.bodies import (
    CAVEAT_CHILD_PERMS,
    CAVEAT_COMPLEXITY,
    CAVEAT_DEPTH,
    CAVEAT_FIELDS,
    CAVEAT_GLOBS,
    CAVEAT_GRANTS,
    CAVEAT_ISSUE_BEFORE,
    CAVEAT_OPS,
    CAVEAT_PHASES,
    CAVEAT_SEQ,
    CAVEAT_SESSION,
    JOIN,
    LIMIT_VOID_SUFFIX,
    MEMBER,
    SESSION,
    Grant,
    decode_grant,
)
from capability.entry import KIND_GENESIS, KIND_GRANT, KIND_REVOKE, Entry, SignedHeader
from capability.form import Value
from capability.ids import root_worknode
from capability.limits import CHAIN_DEPTH_MAX, NEVER_MS
from capability.permissions import ALL, DELEGATE, REVOKE, WRITE
from tests.capability.story import START_MS, Log, Mesh, key

__all__ = ["History", "history"]

Proof = tuple[SignedHeader, SignedHeader]


@define
class History:
    """What was written, and fork proofs of which the entries may be among it or not."""

    mesh: Mesh
    entries: list[Entry]
    proofs: list[Proof]


@define
class _Teller:
    random: Random
    mesh: Mesh
    hands: dict[bytes, list[Log]]
    leaves: dict[bytes, list[bytes]]
    grants: dict[bytes, Grant]
    names: int = 0

    def chance(self, percent: int) -> bool:
        return self.random.randrange(100) < percent

    def step(self) -> None:
        authors = sorted(self.leaves)
        if self.chance(15):
            authors = [author for author in authors if b"" in self.leaves[author]]
        author = self.random.choice(authors)
        hands = self.hands.setdefault(author, [Log(self.mesh, author)])
        if self.chance(1 if b"" in self.leaves[author] else 6):
            hands.append(self.random.choice(hands).twin())
        hand = self.random.choice(hands) if self.chance(40) else hands[0]
        leaf = self.random.choice(self.leaves[author])
        if self.chance(3):
            leaf = self.random.choice([bytes(32), b"", self.random.choice(self.mesh.entries).id])
        hand.leaf = leaf
        roll = self.random.randrange(100)
        if roll < 32:
            hand.data(str(roll))
        elif roll < 62:
            self.grant(hand)
        elif roll < 90:
            hand.pin(*self.tips())
        else:
            self.misstep(hand, roll)

    def tips(self) -> list[Entry]:
        """Entries to pin: of anybody, or, more to the point, of those who have forked."""
        forked = {author for author, hands in self.hands.items() if len(hands) > 1}
        known = self.mesh.entries
        if self.chance(70):
            known = [entry for entry in known if entry.header.author in forked] or known
        # Late entries more often than early ones, because a pin before the fork says nothing.
        late = known[len(known) // 2 :] if self.chance(50) else known
        return self.random.sample(late, k=min(4, len(late)))

    def misstep(self, hand: Log, roll: int) -> None:
        saved = dict(hand.tips)
        match roll % 5:
            case 0:
                hand.write(KIND_GRANT, b"\x91\x00")
                return
            case 1:
                hand.write(KIND_REVOKE, b"\x90")
                return
            case 2:
                hand.data("of another mesh", prev=key("another mesh"))
            case 3:
                hand.data("too early", ms=0)
            case _:
                twin = evolve(hand, tips=dict(hand.tips))
                for branch in "abc":
                    evolve(twin, tips=dict(hand.tips)).data(branch)
        hand.tips = saved

    def grant(self, hand: Log) -> None:
        parent = self.grants.get(hand.leaf)
        if self.chance(40) and self.leaves:
            audience = self.random.choice(sorted(self.leaves))
        else:
            self.names += 1
            audience = key(f"member {self.names}")
        akind = self.random.choice([MEMBER, MEMBER, MEMBER, JOIN, SESSION])
        if akind == SESSION and self.chance(90):
            audience = hand.author
        above = parent.perms if parent else ALL
        perms = above if self.chance(60) else self.random.randrange(ALL + 1) & above
        perms |= above & DELEGATE if self.chance(90) else 0
        depth = parent.max_depth if parent else CHAIN_DEPTH_MAX
        made = hand.grant(
            audience,
            akind=akind,
            perms=ALL if self.chance(4) else perms,
            scopes=(self.scope(parent),),
            max_depth=depth + self.chance(3) if self.chance(80) else self.random.randrange(9),
            nbf_ms=self.random.randrange(START_MS + 300) if self.chance(8) else self.nbf(parent),
            exp_ms=START_MS + self.random.randrange(300) if self.chance(12) else self.exp(parent),
            caveats=self.caveats(akind),
        )
        self.leaves.setdefault(audience, []).append(made.id)
        self.grants[made.id] = decode_grant(made.body)

    def nbf(self, parent: Grant | None) -> int:
        return parent.nbf_ms if parent else 0

    def exp(self, parent: Grant | None) -> int:
        return parent.exp_ms if parent else NEVER_MS

    def scope(self, parent: Grant | None) -> object:
        above = parent.scopes[0].id if parent else root_worknode(self.mesh.id)
        if self.chance(3):
            above = key("elsewhere")[:16]
        steps = [str(self.random.randrange(2)) for _ in range(self.random.choice([0, 0, 0, 1, 2]))]
        return self.mesh.scope(*steps, under=above)

    def caveats(self, akind: int) -> tuple[tuple[int, Value], ...]:
        found: dict[int, Value] = {}
        if akind == SESSION and self.chance(90):
            found[CAVEAT_SESSION] = bytes(16)
        if akind == JOIN and self.chance(50):
            found[CAVEAT_GRANTS] = self.random.randrange(1, 3)
        if self.chance(25):
            # Reserved and unknown ones, and some whose value has not its form, deny all acts.
            name, value = self.random.choice(
                [
                    (CAVEAT_GLOBS, "*"),
                    (CAVEAT_PHASES, ()),
                    (CAVEAT_COMPLEXITY, 1),
                    (99, None),
                    (CAVEAT_OPS, self.random.choice([(1, 2), (1, 2), 1, (b"",)])),
                    (CAVEAT_FIELDS, self.random.choice([("a",), ("a", "b"), "a", (1,)])),
                    (CAVEAT_SEQ, self.random.choice([1, 5, -1, True])),
                    (CAVEAT_DEPTH, self.random.choice([1, 2, 3, 4, True])),
                    (CAVEAT_CHILD_PERMS, DELEGATE | WRITE | REVOKE),
                    (CAVEAT_ISSUE_BEFORE, START_MS + self.random.randrange(150)),
                ]
            )
            found[name] = value
        return tuple(sorted(found.items()))


def history(seed: int, *, steps: int) -> History:
    """The history that this seed gives; some entries are withheld, proofs stand for some."""
    random = Random(seed)
    # In every third mesh, data lanes end after a few dead entries.
    limits = ((LIMIT_VOID_SUFFIX, 1 + seed % 4),) if seed % 3 == 0 else ()
    mesh = Mesh(f"mesh {seed}", roots=("root", "second root"), limits=limits)
    roots = {key(name): [b""] for name in ("root", "second root")}
    teller = _Teller(random, mesh, {mesh.root.author: [mesh.root]}, roots, {})
    for _ in range(steps):
        teller.step()
    places: dict[tuple[bytes, int, int, bytes], list[Entry]] = {}
    for entry in mesh.entries:
        header = entry.header
        if header.kind != KIND_GENESIS:
            place = (header.author, header.lane, header.seq, header.prev)
            places.setdefault(place, []).append(entry)
    proofs = [
        (first.signed_header, second.signed_header)
        for rivals in places.values()
        for first, second in combinations(rivals, 2)
        if first.id != second.id and random.randrange(2)
    ]
    proved = {half.id for pair in proofs for half in pair}
    withheld = {entry_id for entry_id in sorted(proved) if random.randrange(100) < 40}
    if random.randrange(2):
        withheld |= {e.id for e in mesh.entries[1:] if random.randrange(100) < 3}
    kept = [entry for entry in mesh.entries if entry.id not in withheld]
    return History(mesh, kept, proofs)
