"""A member that tells of others over and over does not aim this node's dials."""

from __future__ import annotations

from random import Random

from capability.keys import SeedSigner
from mesh import acquaint
from mesh.core.effects import Connect
from mesh.core.inputs import Now
from mesh.gossip.limits import PEERS_TOLD_MAX, SETTLE_MS, TOLD_INTERVAL_MS
from mesh.gossip.membership import Membership
from mesh.gossip.messages import Peers, Told
from mesh.status import LinkState
from tests.mesh.replica.world import TODAY_MS, admit, new_mesh, node_of, seed


def test_what_one_link_tells_in_a_while_is_bounded() -> None:
    mesh = new_mesh()
    me, other = SeedSigner(seed("me")), SeedSigner(seed("other"))
    node = node_of(mesh, me, [admit(mesh, me.public), admit(mesh, other.public)])
    membership = Membership(me.public, (), Random(1))
    state = LinkState(mesh.root.public, outbound=True, address=None, handshake_hash=bytes(32))
    dialled = set()
    for port in range(1, 4 * PEERS_TOLD_MAX):
        told = Peers((Told(other.public, (("192.0.2.1", port),)),))
        effects = acquaint.hear(told, state, membership, node.replica, Now(port, TODAY_MS))
        dialled.update(effect.address for effect in effects)
    assert 0 < len(dialled) <= PEERS_TOLD_MAX
    assert state.told == PEERS_TOLD_MAX
    later = Now(TOLD_INTERVAL_MS + 1, TODAY_MS)
    acquaint.hear(told, state, membership, node.replica, later)
    assert state.told == 1, "after the while it is heard again"


def test_a_stranger_that_is_told_of_is_not_dialled() -> None:
    mesh = new_mesh()
    me, stranger = SeedSigner(seed("me")), SeedSigner(seed("stranger"))
    node = node_of(mesh, me, [admit(mesh, me.public)])
    membership = Membership(me.public, (), Random(1))
    state = LinkState(mesh.root.public, outbound=True, address=None, handshake_hash=bytes(32))
    told = Peers((Told(stranger.public, (("192.0.2.1", 1),)),))
    assert acquaint.hear(told, state, membership, node.replica, Now(1, TODAY_MS)) == []
    assert membership.peers_view() == ()


def test_who_is_told_of_before_its_grant_has_come_is_dialled_when_it_has() -> None:
    """A node that joins hears of all others before it knows who is a member, and only then."""
    mesh = new_mesh()
    me, other = SeedSigner(seed("me")), SeedSigner(seed("other"))
    node = node_of(mesh, me, [admit(mesh, me.public)])
    membership = Membership(me.public, (), Random(1))
    state = LinkState(mesh.root.public, outbound=True, address=None, handshake_hash=bytes(32))
    told = Peers((Told(other.public, (("192.0.2.1", 1),)),))
    assert acquaint.hear(told, state, membership, node.replica, Now(1, TODAY_MS)) == []
    first, later = Now(2, TODAY_MS), Now(2 + SETTLE_MS, TODAY_MS)
    assert acquaint.recall({1: state}, membership, node.replica, first) == []
    node.receive([admit(mesh, other.public)])
    assert acquaint.recall({1: state}, membership, node.replica, first) == []
    found = acquaint.recall({1: state}, membership, node.replica, later)
    assert found == [Connect(("192.0.2.1", 1), other.public)]
    assert state.unmet == {}


def test_members_beyond_what_is_heard_in_a_while_are_dialled_after_it() -> None:
    mesh = new_mesh()
    me = SeedSigner(seed("me"))
    keys = [SeedSigner(seed(f"{number}")).public for number in range(PEERS_TOLD_MAX + 3)]
    node = node_of(mesh, me, [admit(mesh, key) for key in (me.public, *keys)])
    membership = Membership(me.public, (), Random(1))
    state = LinkState(mesh.root.public, outbound=True, address=None, handshake_hash=bytes(32))
    for number, key in enumerate(keys):
        told = Peers((Told(key, (("192.0.2.1", number + 1),)),))
        acquaint.hear(told, state, membership, node.replica, Now(number, TODAY_MS))
    met = {view.node for view in membership.peers_view()}
    assert len(met) == PEERS_TOLD_MAX
    acquaint.recall({1: state}, membership, node.replica, Now(TOLD_INTERVAL_MS, TODAY_MS))
    assert {view.node for view in membership.peers_view()} - met == set(keys) - met


def test_strangers_that_one_link_tells_of_are_bounded() -> None:
    mesh = new_mesh()
    me = SeedSigner(seed("me"))
    node = node_of(mesh, me, [admit(mesh, me.public)])
    membership = Membership(me.public, (), Random(1))
    state = LinkState(mesh.root.public, outbound=True, address=None, handshake_hash=bytes(32))
    for number in range(3 * PEERS_TOLD_MAX):
        told = Peers((Told(number.to_bytes(32, "big"), (("192.0.2.1", 1),)),))
        now = Now(number * TOLD_INTERVAL_MS, TODAY_MS)
        acquaint.hear(told, state, membership, node.replica, now)
    assert len(state.unmet) == PEERS_TOLD_MAX
    assert membership.peers_view() == ()
