"""
The verdicts by their definitions: a SET of entries and fork proofs in, everything out, no order.

Slow and plain on purpose, and written without the code that it judges: it shares the readers of
bodies and the hashes with it, nothing else. Cost: O(n²) and worse.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cache
from itertools import pairwise

from attrs import frozen

from capability import bodies as b
from capability.bodies import Grant, Pin, decode_genesis, decode_grant, decode_pin
from capability.entry import KIND_GENESIS, KIND_GRANT, KIND_PIN, Entry, Header, SignedHeader
from capability.errors import FormError
from capability.ids import DOMAIN_PROOF, digest, root_worknode, worknode_id
from capability.limits import CHAIN_DEPTH_MAX, NEVER_MS, VOID_SUFFIX_MAX
from capability.permissions import ALL, DELEGATE, REVOKE
from capability.verdict import Verdict

Proof = tuple[SignedHeader, SignedHeader]
Row = tuple[int, bytes, bytes]
Chain = tuple[Entry, ...]

COUNTS, VOID, UNDECIDED = Verdict.COUNTS, Verdict.VOID, Verdict.UNDECIDED
DIRECT = {b.CAVEAT_CHILD_PERMS, b.CAVEAT_GRANTS, b.CAVEAT_ISSUE_BEFORE}


@frozen
class Result:
    """What follows from a set. Of what is held, only what is required can make a difference."""

    held: frozenset[bytes]
    required: frozenset[bytes]
    counted: frozenset[bytes]
    introduced: frozenset[bytes]
    verdicts: dict[bytes, Verdict]
    rows: dict[tuple[bytes, int], Row]


def evaluate(mesh_id: bytes, entries: Iterable[Entry], proofs: Iterable[Proof] = ()) -> Result:
    """
    Everything that a ledger ought to say of this set, whoever of its authors is introduced.

    What is held of authors who are not has no effect, so it may be in the set or not.
    """
    given = {entry.id: entry for entry in entries}
    if mesh_id not in given:
        return Result(frozenset(), frozenset(), frozenset(), frozenset(), {}, {})
    held = {mesh_id: given[mesh_id]}
    while True:
        more = {
            entry.id: entry
            for entry in given.values()
            if entry.id not in held and entry.header.kind != KIND_GENESIS
            if _follows(mesh_id, entry.header, held)
        }
        if not more:
            break
        held |= more
    return _Judge(mesh_id, held, list(proofs)).result()


def _follows(mesh_id: bytes, header: Header, held: dict[bytes, Entry]) -> bool:
    """Whether an entry is chained to what is held."""
    genesis = held[mesh_id].header
    if header.seq == 1:
        founding = (header.author, header.lane) == (genesis.author, genesis.lane)
        return header.prev == mesh_id and not founding
    before = held.get(header.prev)
    return (
        before is not None
        and (before.header.author, before.header.lane) == (header.author, header.lane)
        and before.header.seq == header.seq - 1
        and before.header.hlc < header.hlc
    )


@cache
def _decoded(kind: int, body: bytes) -> Grant | Pin | None:
    try:
        return decode_grant(body) if kind == KIND_GRANT else decode_pin(body)
    except FormError:
        return None


def grant_of(entry: Entry) -> Grant | None:
    found = _decoded(KIND_GRANT, entry.body) if entry.header.kind == KIND_GRANT else None
    return found if isinstance(found, Grant) else None


def pin_of(entry: Entry) -> Pin | None:
    found = _decoded(KIND_PIN, entry.body) if entry.header.kind == KIND_PIN else None
    return found if isinstance(found, Pin) else None


def chain_to(
    mesh_id: bytes, held: dict[bytes, Entry], roots: Collection[bytes], leaf: bytes
) -> Chain | Verdict:
    """The links from the root to a leaf if they attenuate, else VOID, or UNDECIDED for a gap."""
    links: list[Entry] = []
    here = leaf
    while here:
        entry = held.get(here)
        if entry is None or entry.header.kind != KIND_GRANT:
            # What is seen to be bad stays so, whatever its missing ancestors turn out to be.
            return VOID if _seen_bad(links, None) else UNDECIDED
        links.insert(0, entry)
        if grant_of(entry) is None:
            return VOID
        here = entry.header.leaf
    if not links or links[0].header.author not in roots or _seen_bad(links, mesh_id):
        return VOID if links else ()
    return tuple(links)


def _seen_bad(links: list[Entry], mesh_id: bytes | None) -> bool:
    """Whether a link is not by its parent's audience or, with the root known, is too wide."""
    for above, below in pairwise(links):
        if _grant(above).audience != below.header.author:
            return True
    if mesh_id is None:
        return False
    return any(_too_wide(mesh_id, links[: depth + 1]) for depth in range(len(links)))


