"""Joining among engines: at the inviter, at others, twice, late; and what becomes of the pin."""

from __future__ import annotations

import pytest

from capability.ticket import Ticket
from mesh.core.errors import Denied
from mesh.core.writes import Create
from mesh.gossip.messages import GoodbyeCode
from tests.mesh.swarm import check
from tests.mesh.swarm.homes import HOUR_MS, invite, joining
from tests.mesh.swarm.host import Host
from tests.mesh.swarm.workload import nodes_of
from tests.mesh.swarm.world import World


@pytest.fixture
def world() -> World:
    """Ann, who founded it, Bob and Cec."""
    world = World(seed=7)
    for name in ("bob", "cec"):
        world.join(name, by="ann")
    world.meet("cec", "bob")
    check.converges(world)
    return world


def enter(world: World, ticket: Ticket, name: str, *, at: str) -> Host:
    """*name* bears the ticket and dials *at*."""
    host = world.add(name, joining(ticket, name, world.hosts[at].now.wall_ms))
    world.meet(name, at)
    return host


def create(host: Host) -> bytes | None:
    """A Worknode of this host; None if it may not write."""
    reply = host.write(Create(host.engine.replica.store.root, "task", b"by " + host.name.encode()))
    if reply.error is None:
        return reply.value.created[0]
    assert isinstance(reply.error, Denied), reply.error
    return None


def is_provisional(host: Host, of: Host) -> bool:
    return host.engine.replica.held.ledger.join_keys.provisional(of.signer.public)


def counts(host: Host, of: Host) -> bool:
    return of.signer.public in host.engine.replica.held.ledger.members()


def codes(host: Host) -> set[int]:
    return {goodbye["code"] for goodbye in host.status()["goodbyes"]}


def is_linked(host: Host, to: Host) -> bool:
    peers = {peer["node_id"]: peer["state"] for peer in host.status()["peers"]}
    return peers.get(to.signer.public.hex()) == "connected"


def test_who_joins_at_the_inviter_is_pinned_at_once(world: World) -> None:
    dan = enter(world, invite(world.hosts["ann"]), "dan", at="ann")
    assert (dan.status()["member"], dan.status()["provisional"]) == (False, None)
    assert create(dan) is None, "nobody's yet"
    check.converges(world)
    assert not any(is_provisional(host, dan) for host in world.up)
    assert create(dan)
    check.converges(world)
    assert len(nodes_of(world.hosts["bob"])) == 1


def test_who_joins_elsewhere_is_provisional_until_the_inviter_hears_of_it(world: World) -> None:
    ticket = invite(world.hosts["ann"])
    check.converges(world)
    world.partition(["ann"], ["bob", "cec", "dan"])
    dan = enter(world, ticket, "dan", at="bob")
    world.run(10_000)
    assert dan.status()["member"] is True
    assert create(dan), "a provisional member works like any other"
    world.run(10_000)
    others = [world.hosts["bob"], world.hosts["cec"], dan]
    assert all(is_provisional(host, dan) for host in others)
    assert dan.status()["provisional"] is True
    world.heal()
    check.converges(world)
    assert not any(is_provisional(host, dan) for host in world.up)
    assert all(len(nodes_of(host)) == 1 for host in world.up)
    check.nothing_lost(world)


@pytest.mark.parametrize("first", ["ann", "cec"])
def test_of_two_uses_in_a_partition_the_pinned_one_counts(world: World, first: str) -> None:
    """At the inviter's side and another's; or both out of its sight, so that one is pinned late."""
    ticket = invite(world.hosts["ann"])
    check.converges(world)
    if first == "ann":
        world.partition(["ann", "cec", "dan"], ["bob", "eve"])
    else:
        world.partition(["ann"], ["cec", "dan"], ["bob", "eve"])
    dan = enter(world, ticket, "dan", at=first)
    eve = enter(world, ticket, "eve", at="bob")
    world.run(20_000)
    assert is_linked(dan, world.hosts[first])
    assert is_linked(eve, world.hosts["bob"])
    assert create(dan)
    assert create(eve)
    world.run(5_000)
    world.heal()
    members = [world.hosts[name] for name in ("ann", "bob", "cec")]
    world.run(check.CONVERGE_MS)
    assert len({check.situation(host) for host in members}) == 1, check.describe(world)
    verdicts = {(counts(host, dan), counts(host, eve)) for host in members}
    assert verdicts in ({(True, False)}, {(False, True)})
    won, lost = (dan, eve) if counts(members[0], dan) else (eve, dan)
    assert first == "cec" or won is dan, "the inviter has seen this one first"
    assert [host.engine.replica.forked() for host in members] == [[(ticket.signer().public, 0)]] * 3
    assert all(len(nodes_of(host)) == 1 for host in members), "what the void one wrote is void"
    assert check.situation(won) == check.situation(members[0])
    assert not any(is_linked(host, lost) for host in members)
    assert codes(lost) <= {GoodbyeCode.NOT_A_MEMBER, GoodbyeCode.TICKET_USED}
    assert codes(lost)
    assert not codes(won)
    with world.counting() as sent:
        world.run(60_000)
    assert set(sent) <= {"Roots", "RootsReply", "Hello", "Goodbye"}, "they agree, and rest"
    assert sent["Hello"] <= 40, "the void one dials less and less often"
    before = [check.situation(host) for host in (*members, won)]
    for host in (*members, won):
        host.die()
        host.start()
    assert [check.situation(host) for host in (*members, won)] == before


