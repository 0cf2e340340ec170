"""The push inside an engine: what has to be on disk before it, and what bad peers make of it."""

from __future__ import annotations

from capability.entry import decode_entry
from mesh.core.effects import Persist, Send
from mesh.core.inputs import OutboxDrained, OutboxFull, Received
from mesh.core.limits import MESSAGE_BYTES_MAX
from mesh.core.records import PutEntry, PutMeta
from mesh.core.writes import SetRegister
from mesh.gossip.limits import AWAITED_MAX, GRAFT_MS, HAVE_DELAY_MS, HAVES_MAX, UNANSWERED_MAX
from mesh.gossip.messages import Graft, Have, Held, Message, Missed, Prune, Push
from mesh.wire import Unknown, decode_message, encode_message
from mesh.worknode.reading import register
from tests.mesh.replica.hand import Hand, create, hand, put
from tests.mesh.swarm import check
from tests.mesh.swarm.caller import Caller
from tests.mesh.swarm.host import Host
from tests.mesh.swarm.scenes import member_by_hand, pair
from tests.mesh.swarm.world import World


def sent(host: Host, link: int) -> list[Message]:
    """What the last batch sent on a link."""
    found = []
    for effect in host.effects:
        if isinstance(effect, Send) and effect.link == link:
            message = decode_message(effect.data, size_max=MESSAGE_BYTES_MAX)
            assert not isinstance(message, Unknown)
            found.append(message)
    return found


def wait(world: World, host: Host, link: int, ms: int) -> list[Message]:
    """What a host sends on a link that leads out of the world, in this time."""
    found: list[Message] = []
    plain = host.network

    def network(at: Host, effect: object) -> None:
        if isinstance(effect, Send) and effect.link == link:
            message = decode_message(effect.data, size_max=MESSAGE_BYTES_MAX)
            assert not isinstance(message, Unknown)
            found.append(message)
        plain(at, effect)  # type: ignore[arg-type]

    host.network = network
    world.run(ms)
    host.network = plain
    return [message for message in found if isinstance(message, Push | Have | Graft | Prune)]


def hand_of(world: World, ann: Host, caller: Caller) -> Hand:
    grants = ann.engine.replica.held.ledger.grants_to(caller.signer.public)
    return Hand(caller.signer, world.mesh, grants[0][0])


def note(ann: Host, value: int) -> int:
    """Ann writes; the number of her entry."""
    (node,) = sorted(ann.engine.replica.store.worknodes)[:1]
    assert ann.write(SetRegister(node, 0, "a", value)).error is None
    return ann.engine.replica.port.row(ann.signer.public, 1).seq


def situated(host: Host) -> tuple[bytes, bytes]:
    return host.engine.replica.port.roots()


def test_before_an_own_entry_is_announced_it_is_on_disk_how_far_it_may_have_left() -> None:
    world, ann, caller = member_by_hand()
    caller.tell(Prune((ann.signer.public,)))
    seq = note(ann, 1)
    kinds = [type(effect).__name__ for effect in ann.effects]
    marks = [
        at
        for at, effect in enumerate(ann.effects)
        if isinstance(effect, Persist)
        and any(isinstance(r, PutMeta) and r.key == "sent" for r in effect.records)
    ]
    wrote = [
        at
        for at, effect in enumerate(ann.effects)
        if isinstance(effect, Persist) and any(isinstance(r, PutEntry) for r in effect.records)
    ]
    # Both are in the batch that ends before any announcement leaves.
    assert marks and wrote, kinds
    assert sent(ann, caller.link) == []
    (have,) = wait(world, ann, caller.link, HAVE_DELAY_MS)
    assert have == Have(0, (ann.signer.public,), (Held(0, 1, seq, 0),))


def test_a_graft_brings_what_was_announced() -> None:
    world, ann, caller = member_by_hand()
    caller.tell(Prune((ann.signer.public,)))
    seq = note(ann, 1)
    wait(world, ann, caller.link, HAVE_DELAY_MS)
    (answer,) = caller.answers(Graft((Missed(ann.signer.public, 1, seq - 1),)))
    assert isinstance(answer, Push)
    header = decode_entry(answer.entries[0]).header
    assert (header.author, header.seq, answer.hops) == (ann.signer.public, seq, 0)
    # And from now on the link is eager again.
    note(ann, 2)
    assert [type(message) for message in sent(ann, caller.link)] == [Push]


def test_before_the_hello_no_message_of_the_tree_counts() -> None:
    _, ann, first = member_by_hand()
    first.close()
    caller = Caller(ann, first.signer, first.link + 1)
    code, text = caller.refusal(Graft((Missed(ann.signer.public, 1, 0),)))
    assert (code, text) == (9, "hello comes first, once")


def test_a_relayed_entry_goes_on_with_its_hops_and_the_second_copy_is_pruned() -> None:
    world, ann, caller = member_by_hand()
    (link,) = {end[1] for end in world.links_of("ann")}
    mine = hand_of(world, ann, caller)
    entry = mine.data(create(ann.engine.replica.store.root, shared=b"mine"))
    caller.tell(Push((entry.encode(),)))
    assert sent(ann, link) == [Push((entry.encode(),), 1)]
    ann.batch([Received(link, encode_message(Push((entry.encode(),), 3)))])
    assert sent(ann, link) == [Prune((caller.signer.public,))]


