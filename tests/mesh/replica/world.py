"""Small worlds for replica tests: meshes made by hand, replicas over memory stores."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from attrs import define, field

from capability import permissions
from capability.bodies import JOIN, MEMBER, Genesis, Grant, Scope
from capability.entry import KIND_GENESIS, KIND_GRANT, LANE_AUTHORITY, Entry, make_entry
from capability.ids import ZERO_ID, root_worknode
from capability.keys import SeedSigner
from capability.limits import NEVER_MS
from crdt.hlc import pack
from mesh.core.effects import Effect, Persist, Reply
from mesh.core.inputs import EVENTUAL, Now, Submit
from mesh.core.records import PutEntry, PutMeta
from mesh.core.writes import Write
from mesh.replica.replica import Replica
from mesh.storage.memory import MemoryStore

#: 2026-11-20T00:00:00Z, in ms: the virtual today of all tests.
TODAY_MS = 1_795_132_800_000


def seed(name: str) -> bytes:
    """A fixed key seed per name."""
    return hashlib.blake2b(name.encode(), digest_size=32).digest()


@define
class Mesh:
    """A mesh and its root, with the entries by which others are members."""

    root: SeedSigner
    genesis: Entry
    grants: list[Entry] = field(factory=list)

    @property
    def id(self) -> bytes:
        return self.genesis.id


def new_mesh(name: str = "acme", limits: tuple[tuple[int, int], ...] = ()) -> Mesh:
    """A mesh whose root is the key of *name*."""
    root = SeedSigner(seed(name))
    body = Genesis(
        name=name,
        nonce=bytes(16),
        roots=(root.public,),
        m=1,
        next_roots=bytes(32),
        recovery=bytes(32),
        rules=1,
        features=0,
        limits=limits,
    ).encode()
    genesis = make_entry(
        root,
        mesh_id=ZERO_ID,
        lane=LANE_AUTHORITY,
        seq=1,
        prev=ZERO_ID,
        hlc=pack(TODAY_MS, 0),
        kind=KIND_GENESIS,
        leaf=b"",
        body=body,
    )
    return Mesh(root, genesis)


def admit(
    mesh: Mesh,
    audience: bytes,
    *,
    perms: int = permissions.MEMBER,
    akind: int = MEMBER,
    scopes: tuple[Scope, ...] | None = None,
    exp_ms: int = NEVER_MS,
    caveats: tuple[tuple[int, int], ...] = (),
) -> Entry:
    """A grant by the root to *audience*, next in the root's authority lane."""
    prev = mesh.grants[-1] if mesh.grants else mesh.genesis
    body = Grant(
        audience=audience,
        akind=akind,
        scopes=scopes or (Scope(0, (), root_worknode(mesh.id)),),
        perms=perms,
        max_depth=8,
        nbf_ms=0,
        exp_ms=exp_ms,
        caveats=caveats,
        label="",
    ).encode()
    entry = make_entry(
        mesh.root,
        mesh_id=mesh.id,
        lane=LANE_AUTHORITY,
        seq=prev.header.seq + 1,
        prev=prev.id,
        hlc=prev.header.hlc + 1,
        kind=KIND_GRANT,
        leaf=b"",
        body=body,
    )
    mesh.grants.append(entry)
    return entry


@define
class Node:
    """A replica with its disk and two clocks that only move when told."""

    signer: SeedSigner
    store: MemoryStore
    replica: Replica
    now: Now
    requests: int = 0
    replies: dict[int, object] = field(factory=dict)

    def run(self, effects: Sequence[Effect]) -> None:
        """Do what a driver does: all records in one commit, then the rest."""
        records = [r for e in effects if isinstance(e, Persist) for r in e.records]
        self.store.commit(records)
        self.replica.held.committed()
        for effect in effects:
            if isinstance(effect, Reply):
                self.replies[effect.request] = effect.value

    def write(self, *writes: Write, level: str = EVENTUAL, session: str = "") -> object:
        """Submit, seal, commit; the reply."""
        self.requests += 1
        request = Submit(self.requests, writes, level, session)
        effects = self.replica.submit(request, self.now)
        self.run(effects + self.replica.seal())
        return self.replies[self.requests]

    def receive(self, entries: Sequence[Entry | bytes]) -> object:
        """Take in entries of others."""
        data = [e.encode() if isinstance(e, Entry) else e for e in entries]
        outcome, effects, offence = self.replica.receive(data, self.now)
        self.run(effects)
        assert not offence, offence
        return outcome

    def reload(self) -> None:
        """Restart from disk."""
        self.replica = Replica.load(self.store, signer=self.signer, now=self.now)

    def log(self) -> list[Entry]:
        """All that is held, in order of arrival."""
        return [stored.entry for stored in self.store.entries()]

    def tick(self, ms: int) -> None:
        """Let time pass on both clocks."""
        self.now = Now(self.now.mono_ms + ms, self.now.wall_ms + ms)


def node_of(mesh: Mesh, signer: SeedSigner, entries: Sequence[Entry] = ()) -> Node:
    """A node that holds the genesis and *entries*."""
    store = MemoryStore()
    store.commit([PutMeta("mesh_id", mesh.id), PutEntry(1, mesh.genesis, (), own=False)])
    now = Now(0, TODAY_MS + 1000)
    node = Node(signer, store, Replica.load(store, signer=signer, now=now), now)
    if entries:
        node.receive(entries)
        # Some of them may be the node's own, made outside of it: that is no restored home.
        store.commit([PutMeta("blocked", b"")])
    return node


__all__ = ["JOIN", "Mesh", "Node", "admit", "new_mesh", "node_of", "seed"]
