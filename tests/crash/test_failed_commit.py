"""A commit that fails: nothing of its batch happened, everybody is told so, and work goes on."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from capability.bodies import JOIN
from capability.ids import root_worknode
from capability.permissions import MEMBER
from mesh.core.effects import Reply
from mesh.core.errors import MeshError, StorageError
from mesh.core.events import Event
from mesh.core.inputs import LOCAL, IssueGrant, LinkOpened, Submit
from mesh.core.writes import Append, Create, Increment, SetRegister
from mesh.node.node import Node, open_node
from mesh.replica.writer import Submitted
from tests.crash.bench import LINK, Bench, running
from tests.crash.homes import LOOPBACK, agree, found, full, invite, is_member
from tests.crash.model import Held
from tests.mesh.replica.world import TODAY_MS, node_of, seed

ASKED = 6
#: A commit of the bench takes twice as long.
HALF_A_COMMIT_S = 0.005


async def in_one_failing_batch(made: Bench, *acts: Callable[[], Awaitable[None]]) -> None:
    """All of *acts* wait while the disk works, so they become one batch; its commit fails."""
    create = Create(made.root, "task", nonce=b"first" + bytes(11))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.driver.request, lambda n: Submit(n, (create,)))
        await trio.sleep(HALF_A_COMMIT_S)
        assert made.store.is_committing
        for act in acts:
            nursery.start_soon(act)
        await trio.sleep(2 * HALF_A_COMMIT_S)
        assert made.store.is_committing
        made.store.fail_next_commit()


async def ask_all(made: Bench, told: list[object]) -> None:
    """A grant, LOCAL and EVENTUAL writes of three sessions; what each of them is told."""

    async def ask(kind: int) -> None:
        join = (seed("join"), JOIN, (made.root,), MEMBER, 8, TODAY_MS + 86_400_000)
        create = Create(made.root, "task", nonce=bytes([kind]) * 16)
        note, tick = Append(made.root, 0, "notes", kind), Increment(made.root, 1, "ticks", 1)
        try:
            match kind:
                case 0:
                    told.append(await made.driver.request(lambda n: IssueGrant(n, *join)))
                case 1:
                    told.append(await made.driver.request(lambda n: Submit(n, (tick,), LOCAL)))
                case 2:
                    told.append(
                        await made.driver.request(lambda n: Submit(n, (note,), session="a"))
                    )
                case _:
                    told.append(await made.driver.request(lambda n: Submit(n, (create,))))
        except MeshError as error:
            told.append(error)

    async with trio.open_nursery() as nursery:
        for kind in range(ASKED):
            nursery.start_soon(ask, kind)


async def test_no_effect_of_a_failed_batch_happens(autojump_clock: object) -> None:
    async with running() as made:
        await made.link_up()
        other = node_of(made.mesh, made.peer, made.mesh.grants)
        other.write(Create(made.root, "task", nonce=b"p" * 16))
        engine = made.driver.engine
        told: list[object] = []

        async def ask() -> None:
            await ask_all(made, told)

        async def hear() -> None:
            made.watch.seen.clear()
            await made.receive(other.log()[-1])

        await in_one_failing_batch(made, ask, hear)
        assert [type(item) for item in told] == [StorageError] * ASKED
        await made.settle()
        # What came before it is there: its entry, its answer, its event, its push.
        answer, *others = [item for item in made.watch.seen if isinstance(item, Reply)]
        assert others == []
        assert isinstance(answer.value, Submitted)
        own = [stored.entry.id for stored in made.store.entries()][2:]
        assert own == [answer.value.entry]
        assert made.watch.pushed == {answer.value.entry}
        assert made.store.pending() == []
        (events,) = [item for item in made.sent(tuple) if isinstance(item[0], Event)]
        assert made.store.last_cursor() == len(events)
        assert made.driver.engine is not engine
        assert made.driver.engine.replica.counts()["worknodes"] == 1
        assert made.watch.early == []


async def test_after_a_failed_commit_the_same_can_be_done_again(autojump_clock: object) -> None:
    async with running() as made:
        await made.link_up()
        told: list[object] = []
        await in_one_failing_batch(made, partial(ask_all, made, told))
        assert all(isinstance(item, StorageError) for item in told)
        await made.settle()
        await ask_all(made, told)
        assert not any(isinstance(item, MeshError) for item in told[ASKED:])
        replica = made.driver.engine.replica
        assert replica.counts()["worknodes"] == 1 + ASKED - 3
        assert Held(replica).total((made.root.hex(), "ticks")) == 1
        assert replica.forked() == []
        assert made.watch.early == []
        # A restart sees the same.
        state = replica.state_hash()
        assert made.driver._load(made.driver._clock()).replica.state_hash() == state


async def test_links_of_before_do_not_reach_the_engine_of_after(autojump_clock: object) -> None:
    async with running() as made:
        await made.link_up()
        made.watch.next_number = LINK + 1
        await in_one_failing_batch(made, partial(ask_all, made, []))
        await made.settle()
        other = node_of(made.mesh, made.peer, made.mesh.grants)
        other.write(Create(made.root, "task", nonce=b"p" * 16))
        await made.receive(other.log()[-1])
        await made.settle()
        assert made.driver.engine.links == {}
        await made.driver.inbox.put(LinkOpened(LINK + 1, made.peer.public, False, None, b"h" * 32))
        await made.settle()
        assert list(made.driver.engine.links) == [LINK + 1]


# A real disk that is full.


async def burst(node: Node, told: list[object], *, bytes_each: int) -> None:
    root = root_worknode(node.mesh_id)

    async def write(number: int) -> None:
        create = Create(root, "task", nonce=os.urandom(16))
        note = Append(root, 0, "notes", os.urandom(bytes_each // 2).hex())
        level = LOCAL if number == 0 else "eventual"
        writes = (
            [SetRegister(root, 1, "big", "x" * bytes_each)] if level == LOCAL else [create, note]
        )
        try:
            told.append(await node.submit(writes, level=level, session="a" * (number % 2)))
        except MeshError as error:
            told.append(error)

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(write, number)


async def test_a_full_disk_loses_nothing_and_shows_peers_nothing(tmp_path: Path) -> None:
    home = found(tmp_path / "a")
    options = {"listen": LOOPBACK, "mdns": False}
    async with open_node(home, **options) as alpha:
        await invite(alpha, tmp_path / "b")
        async with open_node(tmp_path / "b", **options, peers=alpha.listen_addresses) as beta:
            await is_member(beta)
            first: list[object] = []
            await burst(alpha, first, bytes_each=100)
            assert not any(isinstance(item, MeshError) for item in first)
            await alpha.seal()
            agreed = await agree(alpha, beta)
            cursor = alpha._parts.driver._store.last_cursor()
            with full(alpha):
                engine, refused = alpha._parts.driver.engine, list[object]()
                await burst(alpha, refused, bytes_each=30_000)
                assert [type(item) for item in refused] == [StorageError] * 8
                assert "full" in str(refused[0])
                with trio.fail_after(10):
                    while alpha._parts.driver.engine is engine:  # noqa: ASYNC110
                        await trio.sleep(0.005)
                # Reads go on, from what is on disk; a second batch may just have failed, too.
                await alpha.settled()
                assert alpha.replica.state_hash() == agreed
                assert beta.replica.state_hash() == agreed
                assert alpha._parts.driver._store.last_cursor() == cursor
            with trio.fail_after(30):
                while alpha.status()["writing"] != "ok":  # noqa: ASYNC110
                    await trio.sleep(0.05)
            again: list[object] = []
            await burst(alpha, again, bytes_each=30_000)
            assert not any(isinstance(item, MeshError) for item in again)
            await alpha.seal()
            assert await agree(alpha, beta) != agreed
            assert alpha.replica.counts()["worknodes"] == 14
            assert alpha.replica.forked() == beta.replica.forked() == []


async def test_nobody_reads_what_is_not_on_disk(autojump_clock: object) -> None:
    """Neither while a commit is under way, nor after it has failed."""
    async with running() as made:
        seen: list[int] = []

        async def read() -> None:
            await made.driver.readers.settled()
            assert not made.store.is_committing
            seen.append(made.driver.engine.replica.counts()["worknodes"])

        async def look() -> None:
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(read)

        told: list[object] = []
        await in_one_failing_batch(made, partial(ask_all, made, told), look)
        await made.settle()
        # One write came to disk before; those of the failed batch were never shown.
        assert seen == [1] * 3
        assert made.driver.engine.replica.counts()["worknodes"] == 1
        await look()
        assert seen == [1] * 6


async def test_readers_are_refused_while_nobody_knows_what_is_on_disk(
    autojump_clock: object,
) -> None:
    async with running() as made:
        load = made.driver._load

        def refuse(now: object) -> Any:
            raise StorageError("the disk is gone", hint="look at it")

        made.driver._load = refuse
        told: list[object] = []
        await in_one_failing_batch(made, partial(ask_all, made, told))
        with pytest.raises(StorageError, match="the disk is gone"):
            await made.driver.readers.settled()
        made.driver._load = load
        await trio.sleep(30)
        await made.driver.readers.settled()
        assert made.driver.engine.replica.counts()["worknodes"] == 1
