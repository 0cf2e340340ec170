"""One engine: the order of its effects, and what it makes of nonsense."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capability import permissions
from capability.bodies import JOIN
from capability.ids import ZERO_ID
from capability.keys import SeedSigner
from capability.limits import NEVER_MS
from mesh.core.effects import Disconnect, Effect, Emit, Log, Persist, Reply, Send
from mesh.core.errors import Denied, LocalError, NotFound, UsageError
from mesh.core.inputs import (
    LOCAL,
    IssueGrant,
    LinkClosed,
    LinkOpened,
    Measured,
    OutboxDrained,
    OutboxFull,
    Received,
    Seal,
    Submit,
    SyncNow,
    Tick,
)
from mesh.core.writes import Append, Create, SetRegister, Write
from mesh.gossip.messages import (
    Entries,
    Get,
    GetById,
    GetHeaders,
    Message,
    Push,
    Range,
    Roots,
    Rows,
)
from mesh.wire import encode_message
from mesh.worknode.reading import register
from tests.mesh.replica.hand import Hand, create
from tests.mesh.swarm import check
from tests.mesh.swarm.caller import FIRST_LINK, Caller
from tests.mesh.swarm.host import Host
from tests.mesh.swarm.scenes import member_by_hand, pair


def kinds(effects: list[Effect]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


# -- order


def test_a_write_is_persisted_then_answered_then_pushed() -> None:
    _, ann, _, node = pair()
    ann.write(SetRegister(node, 0, "a", 1))
    assert kinds(ann.effects) == ["Persist", "Reply", "Persist", "Emit", "Persist", "Send"]


def test_writes_of_one_batch_are_one_entry_and_no_answer_comes_before_it() -> None:
    _, ann, bob, node = pair()
    before = ann.store.last_n()
    asked = [Submit(ann.next_request(), (SetRegister(node, 0, "a", i),)) for i in range(3)]
    ann.batch(asked)
    assert ann.store.last_n() == before + 1
    first = kinds(ann.effects)
    assert first.index("Persist") < first.index("Reply")
    assert first.count("Reply") == 3
    assert first.index("Send") > max(i for i, kind in enumerate(first) if kind == "Persist")
    assert not isinstance(bob.effects, Reply)


def test_a_local_write_touches_no_link() -> None:
    _, ann, _, node = pair()
    ann.write(Append(node, 0, "notes", "x"), level=LOCAL)
    assert kinds(ann.effects) == ["Persist", "Reply"]


@pytest.mark.parametrize(
    ("writes", "error"),
    [
        ((SetRegister(b"n" * 16, 0, "a", 1),), NotFound),
        ((SetRegister(b"n" * 16, 0, "", 1),), LocalError),
        ((Create(b"p" * 16, "task", b"k"),), NotFound),
    ],
)
def test_a_submit_that_fails_leaves_no_effects(
    writes: tuple[Write, ...], error: type[LocalError]
) -> None:
    world, ann, _, node = pair()
    before = check.situation(ann), ann.store.last_n()
    reply = ann.write(SetRegister(node, 0, "good", 1), *writes)
    assert isinstance(reply.error, error)
    assert ann.effects == [reply]
    assert (check.situation(ann), ann.store.last_n()) == before
    assert register(ann.engine.replica, node, 0, "good") is None
    check.reloads_equal(world)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"label": "x" * 65}, UsageError),
        ({"scopes": (b"?" * 16,)}, Denied),
        ({"perms": 1 << 40}, Denied),
        ({"caveats": ((1, object()),)}, UsageError),
    ],
)
def test_a_grant_that_cannot_be_is_refused_to_its_asker(
    changes: dict[str, object], error: type[LocalError]
) -> None:
    _, ann, bob, _ = pair()
    fields: dict[str, object] = {
        "audience": b"k" * 32,
        "akind": JOIN,
        "scopes": (ann.engine.replica.store.root,),
        "perms": permissions.MEMBER,
        "max_depth": 4,
        "exp_ms": NEVER_MS,
    }
    before = ann.store.last_n()
    reply = ann.ask(IssueGrant(ann.next_request(), **(fields | changes)))  # type: ignore[arg-type]
    assert isinstance(reply.error, error), reply
    assert ann.store.last_n() == before
    assert bob.current is not None


def test_sync_and_seal_are_answered_at_once() -> None:
    _, ann, _, node = pair()
    ann.write(Append(node, 0, "notes", "x"), level=LOCAL)
    assert ann.ask(SyncNow(ann.next_request())).error is None
    assert ann.ask(Seal(ann.next_request())).error is None
    assert ann.store.pending() == []


def test_a_full_outbox_stops_pushes_and_repair_brings_them_later() -> None:
    world, ann, bob, node = pair()
    link = world.links_of("ann")[0][1]
    ann.batch([OutboxFull(link)])
    ann.write(SetRegister(node, 0, "a", 1))
    assert "Send" not in kinds(ann.effects)
    world.run(1_000)
    assert register(bob.engine.replica, node, 0, "a") is None
    ann.batch([OutboxDrained(link)])
    check.converges(world)
    assert register(bob.engine.replica, node, 0, "a") == 1


def test_inputs_of_links_that_are_gone_mean_nothing() -> None:
    _, ann, _, _ = pair()
    gone = 77_777
    for item in (
        Received(gone, b"\x91\x01"),
        Measured(gone, 1.0),
        OutboxFull(gone),
        OutboxDrained(gone),
        LinkClosed(gone, "again"),
    ):
        ann.batch([item])
        assert not ann.effects


# -- nonsense


def questions(host: Host) -> list[Message]:
    """One message of most kinds, about things that are there."""
    replica = host.engine.replica
    port = replica.port
    row = port.row(replica.author, 0)
    entries = tuple(port.read_range(replica.author, 0, 1, row.seq, 1 << 20))
    header = port.header_at(replica.author, 0, 1)
    assert header is not None
    return [
        Roots(*port.roots(), 1),
        Rows(3, b"", 0, True, (*port.rows(0), *port.rows(1))),
        Get(1, (Range(replica.author, 0, 1, row.seq),), 1 << 18),
        GetById(2, (replica.mesh_id, ZERO_ID)),
        GetHeaders(3, replica.author, 0, (1, 2)),
        Entries(1, entries, True),
        Push(entries),
    ]


def check_bounded(ann: Host, link: int) -> None:
    """Whatever was said, only this link may have suffered."""
    for effect in ann.effects:
        match effect:
            case Disconnect(other, _):
                assert other == link
            case Send() | Log():
                pass
            case Persist() | Emit() | Reply():
                raise AssertionError(f"nonsense led to {effect}")
            case _:
                raise AssertionError(f"nonsense led to {effect}")


@settings(max_examples=60)
@given(data=st.data())
def test_nonsense_from_a_member_ends_its_link_at_most(data: st.DataObject) -> None:
    world, ann, caller = member_by_hand()
    before = check.situation(ann)
    messages = [encode_message(message) for message in questions(ann)]
    for _ in range(data.draw(st.integers(1, 12))):
        said = bytearray(data.draw(st.sampled_from(messages) | st.binary(max_size=60)))
        for _ in range(data.draw(st.integers(0, 3))):
            if said:
                said[data.draw(st.integers(0, len(said) - 1))] = data.draw(st.integers(0, 255))
        if data.draw(st.booleans()):
            del said[data.draw(st.integers(0, len(said))) :]
        ann.batch([Received(caller.link, bytes(said))])
        check_bounded(ann, caller.link)
    assert check.situation(ann) == before
    caller.close()
    check.converges(world)


def test_mutated_messages_from_a_member_never_raise() -> None:
    world, ann, caller = member_by_hand()
    random, before = Random(11), check.situation(ann)
    for _ in range(3_000):
        if not caller.is_in:
            caller.close()
            caller = Caller(ann, caller.signer, caller.link + 1)
            caller.tell(caller.hello())
            assert caller.is_in
        said = bytearray(encode_message(random.choice(questions(ann))))
        for _ in range(random.randint(1, 4)):
            said[random.randrange(len(said))] ^= 1 << random.randrange(8)
        ann.batch([Received(caller.link, bytes(said))])
        check_bounded(ann, caller.link)
    caller.close()
    assert check.situation(ann) == before
    check.converges(world)
    assert len(world.links_of("ann")) == 1


def test_noise_from_a_stranger_never_raises() -> None:
    _, ann, _, _ = pair()
    random, before = Random(12), check.situation(ann)
    for number in range(500):
        caller = Caller(ann, SeedSigner(random.randbytes(32)), FIRST_LINK + number)
        hello = bytearray(encode_message(caller.hello()))
        for _ in range(random.randint(0, 3)):
            hello[random.randrange(len(hello))] = random.randrange(256)
        caller.tell(bytes(hello))
        assert not caller.is_in
        caller.close()
    assert check.situation(ann) == before


def test_an_entry_with_a_wrong_signature_ends_the_link_and_names_the_offence() -> None:
    world, ann, caller = member_by_hand()
    entry = bytearray(ann.engine.replica.port.chain_of(b"")[0])
    forged = encode_message(Push((bytes(entry[:-1]) + bytes([entry[-1] ^ 1]),)))
    code, text = caller.refusal(forged)
    assert code == 9
    assert text
    assert [line.event for line in ann.logs if line.level == "warning"][-1] == "peer.refused"
    caller.close()
    check.converges(world)


def test_nothing_follows_a_goodbye_on_its_link() -> None:
    """Not even the question for what a good entry before the bad one lacks."""
    world, ann, caller = member_by_hand()
    grants = ann.engine.replica.held.ledger.grants_to(caller.signer.public)
    hand = Hand(caller.signer, world.mesh, grants[0][0])
    root = ann.engine.replica.store.root
    ahead = hand.data(create(root, shared=b"x"), skip=4)
    bad = bytearray(hand.data(create(root, shared=b"y")).encode())
    bad[-1] ^= 1
    assert caller.refusal(Push((ahead.encode(), bytes(bad))))[0] == 9
    assert kinds(caller.here()) == ["Send", "Disconnect"]
    caller.close()
    check.converges(world)


def test_a_link_to_oneself_is_closed() -> None:
    _, ann, _, _ = pair()
    ann.batch([LinkOpened(FIRST_LINK, ann.signer.public, True, ("elsewhere", 1), bytes(32))])
    assert Disconnect(FIRST_LINK, "own address") in ann.effects
    ann.batch([Tick()])
