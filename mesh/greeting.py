"""
The hello: what a node says first on a link, and what it asks of a peer before it believes it.

The channel has shown that the peer holds its key. The hello shows that the key is a member's: by a
chain of grants from genesis, which is checked by its bytes alone, so that a member who joined
elsewhere is known at once. A ticket's bearer also proves, over this very handshake, that it holds
the join key; whoever admits it looks at the clock and at the uses, once. A member whose ticket has
expired since shows the inviter's pin instead.
"""

from __future__ import annotations

from typing import Final

from attrs import define, evolve, field, frozen

from capability.authority import Authority, derive, root_authority
from capability.bodies import (
    CAVEAT_ISSUE_BEFORE,
    JOIN,
    MEMBER,
    Grant,
    decode_genesis,
    decode_grant,
    decode_pin,
)
from capability.entry import (
    KIND_GRANT,
    KIND_PIN,
    LANE_AUTHORITY,
    Entry,
)
from capability.errors import CapabilityError
from capability.keys import SeedSigner
from capability.permissions import READ
from capability.ticket import join_proof, verify_join_proof
from capability.verdict import Reason, Verdict
from crdt.codec import decode
from mesh.core.effects import Effect, Log
from mesh.core.inputs import Address, Now
from mesh.core.limits import SKEW_MS_MAX
from mesh.core.ports import LogReader
from mesh.gossip.limits import HELLO_BYTES_MAX
from mesh.gossip.messages import EXT_NAME, GoodbyeCode, Hello, Join
from mesh.replica.replica import RESTORED, RULES_VERSION, Replica

PROTO_MIN: Final = 1
PROTO_MAX: Final = 1
FEATURES: Final = 0
#: The ticket's chain as this node has kept it; a chain is at most nine entries.
_CHAIN_BYTES_MAX: Final = 64 * 1024
#: A hello comes within this time, whatever else is said, in ms. A guess: as the first message.
HELLO_MS_MAX: Final = 15_000
#: Of a hello, which has its own bound; the rest of it is some 4 KiB at most.
_SHOWN_BYTES_MAX: Final = HELLO_BYTES_MAX - 8 * 1024
_EXPIRED: Final = "your grant has expired: ask for a new one"

NO_HELLO: Final = f"no hello within {HELLO_MS_MAX // 1000} s"


@define
class Unheard:
    """Links whose peers have said no hello yet, with the time that each of them has for it."""

    #: By link in monotonic ms, ascending, since all have as long.
    _due_ms: dict[int, int] = field(factory=dict)

    def opened(self, link: int, now: Now) -> None:
        self._due_ms[link] = now.mono_ms + HELLO_MS_MAX

    def heard(self, link: int) -> None:
        """It has said hello, or is gone."""
        self._due_ms.pop(link, None)

    @property
    def deadline(self) -> int | None:
        """When the first of them is overdue, in monotonic ms."""
        return next(iter(self._due_ms.values()), None)

    def overdue(self, now: Now) -> list[int]:
        """Who has had all its time. Not for a tick: a hello may wait behind it for a slow disk."""
        due = self.deadline
        if due is None or due > now.mono_ms:
            return []
        return [link for link, due_ms in self._due_ms.items() if due_ms <= now.mono_ms]


