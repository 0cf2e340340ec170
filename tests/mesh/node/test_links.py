"""Links over memory streams and loopback: liveness, bounds, and faults that stay in one link."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio
import trio.testing

from mesh.channel import HandshakeFailed
from mesh.core.inputs import (
    DialFailed,
    LinkClosed,
    LinkOpened,
    Measured,
    OutboxDrained,
    Received,
)
from mesh.core.limits import MESSAGE_BYTES_MAX, OUTBOX_BYTES_MAX, REDIAL_MS_MIN, SILENCE_MS_MAX
from mesh.node import links as links_module
from mesh.node.handshake import HANDSHAKE_MESSAGE_S_MAX, HANDSHAKE_S_MAX, shake_hands
from mesh.node.link import CLOSE_S_MAX, FIRST_MESSAGE_S_MAX, STALL_S_MAX
from mesh.transport import tcp
from mesh.transport.pace import HandshakePace
from tests.mesh.node.helpers import MESH, End, keys, signer


@asynccontextmanager
async def two(
    *, numbers: tuple[int, int] = (1, 2), meshes: tuple[bytes, bytes] = (MESH, MESH)
) -> AsyncIterator[tuple[End, End, tcp.Address]]:
    """A dials B over loopback."""
    a, b = (End.of(n, m) for n, m in zip(numbers, meshes, strict=True))
    listeners = await tcp.bind([("127.0.0.1", 0)])
    (address,) = tcp.bound_addresses(listeners)
    async with trio.open_nursery() as nursery:
        await nursery.start(a.links.run, [])
        await nursery.start(b.links.run, listeners)
        yield a, b, address
        nursery.cancel_scope.cancel()


async def test_messages_arrive_whole_and_in_order() -> None:
    async with two() as (a, b, address):
        a.links.connect(address, signer(2).public)
        opened = await a.first(LinkOpened)
        accepted = await b.first(LinkOpened)
        assert (opened.peer, opened.outbound, opened.address) == (signer(2).public, True, address)
        assert (accepted.peer, accepted.outbound, accepted.address) == (
            signer(1).public,
            False,
            None,
        )
        assert opened.handshake_hash == accepted.handshake_hash
        messages = [b"", b"x", b"y" * MESSAGE_BYTES_MAX, b"z" * 70_000]
        for data in messages:
            assert a.links.send(opened.link, data)
            assert b.links.send(accepted.link, data)
        await b.first(Received, len(messages))
        await a.first(Received, len(messages))
        assert [i.data for i in b.all(Received)] == messages
        assert [i.data for i in a.all(Received)] == messages


async def test_closing_tells_both_sides_why() -> None:
    async with two() as (a, b, address):
        a.links.connect(address, None)
        opened = await a.first(LinkOpened)
        await b.first(LinkOpened)
        a.links.send(opened.link, b"last words")
        a.links.disconnect(opened.link, "goodbye")
        assert (await b.first(LinkClosed)).reason == "closed by the peer: goodbye"
        assert (await a.first(LinkClosed)).reason == "goodbye"
        assert [i.data for i in b.all(Received)] == [b"last words"]
        assert not a.links.open
        assert not b.links.open


async def test_what_a_peer_said_before_it_closed_waits_for_the_engine() -> None:
    """Its goodbye says why; that this side has something to say at the moment changes nothing."""
    async with two() as (a, b, address):
        a.links.connect(address, None)
        opened = await a.first(LinkOpened)
        accepted = await b.first(LinkOpened)
        a.gate = trio.Event()
        b.links.send(accepted.link, b"last words")
        b.links.disconnect(accepted.link, "goodbye")
        await trio.sleep(0.1)
        a.links.send(opened.link, b"too late")
        await trio.sleep(0.1)
        a.gate.set()
        assert (await a.first(LinkClosed)).reason == "closed by the peer: goodbye"
        assert [i.data for i in a.all(Received)] == [b"last words"]


@pytest.mark.parametrize(
    ("numbers", "meshes", "expected"),
    [
        ((1, 2), (MESH, b"o" * 32), None),
        ((1, 2), (MESH, MESH), signer(3).public),
        ((1, 1), (MESH, MESH), None),
    ],
    ids=["another mesh", "another node", "itself"],
)
async def test_a_wrong_peer_is_a_failed_dial(
    numbers: tuple[int, int], meshes: tuple[bytes, bytes], expected: bytes | None
) -> None:
    async with two(numbers=numbers, meshes=meshes) as (a, b, address):
        a.links.connect(address, expected)
        failed = await a.first(DialFailed)
        assert (failed.address, failed.is_other) == (address, expected is not None)
        await trio.sleep(0.05)
        assert not a.all(LinkOpened)
        assert not b.all(LinkOpened)
        assert not b.links.open


async def test_nobody_there_is_a_failed_dial() -> None:
    listeners = await tcp.bind([("127.0.0.1", 0)])
    (address,) = tcp.bound_addresses(listeners)
    await listeners[0].aclose()
    end = End.of(1)
    async with trio.open_nursery() as nursery:
        await nursery.start(end.links.run, [])
        end.links.connect(address, None)
        assert "refused" in (await end.first(DialFailed)).reason.lower()
        nursery.cancel_scope.cancel()


async def test_garbage_ends_only_its_own_connection() -> None:
    async with two() as (a, b, address):
        a.links.connect(address, None)
        opened = await a.first(LinkOpened)
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\x00\x20" + bytes(32), b"\xff" * 5000):
            stream = await trio.open_tcp_stream(*address)
            with trio.fail_after(5):
                try:
                    await stream.send_all(garbage)
                    while await stream.receive_some():
                        pass
                except trio.BrokenResourceError:
                    pass
            await stream.aclose()
        a.links.send(opened.link, b"still here")
        assert (await b.first(Received)).data == b"still here"
        assert [line.event for line in b.lines] == ["link.opened", *["link.refused"] * 3]


async def test_a_caller_beyond_the_pace_is_cut_off_and_comes_in_when_it_dials_again() -> None:
    """What it sees is a dial that failed: its back-off does the rest."""
    async with two() as (a, b, address):
        now_s = 0.0
        b.links.pace = HandshakePace(lambda: now_s)
        while b.links.pace.admits("127.0.0.1"):
            pass
        refused = b.links.pace.refused
        a.links.connect(address, signer(2).public)
        failed = await a.first(DialFailed)
        assert (failed.address, b.links.pace.refused) == (address, refused + 1)
        # Or, where its own first message crossed with the close, that the connection was reset.
        assert "ended within" in failed.reason or "reset" in failed.reason.lower()
        assert [line.event for line in b.lines] == ["link.refused"]
        assert dict(b.lines[0].fields)["reason"] == "too many handshakes in so short a time"
        now_s += REDIAL_MS_MIN / 1000
        a.links.connect(address, signer(2).public)
        await a.first(LinkOpened)
        await b.first(LinkOpened)


async def test_a_refused_flood_computes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    end = End.of(2)
    end.links.pace = HandshakePace(lambda: 0.0)
    while end.links.pace.admits("10.0.0.1"):
        pass
    monkeypatch.setattr(links_module, "shake_hands", None)
    for _ in range(100):
        near, far = trio.testing.memory_stream_pair()
        await near.send_all(bytes(64))
        await end.links.serve_stream(far, ("10.0.0.1", 1))
        with pytest.raises(trio.BrokenResourceError):
            await near.send_all(b"x")
    assert len(end.links.gate) == 0
    assert not end.inputs


# Over memory streams, in virtual time.


class Wire:
    """Two ends over memory streams; `cut` loses all that is sent later, silently."""

    def __init__(self) -> None:
        self.a, self.b = End.of(1), End.of(2)
        self.near, self.far = trio.testing.memory_stream_pair()

    def cut(self) -> None:
        for stream in (self.near, self.far):

            async def lose(data: object) -> None:
                await trio.lowlevel.checkpoint()

            stream.send_all = lose

    def greet(self) -> None:
        for end in (self.a, self.b):
            end.links.send(end.all(LinkOpened)[0].link, b"hello")

    async def serve(self, end: End, stream: trio.abc.Stream, *, outbound: bool) -> None:
        if not outbound:
            await end.links.serve_stream(stream, ("10.0.0.1", 1))
            return
        channel = end.links.keys.channel(outbound=True)
        ready = await shake_hands(stream, channel, end.links.keys, expected=None)
        await end.links._serve(stream, channel, ready, outbound=True, address=("10.0.0.2", 2))


@asynccontextmanager
async def wired() -> AsyncIterator[Wire]:
    wire = Wire()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: wire.serve(wire.a, wire.near, outbound=True))
        nursery.start_soon(lambda: wire.serve(wire.b, wire.far, outbound=False))
        await wire.a.first(LinkOpened)
        await wire.b.first(LinkOpened)
        yield wire
        nursery.cancel_scope.cancel()


async def test_an_idle_link_stays_and_is_measured_each_heartbeat(autojump_clock: object) -> None:
    async with wired() as wire:
        wire.greet()
        await trio.sleep(60)
        for end in (wire.a, wire.b):
            assert not end.all(LinkClosed)
            assert 50 <= len(end.all(Measured)) <= 62


async def test_silence_closes_a_link_in_time(autojump_clock: object) -> None:
    async with wired() as wire:
        await trio.sleep(10)
        wire.cut()
        await trio.sleep(SILENCE_MS_MAX / 1000 + 0.1)
        assert wire.a.all(LinkClosed)
        assert wire.b.all(LinkClosed)
        assert "silent" in wire.a.all(LinkClosed)[0].reason


async def test_an_engine_that_pauses_does_not_close_its_links(autojump_clock: object) -> None:
    async with wired() as wire:
        wire.greet()
        await trio.sleep(1)
        wire.b.gate = trio.Event()
        number = wire.a.all(LinkOpened)[0].link
        wire.a.links.send(number, b"one")
        await trio.sleep(30)
        assert not wire.a.all(LinkClosed)
        wire.b.gate.set()
        await trio.sleep(10)
        assert not wire.b.all(LinkClosed)
        assert [i.data for i in wire.b.all(Received)] == [b"hello", b"one"]


async def test_a_peer_that_never_says_anything_is_closed(autojump_clock: object) -> None:
    async with wired() as wire:
        wire.b.links.send(wire.b.all(LinkOpened)[0].link, b"hello")
        await trio.sleep(FIRST_MESSAGE_S_MAX - 1)
        assert not wire.b.all(LinkClosed)
        await trio.sleep(2)
        assert "no message" in wire.b.all(LinkClosed)[0].reason


async def test_a_full_table_drops_who_has_said_nothing(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links_module, "OPEN_LINKS_MAX", 1)
    async with wired() as wire:
        late = Wire()
        late.b = wire.b
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: late.serve(late.a, late.near, outbound=True))
            nursery.start_soon(lambda: late.serve(late.b, late.far, outbound=False))
            await late.a.first(LinkClosed)
        assert wire.b.all(LinkClosed)
        assert len(wire.b.all(LinkOpened)) == 1
        assert not wire.b.links.open


async def test_a_peer_that_reads_nothing_is_closed_and_costs_no_more_than_the_bound(
    autojump_clock: object,
) -> None:
    async with wired() as wire:

        async def stuck(data: object) -> None:
            await trio.sleep_forever()

        wire.near.send_all = stuck
        number = wire.a.all(LinkOpened)[0].link
        link = wire.a.links.open[number]
        sent = [wire.a.links.send(number, b"x" * 100_000) for _ in range(100)]
        assert not all(sent)
        assert link.outbox_bytes <= OUTBOX_BYTES_MAX
        await trio.sleep(STALL_S_MAX + 1)
        (closed,) = wire.a.all(LinkClosed)
        assert "dropped" in closed.reason


async def test_the_engine_hears_when_a_full_outbox_has_drained(autojump_clock: object) -> None:
    async with wired() as wire:
        number = wire.a.all(LinkOpened)[0].link
        sent = [wire.a.links.send(number, b"x" * 100_000) for _ in range(60)]
        assert sent.count(False) > 0
        await trio.sleep(1)
        assert wire.a.all(OutboxDrained) == [OutboxDrained(number)]
        assert len(wire.b.all(Received)) == sent.count(True)


async def test_a_caller_who_says_nothing_is_dropped(autojump_clock: object) -> None:
    end = End.of(1)
    near, far = trio.testing.memory_stream_pair()
    started = trio.current_time()
    await end.links.serve_stream(far, ("10.0.0.9", 9))
    assert trio.current_time() - started == pytest.approx(HANDSHAKE_MESSAGE_S_MAX)
    assert await near.receive_some() == b""
    assert len(end.links.gate) == 0


@pytest.mark.parametrize(
    "pause_s", [HANDSHAKE_MESSAGE_S_MAX - 0.01, HANDSHAKE_MESSAGE_S_MAX + 0.01]
)
async def test_each_message_of_a_caller_has_its_time(
    autojump_clock: object, pause_s: float
) -> None:
    """Within it both messages may be as late as they like, one beyond is the end."""
    end, other = End.of(1), keys(2).channel(outbound=True)
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end.links.serve_stream, far, ("10.0.0.9", 9))
        await trio.sleep(HANDSHAKE_MESSAGE_S_MAX - 0.01)
        await near.send_all(other.take_output())
        other.receive(bytes(await near.receive_some()))
        await trio.sleep(pause_s)
        with suppress(trio.BrokenResourceError):
            await near.send_all(other.take_output())
        await trio.sleep(0.1)
        assert bool(end.all(LinkOpened)) == (pause_s < HANDSHAKE_MESSAGE_S_MAX)
        nursery.cancel_scope.cancel()


async def test_a_message_that_comes_by_bytes_has_no_more_time(autojump_clock: object) -> None:
    end = End.of(1)
    near, far = trio.testing.memory_stream_pair()
    started = trio.current_time()

    async def drip() -> None:
        with suppress(trio.BrokenResourceError):
            await near.send_all((32).to_bytes(2, "big"))
            while True:
                await near.send_all(b"x")
                await trio.sleep(HANDSHAKE_MESSAGE_S_MAX / 4)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(drip)
        await end.links.serve_stream(far, ("10.0.0.9", 9))
        assert trio.current_time() - started == pytest.approx(HANDSHAKE_MESSAGE_S_MAX)


async def test_who_is_called_has_the_whole_time_of_a_handshake(autojump_clock: object) -> None:
    """Its engine may be busy: the dialler waits longer than it would be waited for."""
    near, _far = trio.testing.memory_stream_pair()
    started = trio.current_time()
    with pytest.raises(HandshakeFailed, match="no handshake within 5 s"):
        await shake_hands(near, keys(1).channel(outbound=True), keys(1), expected=None)
    assert trio.current_time() - started == pytest.approx(HANDSHAKE_S_MAX)


async def test_closing_all_is_bounded_even_if_nobody_answers(autojump_clock: object) -> None:
    async with wired() as wire:
        wire.cut()
        started = trio.current_time()
        await wire.a.links.close_all("stopping")
        assert not wire.a.links.open
        assert trio.current_time() - started <= CLOSE_S_MAX + 1


async def test_no_links_are_made_while_paused(autojump_clock: object) -> None:
    end = End.of(1)
    end.links.is_paused = True
    near, far = trio.testing.memory_stream_pair()
    await end.links.serve_stream(far, ("10.0.0.9", 9))
    assert await near.receive_some() == b""
    assert end.inputs == []


def test_static_keys_are_fresh_and_not_shown() -> None:
    one, other = keys(1), keys(1)
    assert one.payload != other.payload
    assert "static_key" not in repr(one)
