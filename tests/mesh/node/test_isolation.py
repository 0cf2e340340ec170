"""What goes wrong in one link, one dial or one effect stays there, even if the mistake is ours."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from mesh.core.events import Event
from mesh.core.inputs import DialFailed, Input, LinkClosed, LinkOpened, Received
from mesh.node import links as links_module
from mesh.node.handshake import shake_hands
from tests.mesh.node.helpers import End, event, running, signer

ADDRESS = ("10.0.0.1", 1)


class Clumsy(End):
    """Makes a mistake when it is told to."""

    async def put(self, item: Input) -> None:
        if isinstance(item, Received) and item.data == b"trip":
            raise RuntimeError("a mistake")
        await super().put(item)


async def dial(end: End, stream: trio.abc.Stream) -> None:
    channel = end.links.keys.channel(outbound=True)
    ready = await shake_hands(stream, channel, end.links.keys, expected=None)
    await end.links._serve(stream, channel, ready, outbound=True, address=ADDRESS)


async def test_a_mistake_of_ours_ends_its_link_only(autojump_clock: object) -> None:
    host, callers = Clumsy.of(9), [End.of(1), End.of(2)]
    async with trio.open_nursery() as nursery:
        for caller in callers:
            near, far = trio.testing.memory_stream_pair()
            nursery.start_soon(dial, caller, near)
            nursery.start_soon(host.links.serve_stream, far, ADDRESS)
            await caller.first(LinkOpened)
        await host.first(LinkOpened, 2)
        numbers = {opened.peer: opened.link for opened in host.all(LinkOpened)}
        callers[0].links.send(callers[0].all(LinkOpened)[0].link, b"trip")
        closed = await host.first(LinkClosed)
        assert closed.link == numbers[signer(1).public]
        assert closed.reason == "internal error: RuntimeError: a mistake"
        callers[1].links.send(callers[1].all(LinkOpened)[0].link, b"fine")
        assert (await host.first(Received)).data == b"fine"
        assert list(host.links.open) == [numbers[signer(2).public]]
        assert len(host.all(LinkClosed)) == 1
        nursery.cancel_scope.cancel()


async def test_a_mistake_in_a_strangers_handshake_ends_its_connection_only(
    autojump_clock: object,
) -> None:
    host = End.of(9)
    near, far = trio.testing.memory_stream_pair()

    async def trip(_most: int) -> bytes:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("a mistake")

    far.receive_some = trip
    await host.links.serve_stream(far, ADDRESS)
    (line,) = host.lines
    assert (line.event, dict(line.fields)["reason"]) == ("link.failed", "RuntimeError: a mistake")
    assert host.inputs == []
    with trio.fail_after(1):
        assert await near.receive_some() == b""


async def test_a_mistake_in_a_dial_is_a_failed_dial(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def trip(_address: object) -> trio.SocketStream:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("a mistake")

    monkeypatch.setattr(links_module, "dial", trip)
    host = End.of(9)
    async with trio.open_nursery() as nursery:
        await nursery.start(host.links.run, [])
        for number in (1, 2):
            host.links.connect(ADDRESS, None)
            failed = await host.first(DialFailed, number)
            assert failed == DialFailed(ADDRESS, "RuntimeError: a mistake")
        nursery.cancel_scope.cancel()


async def test_an_effect_that_fails_takes_no_other_with_it(autojump_clock: object) -> None:
    async with running() as made:

        def trip(_events: tuple[Event, ...]) -> None:
            raise RuntimeError("a mistake")

        heard, made.driver._emit = made.driver._emit, trip
        assert await made.submit() == 1
        (line,) = [line for line in made.lines if line.event == "driver.effect_failed"]
        said = dict(line.fields)
        assert (said["error"], said["effect"]) == ("RuntimeError: a mistake", "Emit")
        made.driver._emit = heard
        assert await made.submit() == 2
        assert made.emitted == [event(2)]
        assert made.driver.failure is None
