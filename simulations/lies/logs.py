"""Lies about logs: two branches of one's own, entries that nobody signed, stamps of years ahead."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from attrs import evolve, frozen

from capability import ops, permissions
from capability.bodies import MEMBER, Grant, Scope
from capability.data_body import build_data, encode_data
from capability.entry import (
    KIND_DATA,
    KIND_GRANT,
    LANE_AUTHORITY,
    LANE_DATA,
    Entry,
    make_entry,
)
from capability.ids import CLASS_OWN, own_key, root_worknode, worknode_id
from capability.keys import SIGNATURE_BYTES, Signer
from capability.limits import NEVER_MS
from capability.ops import Op
from crdt.hlc import COUNTER_BITS
from mesh.gossip.messages import ForkProof, Push
from simulations.identity import seed_of

if TYPE_CHECKING:
    from simulations.byzantine import Liar

#: Entries of one branch.
BRANCH_MAX: Final = 16
#: Grants of one branch of an authority log; the first is the one by which an accomplice writes.
GRANTS_MAX: Final = 3
#: How far ahead stamps are, in ms: ten years.
AHEAD_MS: Final = 10 * 365 * 24 * 3_600_000
#: Entries stamped ahead: each stays parked on every host to the end of the run.
AHEAD_MAX: Final = 64
#: What an accomplice is given: all that a member may but to pass it on.
PERMS: Final = permissions.MEMBER & ~permissions.DELEGATE


def _create(liar: Liar, signer: Signer) -> Op:
    """A Worknode of *signer*'s own: if it counted after all, no promise would be touched by it."""
    parent = root_worknode(liar.mesh_id)
    key = own_key(signer.public, liar.random.randbytes(16))
    node = worknode_id(parent, CLASS_OWN, key)
    liar.created[node] = None
    payload = ops.Create(parent, CLASS_OWN, key, "task", 1, ops.MODE_AP, b"")
    return Op(ops.OP_CREATE, 0, node, (), payload)


def _data(
    liar: Liar, signer: Signer, leaf: bytes, after: Entry | None, *, ahead_ms: int = 0
) -> Entry:
    """A data entry that creates something, well made and signed."""
    return make_entry(
        signer,
        mesh_id=liar.mesh_id,
        lane=LANE_DATA,
        seq=after.header.seq + 1 if after else 1,
        prev=after.id if after else liar.mesh_id,
        hlc=liar.stamp(after) + (ahead_ms << COUNTER_BITS),
        kind=KIND_DATA,
        leaf=leaf,
        body=encode_data(build_data([_create(liar, signer)], session=b"", refs=())),
    )


def _last(log: list[Entry]) -> Entry | None:
    return log[-1] if log else None


def _show(liar: Liar, branches: tuple[list[Entry], list[Entry]]) -> None:
    """One branch to hosts of even numbers, the other to those of odd ones, whole each time."""
    for end in liar.ends:
        branch = branches[end.peer.host % 2]
        liar.say(end, Push(tuple(entry.encode() for entry in branch)))


def fork_data(liar: Liar) -> None:
    """Both branches of its data log grow by one, and each is shown to other peers."""
    if not liar.ends:
        return
    if "data" not in liar.branches:
        fork = _last(liar.log(LANE_DATA))
        one, two = (_data(liar, liar.host.signer, liar.leaf, fork) for _ in range(2))
        liar.branches["data"] = ([one], [two])
    branches = liar.branches["data"]
    if len(branches[0]) < BRANCH_MAX:
        for branch in branches:
            branch.append(_data(liar, liar.host.signer, branch[-1].header.leaf, branch[-1]))
    _show(liar, branches)


def _grant(liar: Liar, audience: bytes, leaf: bytes, after: Entry | None) -> Entry:
    root = root_worknode(liar.mesh_id)
    depth, label = 6, f"accomplice {liar.random.getrandbits(32)}"
    body = Grant(
        audience, MEMBER, (Scope(0, (), root),), PERMS, depth, 0, NEVER_MS, (), label
    ).encode()
    return make_entry(
        liar.host.signer,
        mesh_id=liar.mesh_id,
        lane=LANE_AUTHORITY,
        seq=after.header.seq + 1 if after else 1,
        prev=after.id if after else liar.mesh_id,
        hlc=liar.stamp(after),
        kind=KIND_GRANT,
        leaf=leaf,
        body=body,
    )


