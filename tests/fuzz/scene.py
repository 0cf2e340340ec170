"""The scene of the fuzzed engine: Ann's node, the peers that speak to her, and what they know."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any, Final

from attrs import define, field, frozen

from capability import ops, permissions
from capability.bodies import MEMBER
from capability.entry import Entry
from capability.keys import SeedSigner
from capability.limits import NEVER_MS
from capability.ops import Op
from capability.ticket import Ticket, join_proof
from crdt.codec import decode
from mesh.core.effects import Effect, Send
from mesh.core.inputs import Input, IssueGrant, LinkOpened, Now, Received
from mesh.core.limits import MESSAGE_BYTES_MAX
from mesh.core.writes import Create, Increment, SetRegister
from mesh.gossip.messages import Hello, Join, Roots
from mesh.storage.memory import MemoryStore
from mesh.wire import Unknown, decode_message, encode_message
from tests.fuzz.target import Broken
from tests.mesh.replica.hand import Hand, add, append, create, inc, move, multi, put, rem
from tests.mesh.replica.world import TODAY_MS, Mesh, seed
from tests.mesh.swarm import check
from tests.mesh.swarm.caller import HANDSHAKE
from tests.mesh.swarm.homes import invite, joining
from tests.mesh.swarm.host import Host
from tests.mesh.swarm.world import World

#: Who speaks on which link. Bob never says more than his hello.
MAD, LEAD, NEW, BOB = range(4)
NAMES: Final = ("mad", "lead", "new", "bob")
#: Somebody with no ticket, whatever it has heard.
EVE: Final = SeedSigner(seed("eve"))
KEYS: Final = tuple(SeedSigner(seed(name)) for name in NAMES)
ANN: Final = SeedSigner(seed("ann"))


@frozen
class Scene:
    """A mesh as it is before an input: Ann's disk, and what others can say of it."""

    mesh: Mesh
    store: MemoryStore
    ticket: Ticket
    join_key: SeedSigner
    #: A new node's chain: the ticket's, and the grant that its join key gave it.
    chain: tuple[bytes, ...]
    leaves: tuple[bytes, bytes]
    node: bytes
    #: Entries of Mad and Lead that Ann has not seen, and two halves of each fork.
    entries: tuple[Entry, ...]
    forks: tuple[tuple[Entry, Entry], ...]


@cache
def scene() -> Scene:
    """Always the same."""
    world = World(seed=5)
    world.join("bob", by="ann")
    check.converges(world)
    ann = world.hosts["ann"]
    root = ann.engine.replica.store.root
    node = ann.write(Create(root, "task", b"one")).value.created[0]
    ann.write(SetRegister(node, 0, "title", "One"), Increment(node, 0, "count", 2))
    leaves = (
        _member(ann, KEYS[MAD].public, permissions.MEMBER),
        _member(ann, KEYS[LEAD].public, permissions.MEMBER | permissions.DELEGATE),
    )
    ticket = invite(ann, word="fuzz")
    check.converges(world)
    home = joining(ticket, "new", ann.now.wall_ms)
    chain = home.meta("join_chain")
    assert chain is not None
    entries, forks = _said(world.mesh, leaves, node)
    return Scene(
        mesh=world.mesh,
        store=ann.store,
        ticket=ticket,
        join_key=SeedSigner(ticket.seed),
        chain=_items(chain),
        leaves=leaves,
        node=node,
        entries=entries,
        forks=forks,
    )


def _items(chain: bytes) -> tuple[bytes, ...]:
    found: Any = decode(chain, size_max=len(chain))
    return tuple(found)


def _member(ann: Host, key: bytes, perms: int) -> bytes:
    root = ann.engine.replica.store.root
    request = IssueGrant(ann.next_request(), key, MEMBER, (root,), perms, 8, NEVER_MS)
    leaf = ann.ask(request).value
    assert isinstance(leaf, bytes)
    return leaf


