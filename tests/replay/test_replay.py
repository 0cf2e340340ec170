"""What real nodes did together replays through the engine: the same effects, the same state."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio

from capability.ids import root_worknode, worknode_id
from mesh.core.errors import StorageError
from mesh.core.inputs import LOCAL, LinkClosed, LinkOpened, Received, Submit, Tick
from mesh.core.writes import AddToSet, Append, Create, Increment, Move, RemoveFromSet, SetRegister
from mesh.node.node import Node, open_node
from mesh.node.parts import replay
from mesh.node.recorder import DATABASE, INPUTS, frames
from mesh.node.replay import ReplayResult
from mesh.node.structure import pack
from tests.crash.homes import LOOPBACK, agree, found, full, invite, is_member, signer_of

Frame = tuple[object, ...]


@asynccontextmanager
async def recorded(home: Path, record: Path, *peers: Node) -> AsyncIterator[Node]:
    addresses = [address for peer in peers for address in peer.listen_addresses]
    options = {"listen": LOOPBACK, "mdns": False, "peers": addresses, "record": record}
    async with open_node(home, **options) as node:
        await is_member(node)
        yield node


async def work(node: Node, shared: bytes, *, session: str = "") -> None:
    """One of each write, on a Worknode of its own and on one that all write."""
    root, nonce = root_worknode(node.mesh_id), os.urandom(16)
    mine = worknode_id(root, 0, node.node_key + nonce)
    await node.submit([Create(root, "task", nonce=nonce)], session=session)
    for at in (mine, shared):
        await node.submit([SetRegister(at, 0, "title", node.name)], session=session)
        await node.submit([AddToSet(at, 0, "labels", "a"), Increment(at, 0, "spent", 2)])
        await node.submit([RemoveFromSet(at, 0, "labels", "a"), Append(at, 0, "notes", "x")])
        await node.submit([Increment(at, 1, "ticks", 1)], level=LOCAL)
    await node.submit([Move(shared, mine)])


def cut(*nodes: Node) -> None:
    """Every link of these is closed; they dial again by themselves."""
    for node in nodes:
        node._parts.links.reset("cut by the test")


async def linked(founder: Node, *members: Node) -> None:
    """Every member has found the founder again; not all know of each other's addresses."""
    with trio.fail_after(20):
        while len(founder._parts.links.open) < len(members):  # noqa: ASYNC110
            await trio.sleep(0.01)


async def run_together(folder: Path, *, nodes: int) -> list[tuple[Path, Path]]:
    """All write, are parted, write on, meet again; (home, recording) of each run of a node."""
    runs = [(folder / f"{i}", folder / f"rec{i}") for i in range(nodes)]
    runs.append((folder / "1", folder / "again"))
    found(folder / "0")
    async with AsyncExitStack() as stack:
        running = [await stack.enter_async_context(recorded(*runs[0]))]
        shared = worknode_id(root_worknode(running[0].mesh_id), 1, b"shared")
        create = Create(root_worknode(running[0].mesh_id), "task", shared_key=b"shared")
        await running[0].submit([create])
        for home, record in runs[2:-1]:
            await invite(running[0], home)
            running.append(await stack.enter_async_context(recorded(home, record, running[0])))
        await invite(running[0], runs[1][0])
        async with recorded(*runs[1], running[0]) as second:
            await agree(*running, second)
            for node in (*running, second):
                await work(node, shared)
            await linked(*running, second)
            cut(*running, second)
            for node in (*running, second):
                await work(node, shared, session="agent")
            await linked(*running, second)
            for node in (*running, second):
                await node.seal()
            await agree(*running, second)
        # One is away for a while, with its own writes unseen.
        for node in running:
            await work(node, shared)
        async with recorded(*runs[-1], *running) as second:
            await work(second, shared)
            for node in (*running, second):
                await node.seal()
            await agree(*running, second)
    return runs


async def replayed(home: Path, record: Path) -> ReplayResult:
    return await trio.to_thread.run_sync(replay, record, signer_of(home))


