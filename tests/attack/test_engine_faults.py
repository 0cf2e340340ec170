"""No member can make the engine raise: the driver would build it anew, and close every link."""

from __future__ import annotations

import pytest

from capability import permissions
from capability.bodies import MEMBER
from capability.keys import SeedSigner
from capability.limits import NEVER_MS
from mesh.core.inputs import IssueGrant
from mesh.gossip.messages import ForkProof, GoodbyeCode, Join
from tests.mesh.replica.hand import Hand
from tests.mesh.replica.world import seed
from tests.mesh.swarm import check
from tests.mesh.swarm.caller import Caller
from tests.mesh.swarm.world import World


@pytest.mark.parametrize("shown", ["garbage", "nothing", "no join", "another's"])
def test_a_member_that_shows_no_chain_loses_its_membership(shown: str) -> None:
    """Its chain is not looked at while it is a member, and must not be believed when it is none."""
    world = World()
    ann = world.hosts["ann"]
    lead, mal = SeedSigner(seed("lead")), SeedSigner(seed("mal"))
    root = ann.engine.replica.store.root
    perms = permissions.MEMBER | permissions.DELEGATE
    request = IssueGrant(ann.next_request(), lead.public, MEMBER, (root,), perms, 8, NEVER_MS)
    leaf = ann.ask(request).value
    assert isinstance(leaf, bytes)
    hand = Hand(lead, world.mesh, leaf)
    twin = hand.twin()
    grant, other = hand.grant(mal.public), twin.grant(SeedSigner(seed("other")).public)
    chain = (*ann.engine.replica.port.chain_of(leaf), grant.encode())
    first = Caller(ann, mal)
    first.tell(first.hello(Join(chain, b"")))
    first.close()
    again = Caller(ann, mal, link=first.link + 1)
    joins = {
        "garbage": Join((b"garbage",), b""),
        "nothing": Join((), b""),
        "no join": None,
        "another's": Join(chain[:-1], b""),
    }
    again.tell(again.hello(joins[shown]))
    assert again.link in ann.engine.links
    low, high = sorted((grant.signed_header, other.signed_header), key=lambda half: half.id)
    code, _ = again.refusal(ForkProof(low, high))
    assert code is GoodbyeCode.NOT_A_MEMBER
    assert again.link not in ann.engine.links
    check.reloads_equal(world)
