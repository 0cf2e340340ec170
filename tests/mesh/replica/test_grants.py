"""Bodies of grants: nothing is passed on that this node has not itself."""

from __future__ import annotations

import pytest
from attrs import evolve

from capability import permissions
from capability.authority import Authority, root_authority
from capability.bodies import CAVEAT_SESSION, MEMBER, SESSION, Grant, Scope
from capability.ids import session_id
from capability.limits import NEVER_MS
from mesh.core.inputs import IssueGrant
from mesh.core.writes import Create
from mesh.replica.grants import grant_under, may_issue, scopes_under, session_grant, session_of
from mesh.replica.writer import Submitted
from tests.mesh.replica.desk import Desk

MESH = b"m" * 32
KEY = b"k" * 32


def holding(**what: object) -> Authority:
    """What a grant at rank 1 of a chain that may be 3 long passes on, but for *what*."""
    fields = {"perms": permissions.ALL, "max_depth": 3, "chain": (b"g" * 32,)}
    return evolve(root_authority(MESH), **(fields | what))


def test_what_is_held_may_be_passed_on_to_the_end_of_the_chain() -> None:
    assert may_issue(holding(), permissions.ALL)
    assert may_issue(holding(chain=(b"g" * 32,) * 2), 0)
    assert not may_issue(holding(chain=(b"g" * 32,) * 3), 0)
    some = holding(perms=permissions.READ | permissions.DELEGATE)
    assert may_issue(some, permissions.READ)
    assert not may_issue(some, permissions.READ | permissions.WRITE)
    assert not may_issue(holding(perms=permissions.READ), permissions.READ)
    assert not may_issue(holding(caveats=((CAVEAT_SESSION, bytes(16)),)), permissions.READ)


def asked(desk: Desk, *scopes: bytes, **what: object) -> IssueGrant:
    fields = {"perms": permissions.READ, "max_depth": 8, "exp_ms": NEVER_MS}
    return IssueGrant(1, KEY, MEMBER, scopes, **(fields | what))  # type: ignore[arg-type]


def test_a_grant_has_what_was_asked_for_within_what_is_held() -> None:
    desk = Desk()
    under = evolve(holding(nbf_ms=5, exp_ms=9_000), scopes=(desk.top,))
    store = desk.node.replica.store
    request = asked(desk, desk.top, caveats=((11, 7), (9, 1)), label="door")
    scopes = (Scope(0, (), desk.top),)
    found = grant_under(under, request, store)
    caveats = ((9, 1), (11, 7))
    assert found == Grant(KEY, MEMBER, scopes, permissions.READ, 3, 5, 9_000, caveats, "door")
    less = grant_under(under, asked(desk, desk.top, max_depth=2, exp_ms=8_000), store)
    assert less is not None and (less.max_depth, less.exp_ms) == (2, 8_000)
    assert grant_under(under, asked(desk, desk.top, perms=1 << 20), store) is None
    assert grant_under(under, asked(desk, b"?" * 16), store) is None


def test_scopes_are_reached_by_the_births_between() -> None:
    desk = Desk()
    reply = desk.node.write(Create(desk.task, "task", shared_key=b"below"))
    assert isinstance(reply, Submitted)
    (below,) = reply.created
    store = desk.node.replica.store
    roofs = tuple(sorted((desk.task, b"\0" * 16)))
    under = evolve(holding(), scopes=roofs)
    at = roofs.index(desk.task)
    own, lower = Scope(at, (), desk.task), Scope(at, ((1, b"below"),), below)
    assert scopes_under(under, [below, desk.task], store) == tuple(
        sorted((own, lower), key=lambda scope: scope.id)
    )
    top = evolve(holding(), scopes=(desk.top,))
    assert scopes_under(top, [below], store) == (Scope(0, ((1, b"task"), (1, b"below")), below),)
    assert scopes_under(top, [], store) == ()
    # What lies above, or is not known, is outside.
    assert scopes_under(under, [desk.top], store) is None
    assert scopes_under(top, [below, b"?" * 16], store) is None


def test_a_session_may_do_all_that_its_node_may_but_pass_it_on() -> None:
    scopes = (b"b" * 16, b"a" * 16)
    under = holding(scopes=scopes, nbf_ms=5, exp_ms=9_000)
    name = "a name longer than its label may be"
    assert session_grant(under, KEY, session_id(name), name) == Grant(
        audience=KEY,
        akind=SESSION,
        scopes=(Scope(1, (), b"a" * 16), Scope(0, (), b"b" * 16)),
        perms=permissions.ALL & ~permissions.DELEGATE,
        max_depth=3,
        nbf_ms=5,
        exp_ms=9_000,
        caveats=((CAVEAT_SESSION, session_id(name)),),
        label=name[:16],
    )


@pytest.mark.parametrize("letter", ["a", "ü", "字", "𝄞"])
def test_a_sessions_label_fits_in_any_alphabet(letter: str) -> None:
    grant = session_grant(holding(), KEY, bytes(16), letter * 40)
    assert grant.label == letter * 16
    grant.encode()


def test_the_session_of_a_grant_is_the_one_that_it_names() -> None:
    named = session_grant(holding(), KEY, b"s" * 16, "s")
    assert session_of(named) == b"s" * 16
    assert session_of(evolve(named, caveats=((CAVEAT_SESSION, 5),))) == b""
    assert session_of(evolve(named, caveats=())) == b""