def test_a_second_use_at_the_same_place_is_told_so(world: World) -> None:
    ticket = invite(world.hosts["ann"])
    enter(world, ticket, "dan", at="ann")
    check.converges(world)
    eve = enter(world, ticket, "eve", at="bob")
    before = check.situation(world.hosts["ann"])
    world.run(60_000)
    assert codes(eve) == {GoodbyeCode.TICKET_USED}
    assert check.situation(world.hosts["ann"]) == before
    stranger = eve.engine.replica.author.hex()
    for host in (world.hosts["ann"], world.hosts["bob"]):
        assert stranger not in {peer["node_id"] for peer in host.status()["peers"]}
    assert eve.status()["peers"], "who is no member itself shows whom it tries"
    assert create(eve) is None
    assert 4 <= len(world.hosts["bob"].said("peer.refused")) <= 20, "it asks less and less often"


def test_an_expired_ticket_admits_nobody(world: World) -> None:
    ticket = invite(world.hosts["ann"], ttl_ms=1_000)
    dan = world.add("dan", joining(ticket, "dan", world.hosts["ann"].now.wall_ms))
    world.run(2_000)
    world.meet("dan", "ann")
    world.run(30_000)
    assert codes(dan) == {GoodbyeCode.TICKET_EXPIRED}


def test_a_ticket_of_many_uses_admits_as_many(world: World) -> None:
    ticket = invite(world.hosts["ann"], uses=2)
    dan = enter(world, ticket, "dan", at="ann")
    check.converges(world)
    eve = enter(world, ticket, "eve", at="ann")
    world.run(30_000)
    # Both bearers issue at seq 1, since neither can know of the other: the first one has it.
    assert counts(world.hosts["ann"], dan)
    assert codes(eve) == {GoodbyeCode.TICKET_USED}


def test_a_member_whom_nobody_here_has_heard_of_is_believed_by_its_chain(world: World) -> None:
    """Even when its ticket has expired since, for it shows the pin."""
    ticket = invite(world.hosts["ann"], ttl_ms=HOUR_MS)
    check.converges(world)
    world.partition(["ann", "dan"], ["bob"], ["cec"])
    dan = enter(world, ticket, "dan", at="ann")
    world.run(10_000)
    world.now_ms += 2 * HOUR_MS
    world.partition(["ann"], ["bob"], ["cec", "dan"])
    cec = world.hosts["cec"]
    assert not counts(cec, dan)
    world.meet("dan", "cec")
    assert world.run(30_000, until=lambda: is_linked(cec, dan) and is_linked(dan, cec))
    assert not codes(dan)
    world.run(10_000)
    assert counts(cec, dan)
    assert not is_provisional(cec, dan)


def test_a_member_without_a_pin_is_a_stranger_once_its_ticket_has_expired(world: World) -> None:
    ticket = invite(world.hosts["ann"], ttl_ms=HOUR_MS)
    check.converges(world)
    world.partition(["ann"], ["bob", "dan"], ["cec"])
    dan = enter(world, ticket, "dan", at="bob")
    world.run(10_000)
    world.now_ms += 2 * HOUR_MS
    world.run(10_000)
    assert is_linked(world.hosts["bob"], dan), "who has admitted it goes on"
    world.partition(["ann"], ["bob"], ["cec", "dan"])
    world.meet("dan", "cec")
    world.run(30_000)
    assert codes(dan) == {GoodbyeCode.TICKET_EXPIRED}
    world.heal()
    check.converges(world)
    assert not is_provisional(world.hosts["cec"], dan), "the inviter has pinned it after all"


def test_whose_grant_ends_is_sent_away_and_is_told_nothing_more(world: World) -> None:
    ann = world.hosts["ann"]
    ticket = invite(ann, exp_ms=ann.now.wall_ms + HOUR_MS)
    dan = enter(world, ticket, "dan", at="ann")
    check.converges(world)
    world.run(30_000)
    assert is_linked(ann, dan)
    assert len(world.links_of("dan")) >= 1
    world.now_ms += HOUR_MS
    world.run(30_000)
    assert not any(is_linked(host, dan) for host in world.up if host is not dan)
    assert codes(dan) == {GoodbyeCode.NOT_A_MEMBER}
    assert "has expired" in dan.status()["goodbyes"][-1]["text"]
    assert create(ann)
    world.run(30_000)
    assert len(nodes_of(world.hosts["bob"])) == 1
    assert nodes_of(dan) == []


def test_a_joiner_that_dies_before_it_is_admitted_tries_again(world: World) -> None:
    ticket = invite(world.hosts["ann"])
    dan = enter(world, ticket, "dan", at="ann")
    for _ in range(3):
        dan.die()
        world.run(50)
        dan.start()
        world.meet("dan", "ann")
        world.run(30)
    check.converges(world)
    assert create(dan)
    assert not any(host.engine.replica.forked() for host in world.up)


def test_whom_a_member_invites_may_invite(world: World) -> None:
    for name, by in (("dan", "bob"), ("eve", "dan"), ("fay", "eve")):
        world.join(name, by=by)
        check.converges(world)
    assert create(world.hosts["fay"])
    check.converges(world)
    check.nothing_lost(world)


def test_two_who_joined_by_the_same_member_meet_while_it_is_away() -> None:
    world = World()
    for name in ("bob", "cec"):
        world.join(name, by="ann")
    check.converges(world)
    for host in world.hosts.values():
        host.is_open = True
        host.die()
        host.start()
    world.run(10_000)
    bob, cec = world.hosts["bob"], world.hosts["cec"]
    assert is_linked(bob, cec)
    world.hosts["ann"].die()
    assert create(bob)
    world.run(10_000)
    assert check.situation(bob) == check.situation(cec)
