"""Keys are free: whoever has shown no grant costs a member nothing but a moment."""

from __future__ import annotations

from random import Random
from time import perf_counter

from capability.keys import SeedSigner
from crdt.codec import encode
from crdt.hlc import pack
from mesh.core.effects import Connect, Disconnect
from mesh.core.inputs import DialFailed, LinkClosed, LinkOpened, Now, Tick
from mesh.core.limits import LINKS_MAX, SKEW_MS_MAX
from mesh.gossip.membership import Membership
from mesh.gossip.targets import Target
from tests.mesh.replica.hand import inc
from tests.mesh.replica.stage import Stage
from tests.mesh.replica.world import TODAY_MS, seed
from tests.mesh.swarm.caller import Caller
from tests.mesh.swarm.scenes import pair


def test_strangers_who_say_nothing_do_not_keep_members_out() -> None:
    members = Membership(b"\0" * 32, (), Random(1))
    now = Now(1_000, TODAY_MS)
    for link in range(1, LINKS_MAX + 1):
        opened = LinkOpened(link, SeedSigner(seed(f"{link}")).public, False, None, b"h" * 32)
        members.handle(opened, now)
        if link == 1:
            members.accepted(link, (), "a member", now)
    honest = LinkOpened(1_000, SeedSigner(seed("honest")).public, False, None, b"h" * 32)
    effects = members.handle(honest, now)
    assert [e.link for e in effects if isinstance(e, Disconnect)] == [2]
    assert members.holds(1_000)
    assert members.holds(1)
    assert not members.holds(2)
    members.handle(LinkClosed(2, "turned out"), now)
    assert members.holds(1_000)


def test_strangers_who_say_nothing_do_not_keep_a_node_from_calling_members() -> None:
    target = Target(seed("friend"), 0)
    target.add(("10.0.0.1", 7001))
    members = Membership(b"\0" * 32, ((target.node, target.encode()),), Random(1))
    now = Now(1_000, TODAY_MS)
    members.handle(DialFailed(("10.0.0.1", 7001), "refused"), now)
    for link in range(1, LINKS_MAX + 1):
        opened = LinkOpened(link, SeedSigner(seed(f"{link}")).public, False, None, b"h" * 32)
        members.handle(opened, now)
    later = Now(60_000, TODAY_MS)
    members.handle(DialFailed(("10.0.0.1", 7001), "refused"), later)
    assert members.deadline is not None
    again = members.handle(Tick(), Now(members.deadline, TODAY_MS))
    assert again == [Connect(("10.0.0.1", 7001), target.node)]
    met = LinkOpened(1_000, target.node, True, ("10.0.0.1", 7001), b"h" * 32)
    assert Disconnect(1, "too many links") in members.handle(met, later)
    assert members.holds(1_000)


def test_a_stranger_who_says_everything_but_hello_is_sent_away() -> None:
    """Whoever had said anything at all could stay for ever."""
    world, ann, _, _ = pair()
    caller = Caller(ann, SeedSigner(seed("stranger")))
    for _ in range(7):
        assert caller.tell(encode((99, b"of a later version"))) == []
        world.run(2_000)
        assert caller.link in ann.engine.links
    world.run(8_000)
    assert caller.link not in ann.engine.links
    caller.close()


def test_members_are_never_turned_out() -> None:
    members = Membership(b"\0" * 32, (), Random(1))
    now = Now(1_000, TODAY_MS)
    for link in range(1, LINKS_MAX + 1):
        opened = LinkOpened(link, SeedSigner(seed(f"{link}")).public, False, None, b"h" * 32)
        members.handle(opened, now)
        members.accepted(link, (), "a member", now)
    late = LinkOpened(1_000, SeedSigner(seed("late")).public, False, None, b"h" * 32)
    effects = members.handle(late, now)
    assert [e.link for e in effects if isinstance(e, Disconnect)] == [1_000]
    assert all(members.holds(link) for link in range(1, LINKS_MAX + 1))


def test_parked_entries_are_not_looked_through_for_each_deadline() -> None:
    stage = Stage()
    ahead = TODAY_MS + 2 * SKEW_MS_MAX
    parked = [stage.bob.data(inc(stage.task, "n", 1), hlc=pack(ahead + n, 0)) for n in range(1_000)]
    stage.node.receive(parked)
    held = stage.node.replica.held
    assert len(held.table.parked) == len(parked)
    begun = perf_counter()
    for _ in range(10_000):
        assert held.next_wake_ms() == ahead - SKEW_MS_MAX
    assert perf_counter() - begun < 1.0
    assert held.wake_parked(ahead - SKEW_MS_MAX + 499) == 500
    assert held.next_wake_ms() == ahead + 500 - SKEW_MS_MAX
    before = stage.node.replica.state_hash()
    assert held.wake_parked(ahead + 1_000) == 500
    assert held.next_wake_ms() is None
    assert stage.node.replica.state_hash() != before
