"""A real node under everything that one bad peer can do at once, beside an honest one."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path

import trio

from capability.ids import root_worknode
from capability.keys import SeedSigner
from capability.ops import OP_REGISTER
from crdt.codec import encode
from crdt.hlc import pack
from mesh.channel import ChannelError
from mesh.core.inputs import Address
from mesh.core.writes import SetRegister
from mesh.gossip.messages import Get, Hello, Push, Range, Roots, Rows
from mesh.node.clock import wall_ms
from mesh.node.handshake import ChannelKeys, shake_hands
from mesh.node.node import Node, open_node
from mesh.node.setup import prepare_join
from mesh.storage import Home
from mesh.transport import tcp
from mesh.wire import encode_message
from tests.mesh.node.test_node import LOOPBACK, equal, founded, ticket_from
from tests.mesh.replica.hand import Hand, put
from tests.mesh.replica.world import Mesh

FLOOD_S = 5.0
#: A local write while it lasts. It takes milliseconds; the machine is shared.
WRITE_S_MAX = 4.0
MEMORY_KIB_MAX = 150 * 1024
NAMED = {"driver.batch_failed", "driver.load_failed", "driver.effect_failed", "node.failed"}


async def garbage(address: Address) -> None:
    """Handshakes that are none, and connections that say nothing."""
    while True:
        try:
            async with await tcp.dial(address) as stream:
                await stream.send_all(os.urandom(96))
                await trio.sleep(0.02)
        except (OSError, tcp.DialError, trio.BrokenResourceError):
            await trio.sleep(0.05)


def messages(signer: SeedSigner, mesh: Mesh, leaf: bytes, victim: bytes) -> list[bytes]:
    """Good form, bad intent: void, deferred, undecided and far-future entries; dear questions."""
    hand = Hand(signer, mesh, leaf)
    twin = hand.twin()
    unknown = [put(os.urandom(16), "f", n) for n in range(200)]
    entries = [hand.data(*unknown, hlc=pack(wall_ms(), n)).encode() for n in range(20)]
    future = [hand.data(*unknown[:2], hlc=pack(2**46 + n, 0)).encode() for n in range(20)]
    forks = [twin.twin().data(put(os.urandom(16), "f", n)).encode() for n in range(20)]
    gaps = [
        hand.data(*unknown[:2], skip=5, hlc=pack(2**46 + 100 + n, 0)).encode() for n in range(9)
    ]
    get = Get(1, tuple(Range(victim, 1, 1, 2**40) for _ in range(200)), 1 << 40)
    body = encode((99, b"\xdc" * 20_000, OP_REGISTER))
    return [
        *(encode_message(Push((entry,))) for entry in (*entries, *future, *forks, *gaps)),
        *[encode_message(get)] * 20,
        *[encode_message(Rows(2 * n, b"", 0, False, ())) for n in range(20)],
        *[encode_message(Roots(os.urandom(32), os.urandom(32), n)) for n in range(20)],
        *[body] * 5,
    ]


async def flood(address: Address, keys: ChannelKeys, hello: bytes, said: list[bytes]) -> None:
    """A member that says all this, and ends each round with bytes that are none; for ever."""
    while True:
        stream = None
        try:
            stream = await tcp.dial(address)
            channel = keys.channel(outbound=True)
            await shake_hands(stream, channel, keys, expected=None)
            for data in (hello, *said, *said):
                channel.send(data)
                channel.ping(os.urandom(8))
                with trio.move_on_after(1.0):
                    await stream.send_all(channel.take_output())
                with trio.move_on_after(0):
                    channel.receive(bytes(await stream.receive_some(65_536)))
            channel.send(os.urandom(100))
            await stream.send_all(channel.take_output() + os.urandom(1_000))
        except (OSError, tcp.DialError, ChannelError, trio.BrokenResourceError):
            await trio.sleep(0.01)
        finally:
            if stream is not None:
                await trio.aclose_forcefully(stream)


async def write(node: Node, number: int) -> None:
    with trio.fail_after(WRITE_S_MAX):
        await node.submit([SetRegister(root_worknode(node.mesh_id), 0, "title", f"{number}")])


async def test_a_node_under_one_bad_peers_load_keeps_working(tmp_path: Path) -> None:
    home = founded(tmp_path / "a")
    async with open_node(home, listen=LOOPBACK, mdns=False) as alpha:
        for name in ("b", "mal"):
            prepare_join(tmp_path / name, (await ticket_from(alpha)).encode(), name, wall_ms())
        (address,) = alpha.listen_addresses
        # Mal joins as a member ought to; then its key falls into bad hands.
        async with open_node(tmp_path / "mal", listen=LOOPBACK, mdns=False) as mal:
            signer = SeedSigner(Home(tmp_path / "mal").seed())
            with trio.fail_after(10):
                while not alpha.replica.held.ledger.grants_to(signer.public):  # noqa: ASYNC110
                    await trio.sleep(0.01)
            leaf = alpha.replica.held.ledger.grants_to(signer.public)[0][0]
            await equal(alpha, mal)
        genesis = alpha.replica.held.read(1)
        mesh = Mesh(signer, genesis)
        keys = ChannelKeys.create(signer, alpha.mesh_id)
        hello = _hello(alpha)
        async with open_node(tmp_path / "b", listen=LOOPBACK, mdns=False) as beta:
            await equal(alpha, beta)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            said = messages(signer, mesh, leaf, alpha.node_key)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(garbage, address)
                nursery.start_soon(flood, address, keys, hello, said)
                end_s = trio.current_time() + FLOOD_S
                number = 0
                while trio.current_time() < end_s:
                    number += 1
                    await write(alpha, number)
                    await trio.sleep(0.02)
                nursery.cancel_scope.cancel()
            assert number > 20
            await write(beta, -1)
            await equal(alpha, beta)
            assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY_KIB_MAX
            # It has really got through: what Mal signed is held.
            lane = alpha.replica.held.ledger.lane(signer.public, 1)
            assert lane is not None
            assert len(lane) > 10
    lines = [json.loads(line) for line in (home / "node.log").read_text().splitlines()]
    assert not [line for line in lines if line["event"] in NAMED]
    assert {line["event"] for line in lines if line["level"] == "error"} <= {"log.forked"}


def _hello(node: Node) -> bytes:
    return encode_message(
        Hello(1, 1, 0, "bad", 1, bytes(32), bytes(32), (None, None), (), "", wall_ms())
    )
