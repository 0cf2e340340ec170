"""One node and two, with the real engine, store, channel and sockets."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import trio

pytest.importorskip("mesh.engine")

import mesh
from capability.bodies import CAVEAT_CHILD_PERMS, CAVEAT_GRANTS, JOIN
from capability.ids import root_worknode
from capability.keys import SeedSigner
from capability.permissions import DELEGATE, MEMBER
from capability.ticket import Ticket
from mesh.core.errors import Conflict, NotFound, Precondition
from mesh.core.inputs import LOCAL
from mesh.core.writes import Create, SetRegister
from mesh.node.clock import wall_ms
from mesh.node.driver import Driver
from mesh.node.node import Node, open_node
from mesh.node.parts import replay
from mesh.node.setup import init_mesh, prepare_join
from mesh.storage import Home, SqliteStore
from mesh.transport.tcp import AddressInUse

LOOPBACK = (("127.0.0.1", 0),)


def founded(path: Path) -> Path:
    init_mesh(path, "acme", wall_ms(), node_name="alpha")
    return path


async def create(node: Node, title: str, *, level: str = "eventual") -> object:
    nonce = os.urandom(16)
    return await node.submit(
        [Create(root_worknode(node.mesh_id), "task", nonce=nonce)], level=level
    )


async def ticket_from(node: Node) -> Ticket:
    """What `mesh invite` does."""
    seed = os.urandom(32)
    expires = wall_ms() + 60_000
    grant = await node.issue_grant(
        SeedSigner(seed).public,
        akind=JOIN,
        scopes=[root_worknode(node.mesh_id)],
        perms=MEMBER | DELEGATE,
        max_depth=8,
        exp_ms=expires,
        caveats=[(CAVEAT_CHILD_PERMS, MEMBER), (CAVEAT_GRANTS, 1)],
    )
    with SqliteStore(node.home.database_path) as store:
        entries = [stored.entry for stored in store.entries()]
    genesis = entries[0]
    (join,) = [entry for entry in entries if entry.id == grant]
    return Ticket(
        mesh=node.mesh_id,
        inviter=node.node_key,
        grant=join.id,
        seed=seed,
        exp_ms=expires,
        addresses=node.listen_addresses,
        name=node.name,
        chain=(genesis.encode(), join.encode()),
    )


async def equal(one: Node, other: Node) -> None:
    with trio.fail_after(15):
        while one.replica.state_hash() != other.replica.state_hash():  # noqa: ASYNC110
            await trio.sleep(0.01)


def test_the_front_door_is_lazy() -> None:
    assert mesh.open_node is open_node
    with pytest.raises(AttributeError):
        _ = mesh.nothing


async def test_a_write_is_there_after_a_restart(tmp_path: Path) -> None:
    home = founded(tmp_path / "a")
    async with open_node(home, listen=LOOPBACK, mdns=False) as node:
        await create(node, "one")
        await create(node, "two", level=LOCAL)
        status = node.status()
        assert status["running"] is True
        assert status["writing"] == "ok"
    async with open_node(home, listen=LOOPBACK, mdns=False) as node:
        assert node.replica.counts()["worknodes"] == 2
        assert node.replica.counts()["pending"] == 0
        assert node.name == "alpha"


async def test_a_home_runs_once(tmp_path: Path) -> None:
    home = founded(tmp_path / "a")
    async with open_node(home, listen=LOOPBACK, mdns=False):
        with pytest.raises(Conflict, match="in use"):
            async with open_node(home, listen=LOOPBACK, mdns=False):
                pass


async def test_a_busy_port_leaves_the_home_free(tmp_path: Path) -> None:
    home, other = founded(tmp_path / "a"), founded(tmp_path / "b")
    async with open_node(home, listen=LOOPBACK, mdns=False) as node:
        with pytest.raises(AddressInUse):
            async with open_node(other, listen=node.listen_addresses, mdns=False):
                pass
        async with open_node(other, listen=LOOPBACK, mdns=False):
            pass


async def test_a_home_without_a_mesh_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no node"):
        async with open_node(tmp_path / "a", mdns=False):
            pass
    Home.create(tmp_path / "a")
    with pytest.raises(Precondition, match="no mesh") as caught:
        async with open_node(tmp_path / "a", mdns=False):
            pass
    assert "mesh init" in caught.value.hint


async def test_what_the_block_raises_comes_out_as_it_is(tmp_path: Path) -> None:
    home = founded(tmp_path / "a")
    with pytest.raises(ZeroDivisionError):
        async with open_node(home, listen=LOOPBACK, mdns=False):
            _ = 1 / 0


async def test_a_cancelled_node_still_seals_and_stops_in_order(tmp_path: Path) -> None:
    home = founded(tmp_path / "a")
    with trio.CancelScope() as scope:
        async with open_node(home, listen=LOOPBACK, mdns=False) as node:
            await create(node, "one", level=LOCAL)
            scope.cancel()
            await trio.sleep_forever()
    lines = [json.loads(line) for line in (home / "node.log").read_text().splitlines()]
    assert [line["event"] for line in lines][-1] == "node.stopped"
    with SqliteStore(Home(home).database_path) as store:
        assert store.pending() == []
        assert store.last_n() == 2


async def test_a_node_that_is_cancelled_while_it_starts_gives_its_home_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = founded(tmp_path / "a")
    is_starting = trio.Event()

    async def slow(self: object, task_status: object = None) -> None:
        is_starting.set()
        await trio.sleep(5)
        raise AssertionError("nobody could end it")

    async def enter() -> None:
        async with open_node(home, listen=LOOPBACK, mdns=False):
            raise AssertionError("it has not started")

    with monkeypatch.context() as patch:
        patch.setattr(Driver, "run", slow)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(enter)
            await is_starting.wait()
            nursery.cancel_scope.cancel()
    async with open_node(home, listen=LOOPBACK, mdns=False) as node:
        await create(node, "one")


async def test_subscribers_resume_across_restarts(tmp_path: Path) -> None:
    home = founded(tmp_path / "a")
    async with open_node(home, listen=LOOPBACK, mdns=False) as node:
        with node.subscribe(0) as events:
            await create(node, "one")
            with trio.fail_after(5):
                first = await events.__anext__()
    async with open_node(home, listen=LOOPBACK, mdns=False) as node:
        await create(node, "two")
        with node.subscribe(0) as events, trio.fail_after(5):
            again = [await events.__anext__() for _ in range(2)]
        assert again[0] == first
        with node.subscribe(first.cursor) as events, trio.fail_after(5):
            assert await events.__anext__() == again[1]


async def test_two_nodes_join_by_ticket_and_exchange_writes(tmp_path: Path) -> None:
    home = founded(tmp_path / "a")
    async with open_node(home, listen=LOOPBACK, mdns=False) as alpha:
        ticket = await ticket_from(alpha)
        await create(alpha, "before")
        prepare_join(tmp_path / "b", ticket.encode(), "beta", wall_ms())
        async with open_node(tmp_path / "b", listen=LOOPBACK, mdns=False) as beta:
            await equal(alpha, beta)
            assert beta.replica.counts()["worknodes"] == 1
            await create(beta, "from beta")
            await create(alpha, "from alpha")
            await equal(alpha, beta)
            with trio.fail_after(10):
                while alpha.replica.counts()["worknodes"] < 3:  # noqa: ASYNC110
                    await trio.sleep(0.01)
        # The other one is gone and comes back, at another port.
        await create(alpha, "while away")
        async with open_node(
            tmp_path / "b", listen=LOOPBACK, mdns=False, peers=alpha.listen_addresses
        ) as beta:
            await equal(alpha, beta)
            assert beta.replica.counts()["worknodes"] == 4


async def test_a_host_that_has_moved_tells_its_present_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its interface comes back with another address while the node runs; links are made anew."""
    own = ["192.0.2.7"]
    monkeypatch.setattr("mesh.node.parts.own_addresses", lambda: tuple(own))
    async with open_node(founded(tmp_path / "a"), listen=LOOPBACK, mdns=False) as a:
        ticket = await ticket_from(a)
        prepare_join(tmp_path / "b", ticket.encode(), "beta", wall_ms())
        async with open_node(tmp_path / "b", listen=(("0.0.0.0", 0),), mdns=False) as b:
            ((_, port),) = b.listen_addresses

            async def told(host: str) -> None:
                with trio.fail_after(15):
                    while heard() != [((host, port),)]:  # noqa: ASYNC110
                        await trio.sleep(0.01)

            def heard() -> list[object]:
                return [link.hello and link.hello.addresses for link in links.values()]

            links = a._parts.driver.engine.links
            await told("192.0.2.7")
            own[:] = ["192.0.2.8"]
            b._parts.links.reset("the interface is gone")
            await told("192.0.2.8")
            assert b.status()["advertised"] == [f"192.0.2.8:{port}"]
            assert [peer["address"] for peer in a.status()["peers"]] == [f"192.0.2.8:{port}"]


async def test_a_recording_of_a_real_node_replays(tmp_path: Path) -> None:
    home = founded(tmp_path / "a")
    async with open_node(home, listen=LOOPBACK, mdns=False, record=tmp_path / "rec") as node:
        made = await create(node, "one")
        assert made is not None
        await create(node, "two", level=LOCAL)
        ticket = await ticket_from(node)
        prepare_join(tmp_path / "b", ticket.encode(), "beta", wall_ms())
        async with open_node(tmp_path / "b", listen=LOOPBACK, mdns=False) as beta:
            await beta.submit([SetRegister(root_worknode(node.mesh_id), 0, "title", "x")])
            await equal(node, beta)
    result = await trio.to_thread.run_sync(replay, tmp_path / "rec", SeedSigner(Home(home).seed()))
    assert result.mismatch is None
    assert result.recorded_state_hash == result.state_hash != b""