def inputs_of(record: Path) -> list[object]:
    return [frame[3] for frame in frames(record / INPUTS) if frame[0] == "input"]


@pytest.mark.parametrize("nodes", [2, 3])
async def test_what_real_nodes_did_replays_to_the_same(tmp_path: Path, nodes: int) -> None:
    runs = await run_together(tmp_path, nodes=nodes)
    kinds = {type(item) for _, record in runs for item in inputs_of(record)}
    assert {Submit, Received, LinkOpened, LinkClosed, Tick} <= kinds
    hashes = set()
    for home, record in runs:
        result = await replayed(home, record)
        assert result.mismatch is None, f"{record.name}: {result.mismatch}"
        assert result.inputs == len(inputs_of(record)) > 10
        assert result.state_hash == result.recorded_state_hash
        if record.name != "rec1":
            hashes.add(result.state_hash)
    # They agreed, so their replays do; the first run of the second node ended before that.
    assert len(hashes) == 1


async def test_a_run_in_which_the_disk_refused_replays_too(tmp_path: Path) -> None:
    home, record = found(tmp_path / "0"), tmp_path / "rec"
    async with recorded(home, record) as node:
        root = root_worknode(node.mesh_id)
        await node.submit([Create(root, "task", nonce=os.urandom(16))])
        with full(node), pytest.raises(StorageError):
            await node.submit([Append(root, 0, "notes", "x" * 50_000)])
        with trio.fail_after(20):
            while node.status()["writing"] != "ok":  # noqa: ASYNC110
                await trio.sleep(0.01)
        await node.submit([Append(root, 0, "notes", "y" * 50_000)])
    assert ("commit", False) in list(frames(record / INPUTS))
    result = await replayed(home, record)
    assert result.mismatch is None
    assert result.state_hash == result.recorded_state_hash


def rewrite(record: Path, to: Path, change: Callable[[list[Frame]], Sequence[Frame]]) -> Path:
    """A recording like *record*, with other frames."""
    to.mkdir()
    (to / DATABASE).write_bytes((record / DATABASE).read_bytes())
    with (to / INPUTS).open("wb") as file:
        for frame in change(list(frames(record / INPUTS))):
            data = pack(frame)
            file.write(len(data).to_bytes(4, "big") + data)
    return to


def places(recording: list[Frame], kind: type) -> list[int]:
    return [
        index
        for index, frame in enumerate(recording)
        if frame[0] == "input" and isinstance(frame[3], kind)
    ]


async def test_a_replay_that_misses_or_changes_an_input_is_noticed(tmp_path: Path) -> None:
    (home, record), *_ = await run_together(tmp_path, nodes=2)
    assert (await replayed(home, record)).mismatch is None

    def dropping(kind: type, number: int) -> Callable[[list[Frame]], list[Frame]]:
        def change(recording: list[Frame]) -> list[Frame]:
            del recording[places(recording, kind)[number]]
            return recording

        return change

    def later(recording: list[Frame]) -> list[Frame]:
        at = places(recording, Submit)[3]
        kind, mono_ms, wall_ms, item = recording[at]
        assert isinstance(wall_ms, int)
        recording[at] = (kind, mono_ms, wall_ms + 1, item)
        return recording

    def swapped(recording: list[Frame]) -> list[Frame]:
        first, second = places(recording, Submit)[2:4]
        recording[first], recording[second] = recording[second], recording[first]
        return recording

    changes = {
        "a submit is missing": dropping(Submit, 2),
        "the last submit is missing": dropping(Submit, -1),
        "a message is missing": dropping(Received, 1),
        "a link never opened": dropping(LinkOpened, 0),
        "a stamp is later": later,
        "two submits are swapped": swapped,
    }
    for number, (name, change) in enumerate(changes.items()):
        result = await replayed(home, rewrite(record, tmp_path / f"bad{number}", change))
        assert not result.is_equal, f"not noticed: {name}"
        assert "other effects" in (result.mismatch or "")
