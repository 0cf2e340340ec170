"""LOCAL and EVENTUAL writes never wait for the network, be it dead or only silent."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from capability.ids import root_worknode
from capability.keys import SeedSigner
from mesh.core.effects import Connect, Effect, Persist, Reply, Send
from mesh.core.inputs import EVENTUAL, LOCAL, DialFailed, Found, LinkOpened, Now, Received, Submit
from mesh.core.writes import Append, Create, SetRegister
from mesh.engine import Engine, EngineConfig
from mesh.gossip.messages import Hello
from mesh.node.node import Node, open_node
from mesh.transport.tcp import text_of
from mesh.wire import encode_message
from tests.crash.homes import LOOPBACK, found, invite
from tests.crash.rounds import ROOT
from tests.mesh.replica.world import TODAY_MS, admit, new_mesh, node_of, seed
from tests.mesh.replica.world import Node as World

#: Longer than the worst disk of a busy machine, shorter than any time-out of the network.
ANSWER_S_MAX = 3.0


# By structure: the answer is among the effects of the write's own batch.


def engine_of(world: World) -> Engine:
    config, rng = EngineConfig("alpha"), random.Random(1)
    return Engine.load(world.store, signer=world.signer, rng=rng, config=config, now=world.now)


def linked(engine: Engine, peer: bytes, now: Now) -> None:
    """A link on which the peer has said hello and will say nothing more."""
    engine.handle(LinkOpened(1, peer, False, None, b"h" * 32), now)
    roots = engine.replica.port.roots()
    hello = Hello(1, 1, 0, "test", 1, *roots, (None, None), (), "", TODAY_MS)
    engine.handle(Received(1, encode_message(hello)), now)
    assert engine.links[1].hello is not None


@pytest.mark.parametrize("level", [LOCAL, EVENTUAL])
@pytest.mark.parametrize("network", ["none", "dead", "silent"])
def test_the_answer_needs_nothing_but_the_disk(level: str, network: str) -> None:
    mesh, peer = new_mesh(), SeedSigner(seed("peer"))
    grant = admit(mesh, peer.public)
    world = node_of(mesh, mesh.root, [grant])
    engine = engine_of(world)
    engine.start(world.now)
    if network == "dead":
        engine.handle(Found(("192.0.2.1", 1), "user"), world.now)
        engine.handle(DialFailed(("192.0.2.1", 1), "nobody there"), world.now)
    if network == "silent":
        linked(engine, peer.public, world.now)
    root = root_worknode(mesh.id)
    for number in range(1, 50):
        write = SetRegister(root, 1, "progress", number)
        effects: list[Effect] = engine.handle(Submit(number, (write,), level), world.now)
        effects += engine.flush(world.now)
        kinds = [type(effect) for effect in effects]
        assert effects[kinds.index(Reply)].request == number  # type: ignore[union-attr]
        # First the disk, then the answer; whatever is sent or dialled is no condition of it.
        assert kinds.index(Persist) < kinds.index(Reply)
        assert not {Send, Connect} & set(kinds[: kinds.index(Reply)])
        world.run(effects)
        engine.committed()
    assert world.store.pending() or level == EVENTUAL


# With real sockets.


async def write_often(node: Node, *, times: int) -> None:
    root = root_worknode(node.mesh_id)
    for number in range(times):
        with trio.fail_after(ANSWER_S_MAX):
            await node.submit([Create(root, "task", nonce=os.urandom(16))])
        with trio.fail_after(ANSWER_S_MAX):
            await node.submit([Append(root, 1, "trace", number)], level=LOCAL)


async def test_peers_that_accept_and_never_answer_delay_nobody(tmp_path: Path) -> None:
    home = found(tmp_path / "a")
    # Nobody accepts, so the kernel does; and nobody is at the last one.
    holes = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=8)
    port = holes[0].socket.getsockname()[1]
    peers = [("127.0.0.1", port), ("127.0.0.1", 1), ("192.0.2.1", 7)]
    async with open_node(home, listen=LOOPBACK, mdns=False, peers=peers) as node:
        await trio.sleep(0.1)
        await write_often(node, times=20)
    for hole in holes:
        await hole.aclose()


@asynccontextmanager
async def frozen(home: Path, node: Node) -> AsyncIterator[None]:
    """A member in a process of its own that is linked, and then stopped in the midst of things."""
    (address,) = node.listen_addresses
    child = await trio.lowlevel.open_process(
        [sys.executable, "-m", "tests.crash.storm", str(home), "1", "1", text_of(address)],
        stdout=subprocess.DEVNULL,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        with trio.fail_after(20):
            while node.replica.counts()["worknodes"] < 5:  # noqa: ASYNC110
                await trio.sleep(0.01)
        child.send_signal(signal.SIGSTOP)
        yield
    finally:
        child.kill()
        with trio.CancelScope(shield=True):
            await child.wait()


async def test_a_linked_peer_that_freezes_delays_nobody(tmp_path: Path) -> None:
    home = found(tmp_path / "a")
    async with open_node(home, listen=LOOPBACK, mdns=False) as node:
        await invite(node, tmp_path / "b")
        async with frozen(tmp_path / "b", node):
            assert node.status()["links"] == 1
            await write_often(node, times=50)
