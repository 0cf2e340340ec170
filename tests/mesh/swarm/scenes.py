"""Small beginnings: two hosts in sync, and a member who speaks by hand."""

from __future__ import annotations

from capability import permissions
from capability.bodies import MEMBER
from capability.keys import SeedSigner
from capability.limits import NEVER_MS
from mesh.core.inputs import IssueGrant
from mesh.core.writes import Create
from tests.mesh.replica.world import seed
from tests.mesh.swarm import check
from tests.mesh.swarm.caller import Caller
from tests.mesh.swarm.host import Host
from tests.mesh.swarm.world import World


def pair(number: int = 5) -> tuple[World, Host, Host, bytes]:
    """Ann and Bob in sync, with one Worknode."""
    world = World(seed=number)
    world.join("bob", by="ann")
    check.converges(world)
    ann, bob = world.hosts["ann"], world.hosts["bob"]
    reply = ann.write(Create(ann.engine.replica.store.root, "task", b"one"))
    check.converges(world)
    return world, ann, bob, reply.value.created[0]


def member_by_hand(number: int = 5) -> tuple[World, Host, Caller]:
    """Somebody who is a member, and has been let in."""
    world, ann, _, _ = pair(number)
    key = SeedSigner(seed("mad"))
    root = ann.engine.replica.store.root
    ann.ask(
        IssueGrant(ann.next_request(), key.public, MEMBER, (root,), permissions.MEMBER, 8, NEVER_MS)
    )
    check.converges(world)
    caller = Caller(ann, key)
    caller.tell(caller.hello())
    assert caller.is_in
    return world, ann, caller
