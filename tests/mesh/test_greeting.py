"""Who is let in, and what everybody else is told: one hello after the other, said by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from attrs import evolve

from capability import permissions
from capability.bodies import JOIN
from capability.entry import KIND_PIN, Entry, decode_entry
from capability.keys import SeedSigner
from capability.ticket import Ticket
from crdt.codec import encode
from crdt.hlc import pack
from mesh.core.effects import Disconnect
from mesh.core.inputs import LinkClosed, Received, Tick
from mesh.gossip.messages import Goodbye, GoodbyeCode, Hello, Join, Roots, Rows
from mesh.greeting import HELLO_MS_MAX, NO_HELLO
from mesh.wire import encode_message
from tests.mesh.replica.hand import Hand
from tests.mesh.replica.world import Mesh, new_mesh, seed
from tests.mesh.swarm import check
from tests.mesh.swarm.caller import FIRST_LINK, Caller
from tests.mesh.swarm.homes import HOUR_MS, invite
from tests.mesh.swarm.world import World

NEW = SeedSigner(seed("new"))


@pytest.fixture
def world() -> Iterator[World]:
    """Ann and Bob, in sync; whatever is said to Ann, nothing between them may change."""
    world = World()
    world.join("bob", by="ann")
    check.converges(world)
    yield world
    for host in world.up:
        host.batch([LinkClosed(link, "gone") for link in (FIRST_LINK, FIRST_LINK + 1)])
    check.converges(world)
    ends = [(end, pipe.far) for end, pipe in sorted(world.pipes.items())]
    assert ends == [(("ann", 3), ("bob", 2)), (("bob", 2), ("ann", 3))], "the link is still there"


def join_hand(world: World, ticket: Ticket) -> Hand:
    """The join key of a ticket, at the beginning of its log."""
    return Hand(ticket.signer(), Mesh(SeedSigner(seed("ann")), world.mesh.genesis), ticket.grant)


def stamped(world: World) -> dict[str, object]:
    return {"hlc": pack(world.hosts["ann"].now.wall_ms, 1)}


def grant_of(world: World, ticket: Ticket, to: bytes = NEW.public, **what: object) -> Entry:
    """The member grant that the bearer of a ticket makes, but for *what*."""
    made = {"perms": permissions.MEMBER, "max_depth": 8} | what
    return join_hand(world, ticket).grant(to, entry=stamped(world), **made)


def join_of(caller: Caller, ticket: Ticket, *more: Entry) -> Join:
    chain = (*ticket.chain, *(entry.encode() for entry in more))
    return Join(chain, caller.proof(ticket.signer()))


Case = Callable[[World, Caller, Ticket], Hello]
CASES: dict[str, tuple[Case, GoodbyeCode, str]] = {}


def case(code: GoodbyeCode, text: str) -> Callable[[Case], Case]:
    """A hello that is refused with this code, and a text that has these words in it."""

    def note(make: Case) -> Case:
        CASES[make.__name__] = (make, code, text)
        return make

    return note


@case(GoodbyeCode.VERSION, "you speak 2 to 3: upgrade the older one")
def a_later_version(world: World, caller: Caller, ticket: Ticket) -> Hello:
    return caller.hello(proto_min=2, proto_max=3)


@case(GoodbyeCode.VERSION, "you speak 0 to 0")
def an_earlier_version(world: World, caller: Caller, ticket: Ticket) -> Hello:
    return caller.hello(proto_min=0, proto_max=0)


@case(GoodbyeCode.NOT_A_MEMBER, "you show no grant")
def no_chain(world: World, caller: Caller, ticket: Ticket) -> Hello:
    return caller.hello()


@case(GoodbyeCode.NOT_A_MEMBER, "of another mesh")
def a_chain_of_another_mesh(world: World, caller: Caller, ticket: Ticket) -> Hello:
    return caller.hello(Join((new_mesh("other").genesis.encode(),), b""))


@case(GoodbyeCode.NOT_A_MEMBER, "not for the key that you hold")
def the_genesis_alone(world: World, caller: Caller, ticket: Ticket) -> Hello:
    return caller.hello(Join(ticket.chain[:1], b""))


@case(GoodbyeCode.NOT_A_MEMBER, "has a gap")
def a_chain_with_a_gap(world: World, caller: Caller, ticket: Ticket) -> Hello:
    chain = (ticket.chain[0], grant_of(world, ticket).encode())
    return caller.hello(Join(chain, caller.proof(ticket.signer())))


@case(GoodbyeCode.NOT_A_MEMBER, "not for the key that you hold")
def somebody_elses_chain(world: World, caller: Caller, ticket: Ticket) -> Hello:
    chain = world.hosts["bob"].engine.replica.own_chain()
    return caller.hello(Join(chain, caller.proof(ticket.signer())))


@case(GoodbyeCode.NOT_A_MEMBER, "by the wrong key")
def a_link_that_the_caller_signed_itself(world: World, caller: Caller, ticket: Ticket) -> Hello:
    own = Hand(NEW, join_hand(world, ticket).mesh, ticket.grant)
    made = own.grant(NEW.public, entry=stamped(world), perms=permissions.MEMBER)
    return caller.hello(join_of(caller, ticket, made))


@case(GoodbyeCode.NOT_A_MEMBER, "wider than its parent: permissions")
def a_grant_wider_than_the_ticket(world: World, caller: Caller, ticket: Ticket) -> Hello:
    wide = permissions.MEMBER | permissions.ADMIN
    return caller.hello(join_of(caller, ticket, grant_of(world, ticket, perms=wide)))


@case(GoodbyeCode.NOT_A_MEMBER, "caveat 10 denies")
def a_use_too_many(world: World, caller: Caller, ticket: Ticket) -> Hello:
    hand = join_hand(world, ticket)
    hand.grant(SeedSigner(seed("first")).public, entry=stamped(world))
    second = hand.grant(NEW.public, perms=permissions.MEMBER)
    return caller.hello(join_of(caller, ticket, second))


@case(GoodbyeCode.NOT_A_MEMBER, "caveat 11 denies")
def a_use_that_is_stamped_too_late(world: World, caller: Caller, ticket: Ticket) -> Hello:
    late = {"hlc": pack(ticket.exp_ms, 0)}
    made = join_hand(world, ticket).grant(NEW.public, entry=late, perms=permissions.MEMBER)
    return caller.hello(join_of(caller, ticket, made))


@case(GoodbyeCode.NOT_A_MEMBER, "not allow to read")
def a_grant_without_read(world: World, caller: Caller, ticket: Ticket) -> Hello:
    blind = grant_of(world, ticket, perms=permissions.WRITE)
    return caller.hello(join_of(caller, ticket, blind))


@case(GoodbyeCode.NOT_A_MEMBER, "has expired")
def a_grant_that_has_expired(world: World, caller: Caller, ticket: Ticket) -> Hello:
    past = world.hosts["ann"].now.wall_ms - 1
    return caller.hello(join_of(caller, ticket, grant_of(world, ticket, exp_ms=past)))


@case(GoodbyeCode.NOT_A_MEMBER, "not in order")
def a_chain_with_a_flipped_bit(world: World, caller: Caller, ticket: Ticket) -> Hello:
    chain = list(join_of(caller, ticket, grant_of(world, ticket)).chain)
    chain[1] = chain[1][:-1] + bytes([chain[1][-1] ^ 1])
    return caller.hello(Join(tuple(chain), caller.proof(ticket.signer())))


@case(GoodbyeCode.NOT_A_MEMBER, "not in order")
def a_chain_of_noise(world: World, caller: Caller, ticket: Ticket) -> Hello:
    return caller.hello(Join((b"\x93\x01\x02\x03", b""), b""))


@case(GoodbyeCode.BAD_PROOF, "does not show that it holds the ticket")
def no_proof(world: World, caller: Caller, ticket: Ticket) -> Hello:
    return caller.hello(Join((*ticket.chain, grant_of(world, ticket).encode()), b""))


@case(GoodbyeCode.BAD_PROOF, "does not show that it holds the ticket")
def a_proof_by_another_key(world: World, caller: Caller, ticket: Ticket) -> Hello:
    chain = (*ticket.chain, grant_of(world, ticket).encode())
    return caller.hello(Join(chain, caller.proof(NEW)))


@case(GoodbyeCode.BAD_PROOF, "does not show that it holds the ticket")
def a_proof_over_another_handshake(world: World, caller: Caller, ticket: Ticket) -> Hello:
    chain = (*ticket.chain, grant_of(world, ticket).encode())
    return caller.hello(Join(chain, caller.proof(ticket.signer(), handshake_hash=bytes(32))))


@case(GoodbyeCode.PROTOCOL_VIOLATION, "is not its own")
def a_head_that_this_node_did_not_sign(world: World, caller: Caller, ticket: Ticket) -> Hello:
    forged = world.mesh.genesis.signed_header
    forged = evolve(forged, signature=bytes(64))
    join = join_of(caller, ticket, grant_of(world, ticket))
    return caller.hello(join, your_heads=(forged, None))


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_hello_out_of_order_is_refused_and_changes_nothing(world: World, name: str) -> None:
    make, code, text = CASES[name]
    ann = world.hosts["ann"]
    ticket = invite(ann)
    caller = Caller(ann, NEW)
    hello = make(world, caller, ticket)
    before = check.situation(ann), ann.store.last_n()
    found = caller.refusal(hello)
    assert found[0] == code
    assert text in found[1]
    assert (check.situation(ann), ann.store.last_n()) == before
    assert not ann.engine.replica.writer.blocked
    assert caller.tell(caller.hello(), b"\xff") == [], "nothing more is looked at"


def test_a_ticket_admits_its_bearer(world: World) -> None:
    ann = world.hosts["ann"]
    ticket = invite(ann)
    caller = Caller(ann, NEW)
    caller.tell(caller.hello(join_of(caller, ticket, grant_of(world, ticket))))
    assert caller.is_in
    assert NEW.public in ann.engine.replica.held.ledger.members()
    assert not ann.engine.replica.held.ledger.join_keys.provisional(NEW.public), (
        "the inviter pins at once"
    )


def test_a_ticket_is_used_once(world: World) -> None:
    ann = world.hosts["ann"]
    ticket = invite(ann)
    first = Caller(ann, NEW)
    first.tell(first.hello(join_of(first, ticket, grant_of(world, ticket))))
    other = SeedSigner(seed("other"))
    second = Caller(ann, other, first.link + 1)
    before = check.situation(ann)
    found = second.refusal(
        second.hello(join_of(second, ticket, grant_of(world, ticket, other.public)))
    )
    assert found == (
        GoodbyeCode.TICKET_USED,
        "this ticket has been used by another node: ask for a new one",
    )
    assert first.is_in
    assert check.situation(ann) == before


def test_the_bearer_may_try_again_with_the_same_bytes(world: World) -> None:
    ann = world.hosts["ann"]
    ticket = invite(ann)
    grant = grant_of(world, ticket)
    for link in (1_000_000, 1_000_001):
        caller = Caller(ann, NEW, link)
        caller.tell(caller.hello(join_of(caller, ticket, grant)))
        assert caller.is_in
        caller.close()


def test_an_expired_ticket_is_refused_by_the_clock_of_who_admits(world: World) -> None:
    ann = world.hosts["ann"]
    ticket = invite(ann, ttl_ms=HOUR_MS)
    # Stamped in time: the bearer's clock is not asked.
    grant = grant_of(world, ticket)
    world.skew_ms["ann"] = HOUR_MS
    caller = Caller(ann, NEW)
    found = caller.refusal(caller.hello(join_of(caller, ticket, grant)))
    assert found == (
        GoodbyeCode.TICKET_EXPIRED,
        "this ticket has expired: ask for a new one",
    )
    world.skew_ms["ann"] = 0


def test_the_key_of_a_ticket_is_no_member(world: World) -> None:
    ann = world.hosts["ann"]
    ticket = invite(ann)
    caller = Caller(ann, ticket.signer())
    found = caller.refusal(caller.hello(Join(ticket.chain, caller.proof(ticket.signer()))))
    assert found[0] == GoodbyeCode.NOT_A_MEMBER


def test_a_pin_that_is_malformed_is_no_confirmation(world: World) -> None:
    # Only the inviter can sign it, and the inviter may be the one who means harm.
    bob = world.hosts["bob"]
    ticket = invite(bob)
    check.converges(world)
    leaf = decode_entry(ticket.chain[-1]).header.leaf
    evil = Hand(bob.signer, join_hand(world, ticket).mesh, leaf).write(KIND_PIN, b"\xc1")
    world.skew_ms["ann"] = HOUR_MS
    ann = world.hosts["ann"]
    caller = Caller(ann, NEW)
    found = caller.refusal(caller.hello(join_of(caller, ticket, grant_of(world, ticket), evil)))
    assert found[0] == GoodbyeCode.NOT_A_MEMBER
    world.skew_ms["ann"] = 0


def test_a_grant_to_join_is_not_taken_for_one_to_a_member(world: World) -> None:
    ann = world.hosts["ann"]
    ticket = invite(ann)
    caller = Caller(ann, NEW)
    found = caller.refusal(
        caller.hello(join_of(caller, ticket, grant_of(world, ticket, akind=JOIN)))
    )
    assert found[0] == GoodbyeCode.NOT_A_MEMBER


@pytest.mark.parametrize(
    "first", [b"", b"\xff" * 40, Roots(bytes(32), bytes(32), 1), Rows(0, b"", 0, True, ())]
)
def test_what_is_no_hello_ends_the_link(world: World, first: bytes | Roots | Rows) -> None:
    caller = Caller(world.hosts["ann"], NEW)
    assert caller.refusal(first)[0] == GoodbyeCode.PROTOCOL_VIOLATION


def test_a_second_hello_ends_the_link(world: World) -> None:
    ann = world.hosts["ann"]
    ticket = invite(ann)
    caller = Caller(ann, NEW)
    hello = caller.hello(join_of(caller, ticket, grant_of(world, ticket)))
    caller.tell(hello)
    assert caller.refusal(hello) == (GoodbyeCode.PROTOCOL_VIOLATION, "hello comes first, once")


def test_an_unknown_message_before_the_hello_is_ignored(world: World) -> None:
    caller = Caller(world.hosts["ann"], NEW)
    assert caller.tell(b"\x92\xcc\xc8\x01") == []


def test_a_goodbye_is_shown_and_believed(world: World) -> None:
    ann = world.hosts["ann"]
    ticket = invite(ann)
    caller = Caller(ann, NEW)
    caller.tell(caller.hello(join_of(caller, ticket, grant_of(world, ticket))))
    caller.tell(Goodbye(GoodbyeCode.TICKET_USED, "used"))
    assert ann.status()["goodbyes"] == [
        {"node_id": NEW.public.hex(), "code": 2, "text": "used"},
    ]
    assert not caller.is_in


def test_a_goodbye_of_nobody_known_ends_its_link_and_is_not_shown(world: World) -> None:
    """It would push out what members say, and end a join: anybody may know the mesh's id."""
    ann = world.hosts["ann"]
    caller = Caller(ann, NEW)
    caller.tell(Goodbye(GoodbyeCode.TICKET_USED, "used"))
    assert ann.status()["goodbyes"] == []
    assert not caller.is_in


