"""A home that was restored from a copy, or runs twice: it stops writing before its log forks."""

from __future__ import annotations

import copy

import pytest

from capability.entry import LANE_DATA, Entry
from capability.ids import root_worknode
from capability.keys import SeedSigner
from mesh.core.effects import Persist, Send
from mesh.core.errors import Precondition
from mesh.core.inputs import LOCAL, Found, Now, Received, Submit
from mesh.core.records import PutEntry
from mesh.core.writes import Append, Create, SetRegister
from mesh.gossip.messages import Get, GoodbyeCode, Push, Range
from mesh.storage.memory import MemoryStore
from mesh.wire import encode_message
from tests.mesh.replica.hand import Hand, put
from tests.mesh.replica.world import seed
from tests.mesh.swarm import check
from tests.mesh.swarm.caller import Caller
from tests.mesh.swarm.host import Host
from tests.mesh.swarm.workload import note
from tests.mesh.swarm.world import World


@pytest.fixture
def world() -> World:
    """Ann, Bob and Cec, in sync, with one Worknode of Bob's."""
    world = World(seed=3)
    world.join("bob", by="ann")
    check.converges(world)
    world.join("cec", by="ann")
    check.converges(world)
    bob = world.hosts["bob"]
    bob.write(Create(bob.engine.replica.store.root, "task", b"one"))
    check.converges(world)
    return world


def node(host: Host) -> bytes:
    return next(n for n, r in host.engine.replica.store.worknodes.items() if r.creates)


def write(host: Host, value: int) -> object:
    return host.write(SetRegister(node(host), 0, "a", value)).error


def restore(host: Host, backup: MemoryStore) -> None:
    host.die()
    host.store = copy.deepcopy(backup)
    host.events.clear()
    host.start()


def own_entries(host: Host) -> list[Entry]:
    stored = [item.entry for item in host.store.entries()]
    return [entry for entry in stored if entry.header.author == host.signer.public]


def test_a_home_behind_its_peers_stops_writing_and_says_so(world: World) -> None:
    ann, bob = world.hosts["ann"], world.hosts["bob"]
    backup = copy.deepcopy(bob.store)
    assert write(bob, 1) is None
    check.converges(world)
    before = check.situation(ann)
    restore(bob, backup)
    assert note(bob, node(bob), "before it is told"), "nobody can know yet: LOCAL, so not sent"
    assert world.run(30_000, until=lambda: bool(bob.status()["blocked"]))
    refused = write(bob, 2)
    assert isinstance(refused, Precondition)
    assert "restored from a copy" in refused.message
    assert refused.hint == "run `mesh doctor`"
    held = len(own_entries(bob))
    world.run(60_000)
    assert len(own_entries(bob)) == held, "what waits is not sealed either"
    assert check.situation(ann) == before
    assert not ann.engine.replica.forked()
    assert {g["code"] for g in ann.status()["goodbyes"]} == {GoodbyeCode.HEAD_MISMATCH}
    assert "restored from a copy" in bob.status()["blocked"]


def test_nothing_of_ones_own_is_sent_to_a_peer_that_knows_better(world: World) -> None:
    bob = world.hosts["bob"]
    backup = copy.deepcopy(bob.store)
    assert write(bob, 1) is None
    check.converges(world)
    world.partition(["ann", "cec"], ["bob"])
    restore(bob, backup)
    assert write(bob, 2) is None, "off line it cannot know"
    fork = own_entries(bob)[-1].encode()
    world.heal()
    world.run(60_000)
    assert bob.status()["blocked"]
    for host in (world.hosts["ann"], world.hosts["cec"]):
        assert not host.engine.replica.forked()
        assert fork not in [item.entry.encode() for item in host.store.entries()]


def test_a_home_that_knows_it_is_behind_tells_those_nothing_who_know_less(world: World) -> None:
    bob, cec = world.hosts["bob"], world.hosts["cec"]
    backup = copy.deepcopy(bob.store)
    world.partition(["ann", "bob"], ["cec"])
    assert write(bob, 1) is None
    world.run(10_000)
    world.partition(["ann"], ["bob"], ["cec"])
    restore(bob, backup)
    assert write(bob, 2) is None, "off line it cannot know"
    fork = own_entries(bob)[-1].encode()
    world.partition(["ann", "bob"], ["cec"])
    assert world.run(30_000, until=lambda: bool(bob.status()["blocked"]))
    world.partition(["ann"], ["bob", "cec"])
    cec.batch([Found(bob.address, "configuration")])
    world.run(60_000)
    assert fork not in [item.entry.encode() for item in cec.store.entries()]
    assert "restored from a copy" in str(cec.status()["goodbyes"])


def test_a_home_that_is_equal_or_ahead_goes_on(world: World) -> None:
    bob = world.hosts["bob"]
    restore(bob, copy.deepcopy(bob.store))
    assert write(bob, 1) is None
    check.converges(world)
    world.partition(["ann", "cec"], ["bob"])
    assert write(bob, 2) is None
    restore(bob, copy.deepcopy(bob.store))
    assert write(bob, 3) is None
    world.heal()
    check.converges(world)
    check.nothing_lost(world)


