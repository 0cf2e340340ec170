"""
A member with a narrow grant, whose machine runs other software: it signs what it may not do.

It holds a key and a grant over one Worknode, its yard, and is no host: what it signs reaches the
mesh as pushes on the links of hosts. Each of its entries is well formed, chained and signed, and
mixes operations that its grant covers with others that it does not. It knows by construction which
is which; that knowledge is an oracle beside the judge of the replicas.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen

from capability import ops, permissions
from capability.bodies import MEMBER
from capability.data_body import build_data, encode_data
from capability.entry import KIND_DATA, LANE_DATA, Entry, make_entry
from capability.ids import CLASS_OWN, TRASH, own_key, root_worknode, worknode_id
from capability.keys import Signer
from capability.limits import NEVER_MS
from capability.ops import Op
from crdt.hlc import COUNTER_BITS
from mesh.core.inputs import EVENTUAL, IssueGrant, Received
from mesh.core.records import PutEntry, Record
from mesh.core.writes import Create
from mesh.gossip.messages import Push
from mesh.replica.founding import META_MESH
from mesh.replica.writer import Submitted
from mesh.wire import encode_message
from simulations.clock import WALL_MS_START
from simulations.identity import seed_of
from simulations.watch import Watcher

if TYPE_CHECKING:
    from mesh.core.effects import Reply
    from simulations.host import Host
    from simulations.world import World

#: Pause between its entries, and before it tries again to be let in, in seconds.
PAUSE_S: Final = 4.0
RETRY_S: Final = 5.0
#: What it may in its yard: no ARCHIVE, no ADMIN, no DELEGATE.
PERMS: Final = permissions.READ | permissions.WRITE | permissions.CREATE
#: Its entries; then it has done its worst.
ENTRIES_MAX: Final = 400
#: Entries of one push that brings a host up to date with it.
PUSHED_MAX: Final = 64
#: Operations of one entry that its grant does not cover.
DEEDS_AT_ONCE: Final = 3
#: Worknodes and elements of others that it remembers.
SEEN_MAX: Final = 64
#: Its entry of which there are two, if it forks its log.
FORK_AT: Final = 4
#: Added to others' counters: no sum of honest ones comes near.
LOOT: Final = 1 << 40


@frozen
class Deed:
    """One operation of the intruder, where it stands, and whether its grant covers it."""

    entry: bytes
    index: int
    op: Op
    is_covered: bool


@define(eq=False)
class Intruder(Watcher):
    """Waits for a yard and a grant, then writes inside and outside of it until it is stopped."""

    world: World
    random: Random
    name: str = "intruder"
    #: It signs a second entry at one place of its log, shows it elsewhere, and is then silent.
    forks: bool = False
    signer: Signer = field(init=False)
    yard: bytes = b""
    grant: bytes = b""
    log: list[Entry] = field(factory=list)
    #: By entry id.
    deeds: dict[bytes, list[Deed]] = field(factory=dict)
    is_stopped: bool = False
    _asked: tuple[int, int] | None = None
    _hlc: int = 0
    #: Worknodes of others, and (entry, index, Worknode) of adds to their sets, seen on a disk.
    _nodes: dict[bytes, None] = field(factory=dict)
    _adds: list[tuple[bytes, int, bytes]] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        reading = self.world.reading
        self.signer = reading.scheme.signer(seed_of(self.world.seed, self.name))

    def start(self) -> None:
        """Begin to ask for a yard."""
        self.world.watch.add(self)
        self._knock()

    def stop(self) -> None:
        self.is_stopped = True

    @property
    def _mesh_id(self) -> bytes:
        mesh_id = self.world.hosts[0].disk.store.meta(META_MESH)
        assert mesh_id is not None, "the founder's disk holds a mesh"
        return mesh_id

    # -- being let in ---------------------------------------------------------------------------

    def _knock(self) -> None:
        if self.is_stopped or self.grant:
            return
        founder = self.world.hosts[0]
        if founder.is_up and not founder.is_paused:
            if self.yard:
                self._ask_for_a_grant(founder)
            else:
                nonce = self.random.randbytes(16)
                root = founder.running.replica.store.root
                write = Create(root, "folder", nonce=nonce)
                request = self.world.submit(founder, write, level=EVENTUAL)
                self._asked = None if request is None else (founder.number, request)
        self.world.after(round(RETRY_S * 1_000_000), self._knock)

    def _ask_for_a_grant(self, founder: Host) -> None:
        if not founder.running.replica.store.exists(self.yard):
            return
        request = founder.next_request()
        self._asked = (founder.number, request)
        founder.put(
            IssueGrant(
                request,
                self.signer.public,
                MEMBER,
                (self.yard,),
                PERMS,
                2,
                NEVER_MS,
                label=self.name,
            )
        )

    def answered(self, host: Host, reply: Reply) -> None:
        if self._asked != (host.number, reply.request) or reply.error is not None:
            return
        self._asked = None
        if isinstance(reply.value, Submitted):
            self.yard = reply.value.created[0]
            self._nodes.pop(self.yard, None)
        elif isinstance(reply.value, bytes):
            self.grant = reply.value
            self._later()

    # -- what it sees of others -----------------------------------------------------------------

    def recorded(self, host: Host, records: Sequence[Record]) -> None:  # noqa: ARG002 - anybody
        for record in records:
            if type(record) is not PutEntry or not record.own:
                continue
            for index, op in enumerate(self.world.reading.operations(record.entry)):
                if op is None:
                    continue
                if isinstance(op.payload, ops.Create):
                    self._see(op.node, op.payload.parent)
                elif isinstance(op.payload, ops.SetAdd) and op.node in self._nodes:
                    self._adds.append((record.entry.id, index, op.node))
        del self._adds[:-SEEN_MAX]

    def _see(self, node: bytes, parent: bytes) -> None:
        """Take note of a Worknode that was born outside of the yard."""
        root = root_worknode(self._mesh_id)
        if (parent == root or parent in self._nodes) and len(self._nodes) < SEEN_MAX:
            self._nodes[node] = None

    # -- its deeds ------------------------------------------------------------------------------

    def _later(self) -> None:
        if not self.is_stopped and len(self.log) < ENTRIES_MAX:
            pause_us = int(self.random.expovariate(1 / PAUSE_S) * 1_000_000)
            self.world.after(pause_us, self._act)

    def _act(self) -> None:
        if self.is_stopped:
            return
        if self._nodes:
            self._sign()
            if self.forks and len(self.log) == FORK_AT:
                self._fork()
                return
            for host in self._hosts(1):
                self._show(host, self.log)
        self._later()

    def _fork(self) -> None:
        """At one instant two hosts are shown two logs that part at the last entry."""
        first = list(self.log)
        self.log.pop()
        self._sign()
        for host, log in zip(self._hosts(), (first, self.log), strict=False):
            self._show(host, log)

    def _sign(self) -> None:
        refs: list[bytes] = []
        drawn: list[tuple[Op | None, bool]] = [(self._covered(), True)]
        drawn += [(deed(self, refs), False) for deed in self.random.sample(_DEEDS, DEEDS_AT_ONCE)]
        self.random.shuffle(drawn)
        made = [(op, is_covered) for op, is_covered in drawn if op is not None]
        body = encode_data(build_data([op for op, _ in made], session=b"", refs=tuple(refs)))
        wall_ms = WALL_MS_START + self.world.now_us // 1000
        self._hlc = max(self._hlc + 1, wall_ms << COUNTER_BITS)
        mesh_id = self._mesh_id
        entry = make_entry(
            self.signer,
            mesh_id=mesh_id,
            lane=LANE_DATA,
            seq=len(self.log) + 1,
            prev=self.log[-1].id if self.log else mesh_id,
            hlc=self._hlc,
            kind=KIND_DATA,
            leaf=self.grant,
            body=body,
        )
        self.log.append(entry)
        self.deeds[entry.id] = [
            Deed(entry.id, index, op, is_covered) for index, (op, is_covered) in enumerate(made)
        ]

    def _hosts(self, most: int | None = None) -> list[Host]:
        """Hosts that it can reach, in any order, or *most* of them."""
        hosts = [host for host in self.world.honest if host.is_up and not host.is_paused]
        return self.random.sample(hosts, min(len(hosts), most or len(hosts)))

    def _show(self, host: Host, log: Sequence[Entry]) -> None:
        """Push what the host lacks of *log*, as if a peer of it had."""
        engine = host.running
        ready = sorted(link for link, state in engine.links.items() if state.hello is not None)
        if ready:
            held = engine.replica.port.row(self.signer.public, LANE_DATA).seq
            lacks = log[held : held + PUSHED_MAX]
            data = encode_message(Push(tuple(entry.encode() for entry in lacks)))
            if lacks:
                host.put(Received(self.random.choice(ready), data))

    def _covered(self) -> Op:
        value = len(self.log) + 1
        return Op(ops.OP_REGISTER, 0, self.yard, (), ops.Register(ops.NS_PLAIN, "inside", value))

    def _register(self, _refs: list[bytes]) -> Op:
        payload = ops.Register(ops.NS_PLAIN, "status", -len(self.log) - 1)
        return Op(ops.OP_REGISTER, 0, self._victim(), (), payload)

    def _increment(self, _refs: list[bytes]) -> Op:
        payload = ops.Increment(ops.NS_WORK, "progress", LOOT)
        return Op(ops.OP_INCREMENT, 0, self._victim(), (), payload)

    def _append(self, _refs: list[bytes]) -> Op:
        payload = ops.Append(ops.NS_COMMENT, "notes", -len(self.log) - 1)
        return Op(ops.OP_APPEND, 0, self._victim(), (), payload)

    def _add(self, _refs: list[bytes]) -> Op:
        payload = ops.SetAdd(ops.NS_PLAIN, "labels", f"loot-{len(self.log)}", ())
        return Op(ops.OP_ADD, 0, self._victim(), (), payload)

    def _remove(self, refs: list[bytes]) -> Op | None:
        if not self._adds:
            return None
        entry, index, node = self.random.choice(self._adds)
        refs.append(entry)
        payload = ops.SetRemove(ops.NS_PLAIN, "labels", ((len(refs), index),))
        return Op(ops.OP_REMOVE, 0, node, (), payload)

    def _create(self, _refs: list[bytes]) -> Op:
        parent, key = self._victim(), own_key(self.signer.public, self.random.randbytes(16))
        payload = ops.Create(parent, CLASS_OWN, key, "task", 1, ops.MODE_AP, b"")
        return Op(ops.OP_CREATE, 0, worknode_id(parent, CLASS_OWN, key), (), payload)

    def _steal(self, _refs: list[bytes]) -> Op:
        """Into the yard it may move, out of another's place it may not."""
        return Op(ops.OP_MOVE, 0, self._victim(), (), ops.Move(self.yard, b"m"))

    def _archive(self, _refs: list[bytes]) -> Op:
        return Op(ops.OP_MOVE, 0, self.yard, (), ops.Move(TRASH, b""))

    def _configure(self, _refs: list[bytes]) -> Op:
        payload = ops.Register(ops.NS_CONFIG, "kind:loot", len(self.log))
        return Op(ops.OP_REGISTER, 0, self.yard, (), payload)

    def _victim(self) -> bytes:
        return self.random.choice(list(self._nodes))


_DEEDS: Final[tuple[Callable[[Intruder, list[bytes]], Op | None], ...]] = (
    Intruder._register,  # noqa: SLF001 - the table of this class
    Intruder._increment,  # noqa: SLF001
    Intruder._append,  # noqa: SLF001
    Intruder._add,  # noqa: SLF001
    Intruder._remove,  # noqa: SLF001
    Intruder._create,  # noqa: SLF001
    Intruder._steal,  # noqa: SLF001
    Intruder._archive,  # noqa: SLF001
    Intruder._configure,  # noqa: SLF001
)
