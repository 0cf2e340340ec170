"""
Whether one operation counts: permission, scope and birth path (FORMATS rules 6 and 8).

Chain, cut and fork judge the entry; here an entry counts already and each of its operations is
looked at by itself, so that one that is refused strands no other. The answer depends on the
operation, the authority of its leaf and immutable births: never on a place, a clock or an order.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from capability.authority import Authority
from capability.ids import TRASH, names_author
from capability.ops import (
    NS_APPROVAL,
    NS_COMMENT,
    NS_CONFIG,
    NS_PLAIN,
    NS_PLAN,
    NS_SELF,
    NS_WORK,
    STRICT,
    Create,
    EmitEvent,
    Move,
    Op,
    Reserved,
)
from capability.permissions import ADMIN, APPROVE, ARCHIVE, COMMENT, CREATE, OWN, PLAN, WRITE
from capability.verdict import Verdict
from mesh.worknode.store import Births

#: What a field of each namespace asks for on the Worknode's birth path.
NAMESPACE_PERMS: Final = {
    NS_PLAIN: WRITE,
    NS_WORK: WRITE,
    NS_COMMENT: COMMENT,
    NS_PLAN: PLAN,
    NS_APPROVAL: APPROVE,
    NS_SELF: OWN,
    NS_CONFIG: ADMIN,
}
#: Namespaces that OWN opens on a Worknode whose own-class key names the author.
_OWNED: Final = frozenset({NS_PLAIN, NS_WORK, NS_COMMENT, NS_SELF})


@frozen
class Judgement:
    """The verdict on one operation, why, and the Worknode whose birth it waits for."""

    verdict: Verdict
    reason: str = ""
    missing: bytes | None = None


COUNTS: Final = Judgement(Verdict.COUNTS)


def _void(reason: str) -> Judgement:
    return Judgement(Verdict.VOID, reason)


def _within(births: Births, authority: Authority, node: bytes) -> Judgement:
    reached, missing = births.missing_ancestor(node, frozenset(authority.scopes))
    if reached:
        return COUNTS
    if missing is None:
        return _void("outside the grant's scope")
    return Judgement(Verdict.UNDECIDED, "birth path unknown", missing)


def _field(births: Births, authority: Authority, op: Op, ns: int, author: bytes) -> Judgement:
    needed = NAMESPACE_PERMS.get(ns)
    if needed is None:
        return _void(f"unknown namespace {ns}")
    owner = authority.perms & OWN and ns in _OWNED
    if ns == NS_SELF or not authority.perms & needed:
        if not owner:
            return _void(f"permission {needed} is not granted")
        if not births.knows(op.node):
            return Judgement(Verdict.UNDECIDED, "birth path unknown", op.node)
        if not births.owned_by(op.node, author):
            return _void("the Worknode's birth key does not name the author")
    return _within(births, authority, op.node)


def _create(births: Births, authority: Authority, payload: Create, author: bytes) -> Judgement:
    own = names_author(payload.key_class, payload.key, author)
    needed = CREATE if own else WRITE
    if not authority.perms & needed:
        return _void(
            "permission to create is not granted"
            if own
            else "a key that is not the author's own needs WRITE on the parent"
        )
    return _within(births, authority, payload.parent)


def _move(births: Births, authority: Authority, op: Op, payload: Move) -> Judgement:
    if op.node == births.root:
        # The trash is not below the root, so the tree alone would let everything go there.
        return _void("the root Worknode does not move")
    if payload.parent == TRASH:
        if not authority.perms & ARCHIVE:
            return _void("permission to archive is not granted")
        return _within(births, authority, op.node)
    if not authority.perms & WRITE:
        return _void("permission to move is not granted")
    for node in (op.node, payload.parent):
        found = _within(births, authority, node)
        if found is not COUNTS:
            return found
    return COUNTS


def judge(
    op: Op, *, authority: Authority, author: bytes, session: bytes, seq: int, births: Births
) -> Judgement:
    """
    Judge one well-formed operation of an entry that counts.

    Returns:
        COUNTS, VOID with the reason, or UNDECIDED with the Worknode whose birth is missing. An
        operation that nothing issues yet is VOID: held and inert. Cost: O(depth of the birth path).
    """
    if op.code in STRICT and op.age != 0:
        return _void("a strict operation is stamped at sealing")
    name = getattr(op.payload, "name", None)
    denied = authority.denies(op_code=op.code, field=name, session=session, seq=seq)
    if denied is not None:
        return _void(str(denied))
    match op.payload:
        case Create() as payload:
            return _create(births, authority, payload, author)
        case Move() as payload:
            return _move(births, authority, op, payload)
        case Reserved() | EmitEvent():
            return _void("inert in this version")
        case payload:
            return _field(births, authority, op, payload.ns, author)