@pytest.mark.parametrize("continues", [True, False])
def test_own_entries_from_elsewhere_stop_the_pen(world: World, continues: bool) -> None:
    """A doubled home: the other one goes on from the same place, or has parted earlier."""
    bob = world.hosts["bob"]
    tip = own_entries(bob)[-1]
    double = Hand(bob.signer, world.mesh, tip.header.leaf)
    double.tips[LANE_DATA] = (tip.header.seq, tip.id, tip.header.hlc)
    if not continues:
        assert write(bob, 1) is None
    other = double.data(put(node(bob), "a", 7))
    caller = Caller(bob, world.mesh.root)
    caller.tell(caller.hello(), Push((other.encode(),)))
    assert isinstance(write(bob, 2), Precondition)
    assert bob.status()["blocked"]
    held = bob.engine.replica.held.ledger.lane(bob.signer.public, LANE_DATA)
    assert held is not None
    assert held.fork_seq is None
    assert held.holds(other.header.seq, other.id) is continues
    bob.die()
    bob.start()
    assert bob.engine.replica.forked() == []


def test_what_waits_to_be_sealed_is_kept_while_the_pen_is_stopped(world: World) -> None:
    bob = world.hosts["bob"]
    assert bob.write(Append(node(bob), 0, "notes", "kept"), level=LOCAL).error is None
    bob.engine.replica.writer.blocked = "because"
    world.run(60_000)
    assert len(bob.store.pending()) == 1
    assert bob.status()["pending"] == 1


def test_sent_is_on_disk_before_own_entries_leave(world: World) -> None:
    bob = world.hosts["bob"]
    write(bob, 1)
    kinds = [
        "sent" if getattr(record, "key", "") == "sent" else type(record)
        for effect in bob.effects
        if isinstance(effect, Persist)
        for record in effect.records
    ]
    at = {type(effect): index for index, effect in reversed(list(enumerate(bob.effects)))}
    assert kinds.index(PutEntry) < kinds.index("sent")
    last = max(i for i, effect in enumerate(bob.effects) if isinstance(effect, Persist))
    assert last < at[Send]


def test_sent_is_marked_before_an_answer_that_shows_what_was_just_sealed(world: World) -> None:
    ann = world.hosts["ann"]
    caller = Caller(ann, SeedSigner(seed("cec")))
    caller.tell(caller.hello())
    ask = Get(1, (Range(ann.signer.public, LANE_DATA, 1, 9),), 1 << 18)
    submit = Submit(ann.next_request(), (SetRegister(node(ann), 0, "a", 1),))
    ann.batch([submit, Received(caller.link, encode_message(ask))])
    answer = ann.effects.index(caller.here()[0])
    marks = [
        at
        for at, effect in enumerate(ann.effects)
        if isinstance(effect, Persist) and getattr(effect.records[0], "key", "") == "sent"
    ]
    assert marks[0] < answer


def test_what_was_written_just_before_the_pen_stops_is_not_pushed(world: World) -> None:
    bob = world.hosts["bob"]
    tip = own_entries(bob)[-1]
    double = Hand(bob.signer, world.mesh, tip.header.leaf)
    double.tips[LANE_DATA] = (tip.header.seq, tip.id, tip.header.hlc)
    other = double.data(put(node(bob), "a", 7))
    caller = Caller(bob, world.mesh.root)
    caller.tell(caller.hello())
    submit = Submit(bob.next_request(), (SetRegister(node(bob), 0, "a", 1),))
    push = Push((other.encode(),))
    bob.batch([submit, Received(caller.link, encode_message(push))])
    assert bob.status()["blocked"]
    assert bob.replies[submit.request].error is None, "it is on disk, and was acknowledged"
    pushed = [e for e in bob.effects if isinstance(e, Send) and e.data[1] == 13]
    assert pushed == []


def test_a_founder_alone_has_sent_nothing() -> None:
    world = World()
    ann = world.hosts["ann"]
    ann.write(Create(root_worknode(world.mesh.id), "task", b"one"))
    assert ann.store.meta("sent") is None
    assert ann.now == Now(0, ann.now.wall_ms)


def test_own_entries_that_come_back_are_marked_before_they_are_passed_on(world: World) -> None:
    bob = world.hosts["bob"]
    tip = own_entries(bob)[-1]
    double = Hand(bob.signer, world.mesh, tip.header.leaf)
    double.tips[LANE_DATA] = (tip.header.seq, tip.id, tip.header.hlc)
    other = double.data(put(node(bob), "a", 7))
    caller = Caller(bob, world.hosts["cec"].signer)
    caller.tell(caller.hello())
    bob.batch([Received(caller.link, encode_message(Push((other.encode(),))))])
    marks = [
        at
        for at, effect in enumerate(bob.effects)
        if isinstance(effect, Persist)
        and any(getattr(record, "key", "") == "sent" for record in effect.records)
    ]
    passed_on = [
        at
        for at, effect in enumerate(bob.effects)
        if isinstance(effect, Send) and other.encode() in effect.data
    ]
    assert passed_on
    assert marks
    assert marks[0] < passed_on[0]
