"""A member who signs long grants to others does not cut them off: a hello has a bound."""

from __future__ import annotations

import pytest

from capability.bodies import Scope
from capability.ids import CLASS_SHARED, root_worknode, worknode_id
from capability.keys import SeedSigner
from capability.limits import NEVER_MS
from mesh.gossip.limits import HELLO_BYTES_MAX
from mesh.greeting import Caller, EngineConfig, read_chain, say
from mesh.storage import MemoryStore
from mesh.wire import encode_message
from tests.mesh.replica.world import TODAY_MS, Mesh, admit, new_mesh, node_of, seed


def long_scopes(mesh: Mesh) -> tuple[Scope, ...]:
    """Sixty Worknodes, each born far below the root."""
    found = []
    for number in range(60):
        node, steps = root_worknode(mesh.id), []
        for step in range(25):
            key = b"%030d%030d" % (number, step)
            node = worknode_id(node, CLASS_SHARED, key)
            steps.append((CLASS_SHARED, key))
        found.append(Scope(0, tuple(steps), node))
    return tuple(sorted(found, key=lambda scope: scope.id))


@pytest.mark.parametrize("own_first", [True, False])
def test_a_long_grant_to_a_member_is_not_what_it_shows(*, own_first: bool) -> None:
    mesh = new_mesh()
    me, stranger = SeedSigner(seed("me")), SeedSigner(seed("stranger"))
    grants = []
    for is_own in (own_first, not own_first):
        if is_own:
            grants.append(admit(mesh, me.public, exp_ms=TODAY_MS + 3_600_000))
        else:
            grants.append(admit(mesh, me.public, scopes=long_scopes(mesh), exp_ms=NEVER_MS))
    node = node_of(mesh, me, grants)
    hello = say(
        node.replica,
        MemoryStore(),
        caller=Caller(stranger.public, bytes(32)),
        config=EngineConfig("me"),
        now=node.now,
    )
    assert len(encode_message(hello)) <= HELLO_BYTES_MAX
    assert hello.join is not None
    evidence = read_chain(hello.join.chain, node_of(mesh, stranger).replica, me.public)
    assert evidence.grant is not None and evidence.grant.exp_ms == TODAY_MS + 3_600_000