def _grant(entry: Entry) -> Grant:
    grant = grant_of(entry)
    assert grant is not None
    return grant


def _paths(mesh_id: bytes, links: Collection[Entry]) -> list[list[bytes]] | None:
    """For each scope of the last link every Worknode from the root down to it."""
    paths = [[root_worknode(mesh_id)]]
    for link in links:
        new = []
        for scope in _grant(link).scopes:
            if scope.parent_scope >= len(paths):
                return None
            path = list(paths[scope.parent_scope])
            for key_class, key in scope.steps:
                path.append(worknode_id(path[-1], key_class, key))
            if path[-1] != scope.id:
                return None
            new.append(path)
        paths = new
    return paths


def _too_wide(mesh_id: bytes, links: list[Entry]) -> bool:
    """Whether the last of these links passes on more than it has."""
    *above, entry = links
    child = _grant(entry)
    parents = [_grant(link) for link in above]
    perms = parents[-1].perms if parents else ALL
    depths = [CHAIN_DEPTH_MAX, *(parent.max_depth for parent in parents)]
    times = [(parent.nbf_ms, parent.exp_ms) for parent in parents] or [(0, NEVER_MS)]
    caveats = [pair for grant in (*parents, child) for pair in grant.caveats]
    ms = entry.header.hlc >> 16
    wrong = [
        not perms & DELEGATE,
        bool(child.perms & ~perms),
        len(links) > min(depths),
        child.max_depth > min(depths),
        child.nbf_ms < max(nbf for nbf, _ in times),
        child.exp_ms > min(exp for _, exp in times),
        _paths(mesh_id, links) is None,
        any(
            key == b.CAVEAT_DEPTH and type(value) is int and len(links) > value
            for key, value in caveats
        ),
        _acts_barred(parents),
        child.akind == b.SESSION
        and (child.audience != entry.header.author or child.caveat(b.CAVEAT_SESSION) is None),
    ]
    for key, value in parents[-1].caveats if parents else ():
        if type(value) is not int:
            continue
        if key == b.CAVEAT_CHILD_PERMS:
            wrong.append(child.perms | value != value)
        if key == b.CAVEAT_GRANTS:
            wrong.append(entry.header.seq > value)
        if key == b.CAVEAT_ISSUE_BEFORE:
            wrong.append(ms >= value)
    return any(wrong)


def _acts_barred(grants: Iterable[Grant]) -> bool:
    """Whether a caveat denies all, or wants a session, which no authority entry has."""
    numbers = {b.CAVEAT_SEQ, b.CAVEAT_DEPTH, *DIRECT}
    lists = {b.CAVEAT_OPS: int, b.CAVEAT_FIELDS: str}
    for key, value in (pair for grant in grants for pair in grant.caveats):
        listed = isinstance(value, tuple) and {type(item) for item in value} <= {lists.get(key)}
        if not (
            (key in numbers and type(value) is int and value >= 0) or (key in lists and listed)
        ):
            return True
    return False