def fork_authority(liar: Liar) -> None:
    """On each branch of its authority log an accomplice is let in, who writes at once."""
    if not liar.ends:
        return
    names = [f"{liar.host.name} accomplice {side}" for side in range(2)]
    seeds = [seed_of(liar.world.seed, name) for name in names]
    signers = [liar.world.reading.scheme.signer(seed) for seed in seeds]
    if "authority" not in liar.branches:
        liar.accomplices.update(dict.fromkeys(signer.public for signer in signers))
        fork = _last(liar.log(LANE_AUTHORITY))
        one, two = (_grant(liar, signer.public, liar.leaf, fork) for signer in signers)
        liar.branches["authority"] = ([one], [two])
        liar.branches["accomplices"] = ([], [])
    grants, written = liar.branches["authority"], liar.branches["accomplices"]
    for signer, branch, log in zip(signers, grants, written, strict=True):
        if len(branch) < GRANTS_MAX:
            branch.append(_grant(liar, signer.public, branch[0].header.leaf, branch[-1]))
        if len(log) < BRANCH_MAX:
            log.append(_data(liar, signer, branch[0].id, _last(log)))
    _show(liar, (grants[0] + written[0], grants[1] + written[1]))


def write_ahead(liar: Liar) -> None:
    """It signs what it would write in ten years; all of it chained and, but for that, in order."""
    if not liar.ends:
        return
    log, _ = liar.branches.setdefault("ahead", ([], []))
    if len(log) < AHEAD_MAX:
        last = _last(log) or _last(liar.log(LANE_DATA))
        # Later ones follow the first, which is ahead already.
        log.append(_data(liar, liar.host.signer, liar.leaf, last, ahead_ms=0 if log else AHEAD_MS))
    _show(liar, (log, log))


# -- forged ------------------------------------------------------------------------------------


@frozen
class _Mask:
    """Signs in another's name, with the only key that it has."""

    public: bytes
    own: Signer

    def sign(self, data: bytes) -> bytes:
        return self.own.sign(data)


def _in_anothers_name(liar: Liar) -> Entry:
    """What follows the victim's last entry, by its grant, and signed by the wrong key."""
    victim = liar.victim()
    own = victim.signer.public
    entries = [stored.entry for stored in liar.host.disk.store.entries()]
    log = [e for e in entries if e.header.author == own and e.header.lane == LANE_DATA]
    leaf = log[-1].header.leaf if log else b""
    return _data(liar, _Mask(own, liar.host.signer), leaf, _last(log))


def _next(liar: Liar) -> Entry:
    return _data(liar, liar.host.signer, liar.leaf, _last(liar.log(LANE_DATA)))


def _forged_name(liar: Liar) -> Push:
    entry = _in_anothers_name(liar)
    liar.forged[entry.id] = None
    return Push((entry.encode(),))


def _wrong_signature(liar: Liar) -> Push:
    entry = evolve(_next(liar), signature=liar.random.randbytes(SIGNATURE_BYTES))
    liar.forged[entry.id] = None
    return Push((entry.encode(),))


def _wrong_body(liar: Liar) -> Push:
    entry = _next(liar)
    liar.forged[entry.id] = None
    return Push((evolve(entry, body=entry.body[:-1] + b"\xff").encode(),))


def _not_canonical(liar: Liar) -> Push:
    entry = _next(liar)
    liar.forged[entry.id] = None
    encoded = entry.encode()
    broken = liar.random.choice((encoded + b"\xc0", encoded[:-1], b"\xdc\x00\x03" + encoded[1:]))
    return Push((broken,))


def _framed(liar: Liar) -> ForkProof:
    """A proof that an honest member has forked its log, of headers that it has not signed."""
    one = _in_anothers_name(liar)
    changed = evolve(one.header, hlc=one.header.hlc + 1)
    two = make_entry(
        _Mask(changed.author, liar.host.signer),
        mesh_id=liar.mesh_id,
        lane=changed.lane,
        seq=changed.seq,
        prev=changed.prev,
        hlc=changed.hlc,
        kind=changed.kind,
        leaf=changed.leaf,
        body=one.body,
    )
    for entry in (one, two):
        liar.forged[entry.id] = None
    first, second = sorted((one.signed_header, two.signed_header), key=lambda header: header.id)
    return ForkProof(first, second)


_FORGERIES: Final[tuple[Callable[[Liar], Push | ForkProof], ...]] = (
    _forged_name,
    _wrong_signature,
    _wrong_body,
    _not_canonical,
    _framed,
)


def forge(liar: Liar) -> None:
    """One forgery on one link, which will not survive it."""
    ends = liar.ends
    if ends:
        liar.say(liar.random.choice(ends), liar.random.choice(_FORGERIES)(liar))
