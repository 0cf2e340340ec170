"""Bodies of the grants that this node issues: to a ticket's join key, and to its own sessions."""

from __future__ import annotations

from collections.abc import Sequence

from capability.authority import Authority
from capability.bodies import CAVEAT_SESSION, SESSION, Grant, Scope
from capability.permissions import DELEGATE
from mesh.core.inputs import IssueGrant
from mesh.worknode.store import Store

#: A session grant's label is the session's name, cut to what a label holds in any alphabet.
_LABEL_CHARACTERS = 16


def may_issue(authority: Authority, perms: int) -> bool:
    """Whether a grant of *perms* may be issued under *authority*."""
    return (
        not perms & ~authority.perms
        and bool(authority.perms & DELEGATE)
        and authority.rank < authority.max_depth
        and authority.bars_acts() is None
    )


def grant_under(authority: Authority, request: IssueGrant, store: Store) -> Grant | None:
    """The grant that is asked for, as an attenuation of *authority*; None if it is none."""
    scopes = scopes_under(authority, request.scopes, store)
    if scopes is None or not may_issue(authority, request.perms):
        return None
    return Grant(
        audience=request.audience,
        akind=request.akind,
        scopes=scopes,
        perms=request.perms,
        max_depth=min(request.max_depth, authority.max_depth),
        nbf_ms=authority.nbf_ms,
        exp_ms=min(request.exp_ms, authority.exp_ms),
        caveats=tuple(sorted(request.caveats)),  # type: ignore[arg-type]
        label=request.label,
    )


def scopes_under(
    authority: Authority, wanted: Sequence[bytes], store: Store
) -> tuple[Scope, ...] | None:
    """Scopes with their birth-key steps from the authority's own; None if one is outside."""
    found = []
    for node in wanted:
        steps: list[tuple[int, bytes]] = []
        here = node
        while here not in authority.scopes:
            birth = store.births.get(here)
            if birth is None:
                return None
            steps.append((birth.key_class, birth.key))
            here = birth.parent
        found.append(Scope(authority.scopes.index(here), tuple(reversed(steps)), node))
    return tuple(sorted(found, key=lambda scope: scope.id))


def session_grant(authority: Authority, audience: bytes, session: bytes, name: str) -> Grant:
    """What one local session may do: all that its node may, but not pass it on."""
    order = sorted(enumerate(authority.scopes), key=lambda item: item[1])
    return Grant(
        audience=audience,
        akind=SESSION,
        scopes=tuple(Scope(index, (), scope) for index, scope in order),
        perms=authority.perms & ~DELEGATE,
        max_depth=authority.max_depth,
        nbf_ms=authority.nbf_ms,
        exp_ms=authority.exp_ms,
        caveats=((CAVEAT_SESSION, session),),
        label=name[:_LABEL_CHARACTERS],
    )


def session_of(grant: Grant) -> bytes:
    """The session that a session grant names, else empty."""
    named = grant.caveat(CAVEAT_SESSION)
    return named if isinstance(named, bytes) else b""