def test_a_pushed_entry_without_its_predecessor_makes_the_receiver_ask_at_once() -> None:
    world, ann, caller = member_by_hand()
    mine = hand_of(world, ann, caller)
    made = create(ann.engine.replica.store.root, shared=b"mine")
    mine.data(made)
    second = mine.data(put(made.node, "a", "two"))
    answers = caller.answers(Push((second.encode(),)))
    assert [type(message).__name__ for message in answers] == ["Get"]


def test_what_waited_is_not_sent_to_who_brought_it() -> None:
    world, ann, caller = member_by_hand()
    (link,) = {end[1] for end in world.links_of("ann")}
    other = hand(world.mesh, "other")
    grant = hand_of(world, ann, caller).grant(other)
    made = create(ann.engine.replica.store.root, shared=b"theirs")
    one, two = other.data(made), other.data(put(made.node, "a", "two"))
    caller.tell(Push((grant.encode(),)))
    caller.tell(Push((two.encode(),), 1))
    ann.batch([Received(link, encode_message(Push((one.encode(),), 1)))])
    assert ann.engine.replica.port.row(other.author, 1).seq == 2
    assert sent(ann, caller.link) == []


def test_what_a_full_buffer_held_up_is_announced_and_grafted() -> None:
    world, ann, bob, node = pair()
    (end,) = world.links_of("ann")
    ann.batch([OutboxFull(end[1])])
    ann.write(SetRegister(node, 0, "a", 1))
    ann.batch([OutboxDrained(end[1])])
    with world.counting() as counted:
        world.run(HAVE_DELAY_MS + 200, until=lambda: check.agree(world))
    assert register(bob.engine.replica, node, 0, "a") == 1
    assert (counted["Have"], counted["Graft"], counted["Get"]) == (1, 1, 0)


# -- bad peers


def test_who_announces_what_nobody_has_is_asked_so_many_times_and_no_more() -> None:
    world, ann, caller = member_by_hand()
    asked = 0
    for turn in range(UNANSWERED_MAX + 20):
        author = b"%032d" % turn
        caller.tell(Have(turn, (author,), (Held(turn, 1, 1 << 40, 0),)))
        said = wait(world, ann, caller.link, 2 * GRAFT_MS)
        assert {type(message) for message in said} <= {Graft}
        asked += len(said)
    assert asked == UNANSWERED_MAX
    assert ann.engine.broadcast.deadline is None
    caller.close()
    check.converges(world)


def test_a_flood_of_announcements_is_bounded_and_ends_with_the_link() -> None:
    world, ann, caller = member_by_hand()
    for turn in range(4):
        authors = tuple(b"%032d" % (turn * HAVES_MAX + n) for n in range(HAVES_MAX))
        held = tuple(Held(n, 1, 5, 0) for n in range(HAVES_MAX))
        caller.tell(Have(0, authors, held))
    assert len(ann.engine.broadcast._awaited) == AWAITED_MAX
    before = check.situation(ann)
    note(ann, 7)
    caller.close()
    assert ann.engine.broadcast.deadline is None
    assert check.situation(ann) != before
    check.converges(world)


def test_who_lies_about_a_lane_does_not_delay_what_others_announce_of_it() -> None:
    world, ann, caller = member_by_hand()
    bob = world.hosts["bob"]
    (end,) = world.links_of("bob")
    # Bob pushes his entries to Ann no more; the liar has them all, it says.
    bob.batch([Received(end[1], encode_message(Prune((bob.signer.public,))))])
    caller.tell(Have(0, (bob.signer.public,), (Held(0, 1, 1 << 40, 0),)))
    note(bob, 1)
    with world.counting() as counted:
        asked = wait(world, ann, caller.link, GRAFT_MS)
    assert situated(ann) == situated(bob)
    assert counted["Get"] == 0
    asked += wait(world, ann, caller.link, 2 * GRAFT_MS)
    assert [type(message) for message in asked if not isinstance(message, Push)] == [Graft]
    assert ann.engine.broadcast.deadline is None


def test_who_prunes_everything_is_told_of_it_and_served() -> None:
    world, ann, bob, node = pair()
    (end,) = world.links_of("ann")
    authors = tuple(sorted((ann.signer.public, bob.signer.public)))
    ann.batch([Received(end[1], encode_message(Prune(authors, rest=True)))])
    ann.write(SetRegister(node, 0, "a", 5))
    world.run(HAVE_DELAY_MS + 200, until=lambda: check.agree(world))
    assert register(bob.engine.replica, node, 0, "a") == 5


def test_who_grafts_again_and_again_gets_a_bounded_answer_each_time() -> None:
    _, ann, caller = member_by_hand()
    graft = Graft((Missed(ann.signer.public, 0, 0), Missed(ann.signer.public, 1, 0)))
    answers = caller.answers(*[graft] * 5)
    assert all(isinstance(answer, Push) for answer in answers)
    assert len(answers) == 2 * 5
    assert ann.engine.broadcast.deadline is None
