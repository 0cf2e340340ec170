"""The channel between honest ends: handshake, messages, pings, close, limits of our own side."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.channel import (
    CLOSE_REASON_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    OUTPUT_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    PONGS_WAITING_MAX,
    Channel,
    ChannelEvent,
    ChannelUnusable,
    Closed,
    FrameError,
    HandshakeDone,
    HandshakeFailed,
    Message,
    MessageTooLarge,
    OutputFull,
    Pong,
)
from mesh.channel.frames import CHUNK_BYTES_MAX
from tests.mesh.channel.helpers import (
    cut,
    exchange,
    make_initiator,
    make_responder,
    open_pair,
    receive_all,
    split_frames,
)
from tests.mesh.channel.keys import INITIATOR_PUBLIC, RESPONDER_PUBLIC

WIRE_VECTOR = Path(__file__).parent / "vectors" / "channel_v1.json"


def test_handshake_tells_each_side_the_other() -> None:
    left, right = make_initiator(), make_responder()
    (left_event,), (right_event,) = exchange(left, right)
    assert isinstance(left_event, HandshakeDone) and isinstance(right_event, HandshakeDone)
    name = left_event.handshake_hash
    assert left_event == HandshakeDone(RESPONDER_PUBLIC, b"responder's payload", name)
    assert right_event == HandshakeDone(INITIATOR_PUBLIC, b"initiator's payload", name)
    assert left.can_send and right.can_send


def test_initiator_speaks_first_and_says_nothing_but_its_key() -> None:
    left, right = make_initiator(), make_responder()
    assert right.take_output() == b""
    first = left.take_output()
    assert first[:2] == b"\x00\x20" and len(first) == 34
    assert not left.can_send


@pytest.mark.parametrize("size", [0, PAYLOAD_BYTES_MAX])
def test_payload_up_to_its_limit_arrives(size: int) -> None:
    left, right = make_initiator(payload=bytes(size)), make_responder(payload=bytes(size))
    for (event,) in exchange(left, right):
        assert isinstance(event, HandshakeDone) and event.payload == bytes(size)


def test_payload_over_its_limit_is_our_mistake() -> None:
    with pytest.raises(AssertionError, match="513"):
        make_initiator(payload=bytes(PAYLOAD_BYTES_MAX + 1))


def test_wire_bytes_are_frozen() -> None:
    vector = json.loads(WIRE_VECTOR.read_text())
    left, right = make_initiator(), make_responder()
    sent = {"initiator": "", "responder": ""}

    def carry() -> None:
        for name, source, target in (("initiator", left, right), ("responder", right, left)):
            wire = source.take_output()
            sent[name] += wire.hex()
            target.receive(wire)

    carry()
    carry()
    left.send(b"hello")
    left.ping(b"01234567")
    right.send(b"")
    carry()
    left.close("done")
    right.close("bye ✓")
    carry()
    assert sent == vector["wire"]
    left, right = open_pair()
    left.send(bytes(CHUNK_BYTES_MAX) + b"tail")
    assert hashlib.sha256(left.take_output()).hexdigest() == vector["long_message_sha256"]


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES_MAX, CHUNK_BYTES_MAX + 1, MESSAGE_BYTES_MAX])
def test_message_arrives_whole(size: int) -> None:
    left, right = open_pair()
    message = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    left.send(message)
    right.send(message)
    assert exchange(left, right) == ([Message(message)], [Message(message)])


def test_message_over_its_limit_is_refused_and_nothing_is_queued() -> None:
    left, right = open_pair()
    with pytest.raises(MessageTooLarge, match=str(MESSAGE_BYTES_MAX + 1)):
        left.send(bytes(MESSAGE_BYTES_MAX + 1))
    assert left.output_bytes == 0
    left.send(b"still well")
    assert exchange(left, right) == ([], [Message(b"still well")])


def test_output_is_bounded_and_usable_again_once_taken() -> None:
    left, right = open_pair()
    with pytest.raises(OutputFull):
        for _ in range(OUTPUT_BYTES_MAX // MESSAGE_BYTES_MAX + 1):
            left.send(bytes(MESSAGE_BYTES_MAX))
    waiting = left.output_bytes
    assert waiting <= OUTPUT_BYTES_MAX
    with pytest.raises(OutputFull):
        left.send(bytes(OUTPUT_BYTES_MAX - waiting))
    assert left.output_bytes == waiting
    # What must always be possible: to say that this is the end.
    left.close("enough")
    _, events = exchange(left, right)
    count = OUTPUT_BYTES_MAX // MESSAGE_BYTES_MAX - 1
    assert events == [Message(bytes(MESSAGE_BYTES_MAX))] * count + [Closed("enough")]


def test_ping_is_refused_when_output_is_full() -> None:
    left, _ = open_pair()
    with pytest.raises(OutputFull):
        while True:
            left.ping(b"01234567")
    assert OUTPUT_BYTES_MAX - 27 < left.output_bytes <= OUTPUT_BYTES_MAX


def test_ping_is_answered_by_the_channel_itself() -> None:
    left, right = open_pair()
    left.ping(b"01234567")
    right.send(b"between")
    assert exchange(left, right) == ([Message(b"between"), Pong(b"01234567")], [])


def test_burst_of_pings_does_not_grow_the_output_and_newest_are_answered() -> None:
    left, right = open_pair()
    tokens = [number.to_bytes(8, "big") for number in range(1000)]
    for token in tokens:
        left.ping(token)
    assert right.receive(left.take_output()) == []
    assert right.output_bytes == 0
    events = left.receive(right.take_output())
    assert events == [Pong(token) for token in tokens[-PONGS_WAITING_MAX:]]


def test_close_comes_after_all_that_was_sent_and_after_waiting_pongs() -> None:
    left, right = open_pair()
    left.ping(b"01234567")
    right.receive(left.take_output())
    right.send(b"last words")
    right.close("going ✓")
    assert left.receive(right.take_output()) == [
        Message(b"last words"),
        Pong(b"01234567"),
        Closed("going ✓"),
    ]


def test_closed_by_us_still_receives_and_no_longer_answers_pings() -> None:
    left, right = open_pair()
    left.close("")
    assert not left.can_send
    right.send(b"in flight")
    right.ping(b"01234567")
    assert left.receive(right.take_output()) == [Message(b"in flight")]
    wire = left.take_output()
    assert len(split_frames(wire)) == 1
    assert right.receive(wire) == [Closed("")]
    assert left.take_output() == b""


def test_closed_by_peer_answers_the_close_and_no_earlier_ping() -> None:
    left, right = open_pair()
    left.ping(b"01234567")
    left.close("")
    assert right.receive(left.take_output()) == [Closed("")]
    wire = right.take_output()
    assert len(split_frames(wire)) == 1
    assert left.receive(wire) == [Closed("")]
    assert right.take_output() == b""


def test_close_is_answered_so_that_both_sides_know_that_nothing_was_cut_off() -> None:
    left, right = open_pair()
    right.send(b"queued before")
    left.close("bye")
    assert right.receive(left.take_output()) == [Closed("bye")]
    assert left.receive(right.take_output()) == [Message(b"queued before"), Closed("")]
    for channel in (left, right):
        assert channel.take_output() == b""
        channel.end_of_stream()


def test_closed_by_us_and_cut_off_before_the_answer_was_truncated() -> None:
    left, right = open_pair()
    right.send(b"lost on the way")
    left.close("bye")
    with pytest.raises(FrameError, match="truncated"):
        left.end_of_stream()


def test_closed_by_both_at_once_needs_no_answer() -> None:
    left, right = open_pair()
    left.close("left")
    right.close("right")
    assert exchange(left, right) == ([Closed("right")], [Closed("left")])


def test_closed_by_peer_ignores_what_follows_and_sends_no_more() -> None:
    left, right = open_pair()
    left.close("bye")
    assert right.receive(left.take_output() + b"garbage after the end") == [Closed("bye")]
    assert right.receive(bytes(40)) == []
    assert len(right._input) == 0
    assert not right.can_send
    with pytest.raises(ChannelUnusable, match="closed by the peer"):
        right.send(b"late")
    right.close("ignored")
    right.end_of_stream()


def test_second_close_does_nothing() -> None:
    left, right = open_pair()
    left.close("once")
    left.close("twice")
    assert right.receive(left.take_output()) == [Closed("once")]


def test_close_reason_has_a_limit_in_bytes() -> None:
    left, right = open_pair()
    with pytest.raises(MessageTooLarge, match="201"):
        left.close("é" * 100 + "x")
    left.close("é" * 100)
    assert right.receive(left.take_output()) == [Closed("é" * 100)]
    assert CLOSE_REASON_BYTES_MAX == 200


def test_odd_surrogate_does_not_keep_a_channel_from_closing() -> None:
    left, right = open_pair()
    left.close("broken \ud800")
    assert right.receive(left.take_output()) == [Closed("broken ?")]


@pytest.mark.parametrize(
    "act",
    [
        lambda channel: channel.send(b""),
        lambda channel: channel.ping(bytes(8)),
        lambda channel: channel.close(""),
    ],
    ids=["send", "ping", "close"],
)
def test_nothing_is_sent_before_the_handshake_is_done(act: Callable[[Channel], None]) -> None:
    left, right = make_initiator(), make_responder()
    with pytest.raises(ChannelUnusable, match="in its handshake"):
        act(left)
    assert [len(events) for events in exchange(left, right)] == [1, 1]


def test_ping_token_of_another_size_is_our_mistake() -> None:
    left, _ = open_pair()
    with pytest.raises(AssertionError, match="7 bytes"):
        left.ping(bytes(7))


def test_stream_that_ends_without_close_was_truncated() -> None:
    left, _ = open_pair()
    with pytest.raises(FrameError, match="truncated"):
        left.end_of_stream()
    with pytest.raises(HandshakeFailed, match="ended within"):
        make_responder().end_of_stream()


@pytest.mark.parametrize("rekey_frames", [1, 2, 5])
def test_keys_change_under_every_kind_of_frame(rekey_frames: int) -> None:
    left, right = open_pair(rekey_frames=rekey_frames)
    message = bytes(CHUNK_BYTES_MAX * 2 + 1)
    for number in range(4):
        token = bytes([number]) * 8
        left.send(message)
        left.ping(token)
        right.send(b"%d" % number)
        events = exchange(left, right)
        assert events == ([Message(b"%d" % number), Pong(token)], [Message(message)])
    left.close("end")
    assert right.receive(left.take_output()) == [Closed("end")]


def test_ends_that_disagree_about_rekeying_fail() -> None:
    left, right = make_initiator(rekey_frames=2), make_responder(rekey_frames=3)
    exchange(left, right)
    left.send(b"1")
    left.send(b"2")
    left.send(b"3")
    with pytest.raises(FrameError, match="wrong tag") as caught:
        right.receive(left.take_output())
    assert caught.value.events == (Message(b"1"), Message(b"2"))


def conversation() -> tuple[bytes, bytes, list[ChannelEvent], list[ChannelEvent]]:
    """All bytes each side sends when the other answers at once, and the events of each side."""
    left, right = make_initiator(rekey_frames=3), make_responder(rekey_frames=3)
    wires = [b"", b""]
    events: list[list[ChannelEvent]] = [[], []]

    def carry() -> None:
        for number, (source, target) in enumerate([(left, right), (right, left)]):
            wire = source.take_output()
            wires[number] += wire
            events[1 - number].extend(target.receive(wire))

    carry()
    carry()
    for message in (b"one", b"", bytes(70_000)):
        left.send(message)
        right.send(message)
        left.ping(b"pingping")
        carry()
    left.close("left")
    right.close("right")
    carry()
    return wires[0], wires[1], events[0], events[1]


TO_RIGHT, TO_LEFT, LEFT_EVENTS, RIGHT_EVENTS = conversation()


@given(st.lists(st.one_of(st.integers(0, 40), st.integers(0, 70_000)), max_size=40))
def test_events_do_not_depend_on_how_the_stream_is_cut(sizes: list[int]) -> None:
    # The keys are fixed, so a channel fed with a recording is the channel of the conversation.
    right = make_responder(rekey_frames=3)
    assert receive_all(right, cut(TO_RIGHT, sizes)) == (RIGHT_EVENTS, "")
    left = make_initiator(rekey_frames=3)
    assert receive_all(left, cut(TO_LEFT, sizes)) == (LEFT_EVENTS, "")


def test_events_are_the_same_byte_by_byte() -> None:
    right = make_responder(rekey_frames=3)
    pieces = [TO_RIGHT[index : index + 1] for index in range(len(TO_RIGHT))]
    assert receive_all(right, pieces) == (RIGHT_EVENTS, "")


def test_input_never_holds_more_than_one_frame() -> None:
    right = make_responder(rekey_frames=3)
    for index in range(0, len(TO_RIGHT), 997):
        right.receive(TO_RIGHT[index : index + 997])
        assert len(right._input) < 2 + 65_535
    assert len(split_frames(TO_RIGHT)) == 10