def _said(
    mesh: Mesh, leaves: tuple[bytes, bytes], node: bytes
) -> tuple[tuple[Entry, ...], tuple[tuple[Entry, Entry], ...]]:
    """One entry at least of every kind and of every op."""
    mad, lead = (Hand(KEYS[who], mesh, leaf) for who, leaf in zip((MAD, LEAD), leaves, strict=True))
    made = create(node, own=(lead.author, 1))
    born = made.node
    first = lead.data(made, put(born, "title", "a"), add(born, "tags", "x"), inc(born, "n", 3))
    second = lead.data(
        rem(born, "tags", ((0 - 1, 2),)),
        move(born, node, b"p"),
        multi(born, "m", (1, 2)),
        append(born, "log", ("said", 1)),
        Op(ops.OP_EMIT, 0, born, (), ops.EmitEvent("rang", None)),
        Op(ops.OP_CLAIM, 0, born, (), ops.Reserved(ops.OP_CLAIM, (1, 500))),
        refs=(first.id,),
    )
    grant = lead.grant(KEYS[NEW].public)
    pin = lead.pin(second)
    twin = mad.twin()
    one, two = mad.data(put(node, "title", "b")), twin.data(put(node, "title", "c"))
    after = twin.data(put(node, "title", "d"))
    kin = lead.twin()
    left, right = lead.grant(KEYS[MAD].public), kin.grant(KEYS[BOB].public)
    return (first, second, grant, pin, one, two, after, left, right), ((one, two), (left, right))


def copy_of(store: MemoryStore) -> MemoryStore:
    """The same disk, to be written by somebody else. Cost: O(store), but for the entries."""
    copy = MemoryStore()
    for name in MemoryStore.__slots__:
        value = getattr(store, name)
        if isinstance(value, dict):
            value = {key: list(v) if isinstance(v, list) else v for key, v in value.items()}
        elif isinstance(value, list | deque):
            value = type(value)(value)
        setattr(copy, name, value)
    return copy


@define
class Stage:
    """Ann's node as it runs, with its clock and its links."""

    mono_ms: int = 100_000
    host: Host = field(init=False)
    #: The last number by which Ann asked something, by link.
    asked: dict[int, int] = field(factory=dict)
    #: The last nonce with which she compared roots, by link.
    nonces: dict[int, int] = field(factory=dict)
    sent_bytes: int = 0

    def __attrs_post_init__(self) -> None:
        store = copy_of(scene().store)
        args: tuple[Callable[..., Any], ...] = (self._now, self._network, lambda _: None)
        self.host = Host("ann", ANN, store, *args, Random(0))
        self.host.start()

    def _now(self) -> Now:
        return Now(self.mono_ms, TODAY_MS + 1_000 + self.mono_ms)

    def _network(self, _: Host, effect: Effect) -> None:
        if not isinstance(effect, Send):
            return
        self.sent_bytes += len(effect.data)
        message = decode_message(effect.data, size_max=MESSAGE_BYTES_MAX)
        if isinstance(message, Unknown):
            raise Broken("a message that nobody knows was sent")
        number = getattr(message, "request", getattr(message, "exchange", None))
        if number is not None:
            self.asked[effect.link] = number
        if isinstance(message, Roots):
            self.nonces[effect.link] = message.nonce

    def batch(self, *inputs: Input) -> None:
        failed = self.host.failed_commits
        self.host.batch(inputs)
        if self.host.failed_commits != failed:
            raise Broken("a commit failed that nothing had hindered")

    def open(self, link: int, key: SeedSigner | None = None) -> None:
        """A connection of the link's owner, or of another *key*; no hello yet."""
        self.batch(LinkOpened(link, (key or KEYS[link]).public, False, None, HANDSHAKE))

    def hello(self, join: Join | None = None) -> Hello:
        auth_root, data_root = self.host.engine.replica.port.roots()
        return Hello(
            proto_min=1,
            proto_max=1,
            features=0,
            software="fuzz",
            rules=1,
            auth_root=auth_root,
            data_root=data_root,
            your_heads=(None, None),
            addresses=(("10.0.0.7", 7),),
            region="",
            wall_ms=self._now().wall_ms,
            join=join,
        )

    def greet(self, link: int) -> None:
        """A connection of a member, who is let in."""
        self.open(link)
        self.tell(link, encode_message(self.hello()))

    def tell(self, link: int, data: bytes) -> None:
        self.batch(Received(link, data))

    def is_in(self, link: int) -> bool:
        state = self.host.engine.links.get(link)
        return state is not None and state.hello is not None

    def check(self) -> None:
        """What must hold whatever was said: a restart from disk gives the same state."""
        before = check.situation(self.host)
        self.host.die()
        self.host.start()
        if check.situation(self.host) != before:
            raise Broken("another state after a restart")


def proof_of(key: SeedSigner, node_key: bytes) -> bytes:
    """The join proof over the one handshake of all scenes."""
    mesh_id = scene().mesh.id
    return join_proof(key, mesh_id=mesh_id, handshake_hash=HANDSHAKE, node_key=node_key)
