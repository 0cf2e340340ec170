"""How far up the branch that stands the entries of one grant count: whose pins bind them."""

from __future__ import annotations

import pytest

from capability.permissions import ALL, REVOKE
from capability.verdict import Reason
from tests.capability.story import COUNTS, Mesh, void


@pytest.fixture
def mesh() -> Mesh:
    return Mesh()


def test_a_revoker_binds_nothing_that_ranks_as_it_does(mesh: Mesh) -> None:
    """Though its pin is heard, for the sake of what the same author makes by a grant below it."""
    mid, ann, warden = mesh.log("mid"), mesh.log("ann"), mesh.log("warden")
    for member in (mid, ann, warden):
        mesh.root.grant(member)
    below = mid.grant(ann.author)
    left, right = ann.twin(), ann.twin()
    beside, bound = left.data(), left.data(leaf=below.id)
    right.data("right")
    warden.pin(bound)
    ledger = mesh.ledger()
    assert ledger.judge(bound.header, bound.id) == COUNTS
    assert ledger.judge(beside.header, beside.id) == void(Reason.FORKED)


def test_a_revoker_binds_nothing_outside_its_scope(mesh: Mesh) -> None:
    docs, code = mesh.scope("docs"), mesh.scope("code")
    mid, ann, warden = mesh.log("mid"), mesh.log("ann"), mesh.log("warden")
    mesh.root.grant(mid)
    mesh.root.grant(warden, scopes=(docs,))
    mid.grant(ann, scopes=(code,))
    within = mid.grant(ann.author, scopes=(docs,))
    left, right = ann.twin(), ann.twin()
    outside, bound = left.data(), left.data(leaf=within.id)
    right.data("right")
    warden.pin(bound)
    ledger = mesh.ledger()
    assert ledger.judge(bound.header, bound.id) == COUNTS
    assert ledger.judge(outside.header, outside.id) == void(Reason.FORKED)


def test_each_link_of_a_chain_binds_what_is_made_below_it(mesh: Mesh) -> None:
    """Without REVOKE, and of a chain of three not only the first."""
    ann, ben, cec = mesh.log("ann"), mesh.log("ben"), mesh.log("cec")
    without = ALL & ~REVOKE
    mesh.root.grant(ann, perms=without)
    ann.grant(ben, perms=without)
    ben.grant(cec, perms=without)
    left, right = cec.twin(), cec.twin()
    first, second = left.data("first"), left.data("second")
    right.data("right")
    ann.pin(first)
    ben.pin(second)
    ledger = mesh.ledger()
    assert ledger.judge(first.header, first.id) == COUNTS
    assert ledger.judge(second.header, second.id) == COUNTS


def test_a_root_key_binds_whatever_is_made_below_it(mesh: Mesh) -> None:
    ann, ben = mesh.log("ann"), mesh.log("ben")
    mesh.root.grant(ann, perms=ALL & ~REVOKE)
    ann.grant(ben, perms=ALL & ~REVOKE)
    left, right = ben.twin(), ben.twin()
    chosen = left.data("left")
    right.data("right")
    mesh.root.pin(chosen)
    ledger = mesh.ledger()
    assert ledger.judge(chosen.header, chosen.id) == COUNTS
