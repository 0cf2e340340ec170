"""
What a chain of grants allows: attenuation, and the caveats that judge an op.

Everything here is a function of the bytes of a grant and of its parents: V(bytes) without the
signature, which was verified when the entry was admitted. Ids are hashes of these bytes, so a
result may be kept for ever under the grant's id. Whether the grant *counts* is the ledger's.

Source: docs/formats.md §Authority bodies; Miller, Yee, Shapiro: Capability Myths Demolished, 2003
    (attenuation); Birgisson et al.: Macaroons, NDSS 2014 (caveats as a conjunction).
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from capability.bodies import (
    CAVEAT_CHILD_PERMS,
    CAVEAT_DEPTH,
    CAVEAT_FIELDS,
    CAVEAT_GRANTS,
    CAVEAT_ISSUE_BEFORE,
    CAVEAT_OPS,
    CAVEAT_SEQ,
    CAVEAT_SESSION,
    MEMBER,
    SESSION,
    Grant,
)
from capability.entry import Header
from capability.form import Value
from capability.ids import WORKNODE_BYTES, root_worknode, worknode_id
from capability.limits import CHAIN_DEPTH_MAX, NEVER_MS
from capability.permissions import ALL, DELEGATE, attenuates
from capability.verdict import Reason, caveat_reason
from crdt.hlc import milliseconds

__all__ = ["Authority", "covers", "derive", "root_authority", "widens"]

#: They bind what is issued directly under their link, and nothing further down.
_NOT_INHERITED: Final = frozenset({CAVEAT_CHILD_PERMS, CAVEAT_GRANTS, CAVEAT_ISSUE_BEFORE})
_NUMBERS: Final = _NOT_INHERITED | {CAVEAT_SEQ, CAVEAT_DEPTH}


@frozen(eq=False)
class Authority:
    """
    The right of *audience* to act by the grant *leaf*, or of every root key if *leaf* is empty.

    `caveats` are those of every link that judge an op; all of them must hold. `denied` names one
    that nobody here can read: unknown, reserved or malformed, it denies everything under its
    link. `chain` are the grants from the root to the leaf.
    """

    leaf: bytes
    audience: bytes
    akind: int
    scopes: tuple[bytes, ...]
    perms: int
    max_depth: int
    nbf_ms: int
    exp_ms: int
    caveats: tuple[tuple[int, Value], ...]
    denied: Reason | None
    chain: tuple[bytes, ...]
    grant: Grant | None
    parent: Authority | None

    @property
    def rank(self) -> int:
        """The rank of the entries made by it: 0 for a root key."""
        return len(self.chain)

    def denies(self, *, op_code: int, field: str | None, session: bytes, seq: int) -> Reason | None:
        """
        The caveat that forbids an op, None if there is none. Cost: O(caveats of the chain).

        Args:
            op_code: The op's code.
            field: The name of the field or event that it writes, None if it writes none.
            session: The session of its entry, empty for the default one.
            seq: The seq of its entry in the data lane.
        """
        if self.denied is not None:
            return self.denied
        asked: dict[int, Value] = {
            CAVEAT_OPS: op_code,
            CAVEAT_FIELDS: field,
            CAVEAT_SEQ: seq,
            CAVEAT_DEPTH: self.rank,
            CAVEAT_SESSION: session,
        }
        for key, value in self.caveats:
            if not _holds(key, value, asked[key]):
                return caveat_reason(key)
        return None

    def bars_acts(self) -> Reason | None:
        """The caveat that forbids authority entries: they cannot name their session."""
        if self.denied is None and any(key == CAVEAT_SESSION for key, _ in self.caveats):
            return Reason.CAVEAT_SESSION
        return self.denied


def _is_readable(key: int, value: Value) -> bool:
    """Whether a caveat is known and its value has its form."""
    if key in _NUMBERS:
        return type(value) is int and value >= 0
    if key == CAVEAT_SESSION:
        return isinstance(value, bytes) and len(value) == WORKNODE_BYTES
    if key in (CAVEAT_OPS, CAVEAT_FIELDS):
        form = int if key == CAVEAT_OPS else str
        return isinstance(value, tuple) and all(type(item) is form for item in value)
    return False


def _holds(key: int, value: Value, asked: Value) -> bool:
    if isinstance(value, tuple):
        return asked in value or (key == CAVEAT_FIELDS and asked is None)
    if isinstance(value, int) and isinstance(asked, int):
        return asked <= value
    return asked == value


def root_authority(mesh_id: bytes, *, depth_max: int = CHAIN_DEPTH_MAX) -> Authority:
    """What every root key may do: everything, at the root Worknode, for ever."""
    return Authority(
        leaf=b"",
        audience=b"",
        akind=MEMBER,
        scopes=(root_worknode(mesh_id),),
        perms=ALL,
        max_depth=min(depth_max, CHAIN_DEPTH_MAX),
        nbf_ms=0,
        exp_ms=NEVER_MS,
        caveats=(),
        denied=None,
        chain=(),
        grant=None,
        parent=None,
    )


def derive(
    parent: Authority, grant: Grant, *, header: Header, grant_id: bytes
) -> Authority | Reason:
    """The authority that a grant passes on, or why it passes on none. Cost: O(its bytes)."""
    if (reason := widens(parent, grant, header)) is not None:
        return reason
    unreadable = [key for key, value in grant.caveats if not _is_readable(key, value)]
    denied = caveat_reason(unreadable[0]) if unreadable else None
    own = tuple(pair for pair in grant.caveats if pair[0] not in _NOT_INHERITED)
    return Authority(
        leaf=grant_id,
        audience=grant.audience,
        akind=grant.akind,
        scopes=tuple(scope.id for scope in grant.scopes),
        perms=grant.perms,
        max_depth=grant.max_depth,
        nbf_ms=grant.nbf_ms,
        exp_ms=grant.exp_ms,
        caveats=parent.caveats + own,
        denied=parent.denied or denied,
        chain=(*parent.chain, grant_id),
        grant=grant,
        parent=parent,
    )


def widens(parent: Authority, child: Grant, header: Header) -> Reason | None:
    """
    Why *child*, issued by the entry of *header* under *parent*, is no attenuation; None if it is.

    That the issuer is the parent's audience is the caller's to check.
    """
    if not parent.perms & DELEGATE:
        return Reason.NO_DELEGATE
    return (
        parent.bars_acts()
        or _too_deep(parent, child)
        or _wider(parent, child)
        or _breaks_issuing(parent, child, header)
        or _breaks_session(child, header)
    )


def _too_deep(parent: Authority, child: Grant) -> Reason | None:
    depth = parent.rank + 1
    if depth > parent.max_depth or depth > CHAIN_DEPTH_MAX:
        return Reason.TOO_DEEP
    for key, value in (*parent.caveats, *child.caveats):
        if key == CAVEAT_DEPTH and type(value) is int and depth > value:
            return Reason.CAVEAT_DEPTH
    return Reason.WIDER_DEPTH if child.max_depth > parent.max_depth else None


def _wider(parent: Authority, child: Grant) -> Reason | None:
    if not attenuates(child.perms, parent.perms):
        return Reason.WIDER_PERMS
    if child.nbf_ms < parent.nbf_ms or child.exp_ms > parent.exp_ms:
        return Reason.WIDER_TIME
    for scope in child.scopes:
        if scope.parent_scope >= len(parent.scopes):
            return Reason.WIDER_SCOPE
        if not scope.reached_from(parent.scopes[scope.parent_scope]):
            return Reason.WIDER_SCOPE
    return None


def _breaks_issuing(parent: Authority, child: Grant, header: Header) -> Reason | None:
    """The caveats of the parent link that bind what is issued directly under it."""
    for key, value in parent.grant.caveats if parent.grant is not None else ():
        if key not in _NOT_INHERITED:
            continue
        assert type(value) is int, "a parent with an unreadable caveat bars every grant"
        good = {
            CAVEAT_CHILD_PERMS: attenuates(child.perms, value),
            CAVEAT_GRANTS: header.seq <= value,
            CAVEAT_ISSUE_BEFORE: milliseconds(header.hlc) < value,
        }[key]
        if not good:
            return caveat_reason(key)
    return None


def _breaks_session(child: Grant, header: Header) -> Reason | None:
    if child.akind != SESSION:
        return None
    if child.audience != header.author:
        return Reason.SESSION_NOT_SELF
    is_named = _is_readable(CAVEAT_SESSION, child.caveat(CAVEAT_SESSION))
    return None if is_named else Reason.SESSION_UNNAMED


def covers(over: Authority, target: Authority) -> bool:
    """
    Whether each scope of *target* lies at or under a scope of *over*.

    The birth path of every scope is in the steps of its chain, so no Worknode needs to be known.
    Cost: O(steps of target's chain).
    """
    roofs = frozenset(over.scopes)
    return all(_is_under(roofs, target, index) for index in range(len(target.scopes)))


def _is_under(roofs: frozenset[bytes], target: Authority, index: int) -> bool:
    link = target
    while link.grant is not None and link.parent is not None:
        scope = link.grant.scopes[index]
        here = link.parent.scopes[scope.parent_scope]
        for key_class, key in scope.steps:
            here = worknode_id(here, key_class, key)
            if here in roofs:
                return True
        link, index = link.parent, scope.parent_scope
    return link.scopes[index] in roofs