class _Judge:
    def __init__(self, mesh_id: bytes, held: dict[bytes, Entry], proofs: list[Proof]) -> None:
        self.mesh_id, self.held = mesh_id, held
        self.genesis = decode_genesis(held[mesh_id].body)
        self.roots = frozenset(self.genesis.roots)
        self.dead_max = self.genesis.limit(b.LIMIT_VOID_SUFFIX, VOID_SUFFIX_MAX)
        self.memo: dict[bytes, Verdict | None] = {}
        self.grants = [entry for entry in held.values() if grant_of(entry) is not None]
        # Every chained id by lane and seq, of entries and of proofs; and what precedes it.
        self.chained: dict[tuple[bytes, int], dict[int, set[bytes]]] = {}
        self.prev: dict[bytes, bytes] = {}
        for entry in held.values():
            self._chain(entry.header, entry.id)
        for pair in proofs:
            good = all(
                half.header.kind != KIND_GENESIS and _follows(mesh_id, half.header, held)
                for half in pair
            )
            for half in pair if good else ():
                self._chain(half.header, half.id)

    def _chain(self, header: Header, entry_id: bytes) -> None:
        lane = self.chained.setdefault((header.author, header.lane), {})
        lane.setdefault(header.seq, set()).add(entry_id)
        self.prev[entry_id] = header.prev

    def result(self) -> Result:
        verdicts = {entry_id: self.judge(entry_id) for entry_id in self.held}
        known = self.roots | {_grant(e).audience for e in self.grants if verdicts[e.id] is COUNTS}
        rows = {key: self.row(key) for key in self.chained if key[0] in known}
        rows = {key: row for key, row in rows.items() if row[0] or row[2]}
        required = {entry_id for seq, head, _ in rows.values() for entry_id in self.line(head)}
        required.add(self.mesh_id)
        counted = frozenset(entry_id for entry_id in self.held if verdicts[entry_id] is COUNTS)
        assert counted <= required, "what counts is required"
        return Result(frozenset(self.held), frozenset(required), counted, known, verdicts, rows)

    def fork(self, key: tuple[bytes, int]) -> int | None:
        """The least seq of two chained entries, unless the lane has ended before it."""
        forks = [seq for seq, ids in self.chained[key].items() if len(ids) > 1]
        if not forks:
            return None
        before = {self.prev[entry_id] for entry_id in self.chained[key][min(forks)]}
        (prev,) = before
        return min(forks) if self.dead(key, self.line(prev)) < self.dead_max else None

    def dead(self, key: tuple[bytes, int], line: Iterable[bytes]) -> int:
        """How many of these entries are dead; authority lanes have no dead entries."""
        if key[1] == 0:
            return -1
        return sum(isinstance(self.granted(self.held[entry_id]), Verdict) for entry_id in line)

    def is_within(self, entry: Entry) -> bool:
        """Whether its lane has not ended before it."""
        key = (entry.header.author, entry.header.lane)
        return self.dead(key, self.line(entry.header.prev)) < self.dead_max

    def under(self, header: Header) -> Chain | Verdict:
        if not header.leaf:
            return () if header.author in self.roots and self.genesis.m == 1 else VOID
        leaf = self.held.get(header.leaf)
        grant = grant_of(leaf) if leaf is not None else None
        if grant is not None and grant.audience != header.author:
            return VOID
        return chain_to(self.mesh_id, self.held, self.roots, header.leaf)

    def judge(self, entry_id: bytes) -> Verdict:
        if entry_id not in self.memo:
            self.memo[entry_id] = None
            self.memo[entry_id] = self._judge(self.held[entry_id])
        verdict = self.memo[entry_id]
        assert verdict is not None, "ill-founded"
        return verdict

    def granted(self, entry: Entry) -> Chain | Verdict:
        """The chain by which an entry is made in time, each link of which counts."""
        header = entry.header
        chain = self.under(header)
        if not isinstance(chain, Verdict) and chain:
            leaf = _grant(chain[-1])
            in_time = leaf.nbf_ms <= header.hlc >> 16 < leaf.exp_ms
            if self.judge(chain[-1].id) is not COUNTS or not in_time:
                return VOID
        return chain

    def _judge(self, entry: Entry) -> Verdict:
        header = entry.header
        if entry.id == self.mesh_id:
            return COUNTS
        if (own := self._of_bytes(entry)) is not None:
            return own
        chain = self.granted(entry)
        if isinstance(chain, Verdict):
            return chain
        if header.lane == 0 and _acts_barred(_grant(link) for link in chain):
            return VOID
        key = (header.author, header.lane)
        fork = self.fork(key)
        if fork is None or header.seq < fork:
            return COUNTS if self.is_within(entry) else VOID
        heard = self.heard(key, len(chain))
        tips = [tip for pin, tip in heard if self.binds(pin, chain)]
        return COUNTS if any(entry.id in self.line(tip) for tip in tips) else VOID

    def _of_bytes(self, entry: Entry) -> Verdict | None:
        """What the bytes of a grant or pin and of its chain settle already."""
        if entry.header.kind == KIND_GRANT and grant_of(entry) is not None:
            own = chain_to(self.mesh_id, self.held, self.roots, entry.id)
            return own if isinstance(own, Verdict) else None
        malformed = entry.header.kind in (KIND_GRANT, KIND_PIN) and pin_of(entry) is None
        return VOID if malformed else None

    def line(self, entry_id: bytes) -> list[bytes]:
        """An entry and all its ancestors."""
        found = []
        while entry_id in self.held and entry_id != self.mesh_id:
            found.append(entry_id)
            entry_id = self.held[entry_id].header.prev
        return found

    def binds(self, pin: Entry, chain: Chain) -> bool:
        by = self.under(pin.header)
        if isinstance(by, Verdict) or len(by) >= len(chain) or self.judge(pin.id) is not COUNTS:
            return False
        if chain[: len(by)] == by:
            return True
        roofs = {scope.id for scope in _grant(by[-1]).scopes}
        paths = _paths(self.mesh_id, chain)
        assert paths is not None
        return bool(_grant(by[-1]).perms & REVOKE) and all(roofs & set(path) for path in paths)

    def heard(self, key: tuple[bytes, int], rank: int) -> list[tuple[Entry, bytes]]:
        """
        The pins that select the one branch of a forked lane, with their tips, all on that branch.

        By what ranks before *rank*, of which those of a greater one take nothing back.
        """
        author, lane = key
        fork = self.fork(key)
        assert fork is not None
        chains = [chain for entry in self.grants for chain in self._passed(entry, author, rank)]
        found = []
        for pin in self.held.values():
            for row in getattr(pin_of(pin), "rows", ()):
                tip = row.data if lane else row.auth
                if row.author != author or tip is None or tip[0] < fork:
                    continue
                target = self.held.get(tip[1])
                if target is None:
                    continue
                where = (target.header.author, target.header.lane, target.header.seq)
                levels = [len(chain) for chain in chains if self.binds(pin, chain)]
                if where == (author, lane, tip[0]) and levels and self.is_within(target):
                    under = self.under(pin.header)
                    assert isinstance(under, tuple)
                    found.append((min(levels), len(under), pin.id, tip[1], pin))
        line: list[bytes] = []
        heard = []
        for *_, tip_id, pin in sorted(found, key=lambda item: item[:3]):
            if not line or line[0] in self.line(tip_id):
                line = self.line(tip_id)
            if tip_id in line:
                heard.append((pin, tip_id))
        return heard

    def _passed(self, entry: Entry, author: bytes, rank: int) -> list[Chain]:
        """The chain that a grant to *author* ends, if it counts and makes nothing beyond *rank*."""
        if _grant(entry).audience != author:
            return []
        chain = chain_to(self.mesh_id, self.held, self.roots, entry.id)
        if isinstance(chain, Verdict) or len(chain) > rank or self.judge(entry.id) is not COUNTS:
            return []
        return [chain]

    def row(self, key: tuple[bytes, int]) -> Row:
        fork = self.fork(key)
        if fork is None:
            within = [
                entry
                for entry in self.held.values()
                if (entry.header.author, entry.header.lane) == key and self.is_within(entry)
            ]
            last = max(within, key=lambda entry: entry.header.seq, default=None)
            return (0, self.mesh_id, b"") if last is None else (last.header.seq, last.id, b"")
        proof = digest(DOMAIN_PROOF, b"".join(sorted(self.chained[key][fork])[:2]))
        heard = self.heard(key, CHAIN_DEPTH_MAX)
        if heard:
            last = max((self.held[tip] for _, tip in heard), key=lambda entry: entry.header.seq)
            return last.header.seq, last.id, proof
        if fork == 1:
            return 0, self.mesh_id, proof
        return fork - 1, next(iter(self.chained[key][fork - 1])), proof
