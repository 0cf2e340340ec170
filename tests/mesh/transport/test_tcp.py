"""Binding, dialling, and the bounds before authentication."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from mesh.core.errors import Conflict
from mesh.transport import tcp
from mesh.transport.tcp import AddressInUse, AddressUnusable, DialError, HandshakeGate


async def test_a_busy_port_says_which_and_what_to_do() -> None:
    listeners = await tcp.bind([("127.0.0.1", 0)])
    (address,) = tcp.bound_addresses(listeners)
    with pytest.raises(AddressInUse, match=f"127.0.0.1:{address[1]}") as caught:
        await tcp.bind([("127.0.0.1", 0), address])
    assert isinstance(caught.value, Conflict)
    assert (caught.value.code, caught.value.exit_code) == ("address_in_use", 1)
    assert "--listen" in caught.value.hint
    for listener in listeners:
        await listener.aclose()


@pytest.mark.parametrize("address", [("192.0.2.1", 0), ("no such host", 0), ("127.0.0.1", 99999)])
async def test_an_address_that_is_not_ours_is_refused(address: tcp.Address) -> None:
    with pytest.raises(AddressUnusable, match="cannot listen on"):
        await tcp.bind([address])


async def test_port_zero_becomes_a_real_port_and_can_be_dialled() -> None:
    listeners = await tcp.bind([("127.0.0.1", 0), ("127.0.0.1", 0)])
    addresses = tcp.bound_addresses(listeners)
    assert len({port for _, port in addresses}) == 2
    stream = await tcp.dial(addresses[1])
    await stream.aclose()
    for listener in listeners:
        await listener.aclose()


@pytest.mark.parametrize("address", [("127.0.0.1", 1), ("no such host", 1), ("127.0.0.1", 99999)])
async def test_a_dial_that_fails_says_why(address: tcp.Address) -> None:
    with pytest.raises(DialError) as caught:
        await tcp.dial(address)
    assert str(caught.value)
    assert "attempt" not in str(caught.value)


async def test_a_dial_is_given_up_in_time(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody(*_: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(trio, "open_tcp_stream", nobody)
    with pytest.raises(DialError, match="no answer within 3 s"):
        await tcp.dial(("192.0.2.1", 1))


async def test_the_oldest_handshake_of_a_host_makes_room_for_the_next() -> None:
    gate = HandshakeGate(total_max=100, per_host_max=4, loopback_max=32)
    ended: list[int] = []

    async def shake(number: int, host: str) -> None:
        with gate.enter(host) as scope:
            await trio.sleep_forever()
        if scope.cancelled_caught:
            ended.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(shake, number, "10.0.0.1")
            await trio.testing.wait_all_tasks_blocked()
        assert len(gate) == 4
        assert ended == [0, 1]
        for number in range(32):
            nursery.start_soon(shake, 100 + number, "127.0.0.1")
        await trio.testing.wait_all_tasks_blocked()
        assert len(gate) == 36
        nursery.cancel_scope.cancel()
    assert len(gate) == 0
    assert gate.dropped == 2


async def test_all_handshakes_together_are_bounded() -> None:
    gate = HandshakeGate(total_max=10)
    async with trio.open_nursery() as nursery:

        async def shake(host: str) -> None:
            with gate.enter(host):
                await trio.sleep_forever()

        for number in range(50):
            nursery.start_soon(shake, f"10.0.0.{number}")
            await trio.testing.wait_all_tasks_blocked()
            assert len(gate) <= 10
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("10.0.0.1", False),
        ("fe80::1%eth0", False),
        ("example.org", False),
    ],
)
def test_loopback_is_known(host: str, *, loopback: bool) -> None:
    assert tcp.is_loopback(host) is loopback