class Refused(Exception):
    """Why a link ends before it begins; `text` is for the peer's people."""

    def __init__(self, code: GoodbyeCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@frozen
class EngineConfig:
    """What a node says of itself. `listen` are the addresses that peers may dial."""

    name: str
    region: str = ""
    listen: tuple[Address, ...] = ()
    software: str = "worknode-mesh"

    def moved_to(self, listen: tuple[Address, ...] | None) -> EngineConfig:
        """The same at other addresses; None: where it was."""
        return self if listen is None else evolve(self, listen=listen)


@frozen
class Caller:
    """Who speaks on a link: the key that the channel has shown, and on which handshake."""

    key: bytes
    handshake_hash: bytes


@frozen
class Evidence:
    """What a chain shows by its bytes: whose it is, and the join grant that it came by, if any."""

    entries: tuple[Entry, ...]
    member: Entry | None
    join_grant: Entry | None
    grant: Grant | None


def say(
    replica: Replica,
    reader: LogReader,
    *,
    caller: Caller,
    config: EngineConfig,
    now: Now,
) -> Hello:
    """This node's hello to the caller, or to whom it calls."""
    signature = b""
    join = join_signer(reader)
    if join is not None:
        signature = join_proof(
            join,
            mesh_id=replica.mesh_id,
            handshake_hash=caller.handshake_hash,
            node_key=replica.author,
        )
    auth_root, data_root = replica.port.roots()
    return Hello(
        proto_min=PROTO_MIN,
        proto_max=PROTO_MAX,
        features=FEATURES,
        software=config.software,
        rules=RULES_VERSION,
        auth_root=auth_root,
        data_root=data_root,
        your_heads=replica.port.heads_of(caller.key),
        addresses=config.listen,
        region=config.region,
        wall_ms=max(now.wall_ms, 0),
        join=Join(chain_of(replica, reader), signature),
        ext=((EXT_NAME, config.name),),
    )


def warn_of_clock(peer: bytes, skew_ms: int) -> list[Effect]:
    """A line for the operator if a peer's clock is so far off that entries would be parked."""
    if abs(skew_ms) <= SKEW_MS_MAX:
        return []
    return [Log("warning", "clock.differs", (("peer", peer.hex()), ("skew_ms", skew_ms)))]


def chain_of(replica: Replica, reader: LogReader) -> tuple[bytes, ...]:
    """The chain to this node's own key: from the ledger once it is held, else the ticket's."""
    held = replica.own_chain()
    if held:
        return held if _fits(held) else _shorter(replica)
    data = reader.meta("join_chain")
    if data is None:
        return ()
    chain = decode(data, size_max=_CHAIN_BYTES_MAX)
    assert isinstance(chain, tuple), "this node's own join chain is an array"
    return tuple(item for item in chain if isinstance(item, bytes))


def _fits(chain: tuple[bytes, ...]) -> bool:
    return sum(map(len, chain)) <= _SHOWN_BYTES_MAX


def _shorter(replica: Replica) -> tuple[bytes, ...]:
    """Anybody may sign a grant that is long, and a pin may confirm many members at once."""
    leaves = replica.writer.standing.memberships()
    return next(filter(_fits, map(replica.port.chain_of, leaves)), ())


def join_signer(reader: LogReader) -> SeedSigner | None:
    """The join key by which this node was admitted, None for a founder."""
    seed = reader.meta("join_seed")
    return None if seed is None else SeedSigner(seed)


def check(hello: Hello, *, replica: Replica, caller: Caller, now: Now) -> tuple[bytes, ...]:
    """
    Whether the caller may be talked to; the entries of its chain that are worth taking in.

    Raises:
        Refused: With the code and the sentence for its goodbye.
    """
    if hello.proto_min > PROTO_MAX or hello.proto_max < PROTO_MIN:
        raise Refused(
            GoodbyeCode.VERSION,
            f"this node speaks protocol {PROTO_MIN} to {PROTO_MAX}, "
            f"you speak {hello.proto_min} to {hello.proto_max}: upgrade the older one",
        )
    if is_member(replica, caller.key, now):
        return ()
    if hello.join is None or not hello.join.chain:
        raise Refused(GoodbyeCode.NOT_A_MEMBER, "you show no grant of this mesh")
    evidence = read_chain(hello.join.chain, replica, caller.key)
    if evidence.grant is not None and evidence.grant.exp_ms <= now.wall_ms:
        raise Refused(GoodbyeCode.NOT_A_MEMBER, _EXPIRED)
    if void := _void_link(evidence.entries, replica):
        raise Refused(GoodbyeCode.NOT_A_MEMBER, void)
    if evidence.join_grant is not None:
        _check_use(evidence, hello.join.signature, replica, caller, now)
    return tuple(entry.encode() for entry in evidence.entries if entry.header.kind == KIND_GRANT)


def is_member(replica: Replica, key: bytes, now: Now) -> bool:
    """
    Whether a grant that counts lets *key* replicate this mesh now.

    A join key is no member: it may admit one, and nothing else.
    """
    ledger = replica.held.ledger
    return ledger.authority(b"", key) is not None or ledger.member_until(key) > now.wall_ms


def check_heads(hello: Hello, replica: Replica, key: bytes) -> None:
    """
    What the caller, *key*, states of this node's own logs.

    Raises:
        Refused: It holds more of them than this node does, or states what nobody has signed.
    """
    offence = replica.check_heads(hello.your_heads, key)
    if offence == RESTORED:
        raise Refused(GoodbyeCode.HEAD_MISMATCH, offence)
    if offence:
        text = "the head that you state of this node's log is not its own"
        raise Refused(GoodbyeCode.PROTOCOL_VIOLATION, text)


def why_void(hello: Hello, replica: Replica, key: bytes, now: Now) -> str:
    """Why somebody who has been let in is no member any more; empty while it is one."""
    if is_member(replica, key, now):
        return ""
    # The chain of somebody who was a member was not looked at: it may be another's, garbage, none.
    try:
        chain = hello.join.chain if hello.join is not None else ()
        evidence = read_chain(chain, replica, key)
    except Refused as refused:
        # What counts of its grants does not let it in any more.
        return _EXPIRED if replica.held.ledger.grants_to(key) else refused.text
    if evidence.grant is not None and evidence.grant.exp_ms <= now.wall_ms:
        return _EXPIRED
    return _void_link(evidence.entries, replica)


def _void_link(entries: tuple[Entry, ...], replica: Replica) -> str:
    """A link that is held and void admits nobody, however good its bytes are."""
    for entry in entries:
        if entry.header.kind == KIND_GRANT and entry.id in replica.table.number:
            verdict, reason = replica.held.ledger.judge(entry.header, entry.id)
            if verdict is Verdict.VOID:
                return f"your grant does not count: {reason}"
    return ""


def read_chain(chain: tuple[bytes, ...], replica: Replica, peer: bytes) -> Evidence:
    """
    Check a chain by its bytes: signatures, attenuation, audience. Cost: 55 µs for each entry.

    Raises:
        Refused: It does not lead from this mesh's genesis to *peer*.
    """
    notary = replica.admission.notary
    try:
        entries = tuple(notary.read(data) for data in chain)
        for entry in entries:
            notary.check(entry, replica.mesh_id)
        return _follow(entries, replica.mesh_id, peer)
    except CapabilityError as error:
        raise Refused(GoodbyeCode.NOT_A_MEMBER, f"your chain is not in order: {error}") from None


def _follow(entries: tuple[Entry, ...], mesh_id: bytes, peer: bytes) -> Evidence:
    if not entries or entries[0].id != mesh_id:
        raise Refused(GoodbyeCode.NOT_A_MEMBER, "your chain is of another mesh")
    genesis = decode_genesis(entries[0].body)
    under: Authority = root_authority(mesh_id)
    authors: tuple[bytes, ...] = genesis.roots
    member = join_grant = None
    leaf, grant = b"", None
    for entry in entries[1:]:
        if entry.header.kind == KIND_PIN:
            break
        if entry.header.kind != KIND_GRANT or entry.header.leaf != leaf:
            raise Refused(GoodbyeCode.NOT_A_MEMBER, "your chain has a gap")
        if entry.header.author not in authors:
            raise Refused(GoodbyeCode.NOT_A_MEMBER, "your chain has a link by the wrong key")
        join_grant = member if grant is not None and grant.akind == JOIN else None
        grant = decode_grant(entry.body)
        passed = derive(under, grant, header=entry.header, grant_id=entry.id)
        if isinstance(passed, Reason):
            raise Refused(GoodbyeCode.NOT_A_MEMBER, f"your grant does not count: {passed}")
        under, authors, leaf, member = passed, (grant.audience,), entry.id, entry
    if peer not in authors or (grant is not None and grant.akind != MEMBER):
        raise Refused(GoodbyeCode.NOT_A_MEMBER, "your chain is not for the key that you hold")
    if not under.perms & READ:
        raise Refused(GoodbyeCode.NOT_A_MEMBER, "your grant does not allow to read this mesh")
    return Evidence(entries, member, join_grant, grant)


def _check_use(
    evidence: Evidence, signature: bytes, replica: Replica, caller: Caller, now: Now
) -> None:
    """A first use of a ticket, as whoever admits it must look at it."""
    member, join_grant = evidence.member, evidence.join_grant
    assert member is not None
    assert join_grant is not None
    header = member.header
    lane = replica.held.ledger.lane(header.author, LANE_AUTHORITY)
    if lane is not None and len(lane) >= header.seq and not lane.holds(header.seq, member.id):
        raise Refused(
            GoodbyeCode.TICKET_USED,
            "this ticket has been used by another node: ask for a new one",
        )
    if _is_pinned(evidence):
        return
    before = decode_grant(join_grant.body).caveat(CAVEAT_ISSUE_BEFORE)
    if type(before) is int and now.wall_ms >= before:
        raise Refused(GoodbyeCode.TICKET_EXPIRED, "this ticket has expired: ask for a new one")
    try:
        verify_join_proof(
            header.author,
            signature,
            mesh_id=replica.mesh_id,
            handshake_hash=caller.handshake_hash,
            node_key=caller.key,
            by=replica.admission.notary.verify,
        )
    except CapabilityError as error:
        raise Refused(GoodbyeCode.BAD_PROOF, str(error)) from None


def _is_pinned(evidence: Evidence) -> bool:
    """Whether the chain ends with the inviter's pin of this very use."""
    last, member, join_grant = evidence.entries[-1], evidence.member, evidence.join_grant
    assert member is not None
    assert join_grant is not None
    if last.header.kind != KIND_PIN or last.header.author != join_grant.header.author:
        return False
    tip = (member.header.seq, member.id)
    try:
        rows = decode_pin(last.body).rows
    except CapabilityError:
        return False
    return any(row.author == member.header.author and row.auth == tip for row in rows)