def test_the_last_goodbyes_are_shown(world: World) -> None:
    ann = world.hosts["ann"]
    ticket = invite(ann)
    grant = grant_of(world, ticket)
    for at in range(20):
        caller = Caller(ann, NEW)
        caller.tell(caller.hello(join_of(caller, ticket, grant)))
        caller.tell(Goodbye(GoodbyeCode.SHUTTING_DOWN, str(at)))
        ann.batch([LinkClosed(FIRST_LINK, "gone")])
    assert [each["text"] for each in ann.status()["goodbyes"]] == [str(at) for at in range(4, 20)]


@pytest.mark.parametrize("late_ms", [0, HELLO_MS_MAX, HELLO_MS_MAX + 10])
def test_a_hello_that_comes_before_anybody_has_looked_is_in_time(
    world: World, late_ms: int
) -> None:
    """Its chain is news, by which all links are looked at again; and a slow disk is no fault."""
    ann = world.hosts["ann"]
    ticket = invite(ann)
    caller = Caller(ann, NEW)
    caller.tell(encode((99,)))
    joined = caller.hello(join_of(caller, ticket, grant_of(world, ticket)))
    world.now_ms += late_ms
    ann.batch([Tick(), Received(caller.link, encode_message(joined))])
    assert caller.link in ann.engine.links
    assert not any(isinstance(effect, Disconnect) for effect in caller.here())


def test_whoever_says_no_hello_is_let_go_in_time_and_told_of_no_ticket(world: World) -> None:
    """Nor does the node need another reason to look: the alarm is set."""
    ann = world.hosts["ann"]
    caller = Caller(ann, NEW)
    caller.tell(encode((99,)))
    due = ann.engine.unheard.deadline
    assert due == world.now_ms + HELLO_MS_MAX
    assert ann.engine.deadline is not None
    assert ann.engine.deadline <= due
    world.now_ms += HELLO_MS_MAX - 1
    ann.batch([Tick()])
    assert caller.link in ann.engine.links
    world.now_ms += 1
    ann.batch([Tick()])
    assert caller.link not in ann.engine.links
    assert caller.here() == [Disconnect(caller.link, NO_HELLO)]
    assert ann.engine.unheard.deadline is None
