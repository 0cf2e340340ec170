"""Nothing that rests on a record is seen by anybody before the record is on disk."""

from __future__ import annotations

import trio

from capability.bodies import JOIN
from capability.permissions import MEMBER
from mesh.core.effects import Effect, Reply
from mesh.core.inputs import LOCAL, IssueGrant, Seal, Submit, SyncNow
from mesh.core.writes import Append, Create, Increment
from mesh.engine import Engine
from mesh.gossip.messages import Push
from mesh.node.driver import Driver
from tests.crash.bench import Bench, running
from tests.mesh.replica.world import TODAY_MS, node_of, seed

DAY_MS = 86_400_000


async def everything(made: Bench) -> None:
    """Writes of all kinds, a grant, entries of a peer, seals: together and one by one."""
    await made.link_up()
    other = node_of(made.mesh, made.peer, made.mesh.grants)

    async def submit(number: int, level: str = "eventual", session: str = "") -> None:
        create = Create(made.root, "task", nonce=bytes([number]) * 16)
        await made.driver.request(lambda n: Submit(n, (create,), session=session))
        writes = (Increment(made.root, 0, "ticks", 1), Append(made.root, 0, "notes", number))
        await made.driver.request(lambda n: Submit(n, writes, level, session))

    async def grant() -> None:
        key, exp_ms = seed("join"), TODAY_MS + DAY_MS
        ask = (key, JOIN, (made.root,), MEMBER, 8, exp_ms)
        await made.driver.request(lambda n: IssueGrant(n, *ask))

    async def from_peer(number: int) -> None:
        other.write(Create(made.root, "task", nonce=bytes([number]) * 16))
        await made.receive(other.log()[-1])

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(submit, number, LOCAL if number % 2 else "eventual")
            nursery.start_soon(from_peer, 100 + number)
        nursery.start_soon(submit, 50, "eventual", "agent")
        nursery.start_soon(grant)
        nursery.start_soon(made.driver.request, SyncNow)
    await made.driver.request(Seal)
    await made.settle()


async def test_nothing_is_seen_before_it_is_on_disk(autojump_clock: object) -> None:
    async with running() as made:
        await everything(made)
        assert made.watch.early == []
        replies = made.sent(Reply)
        assert len(replies) >= 20
        assert len(made.sent(tuple)) >= 10
        own = [e.entry for e in made.store.entries() if e.entry.header.author == made.watch.author]
        fresh = {entry.id for entry in own[2:]}
        assert made.sent(Push)
        assert fresh <= made.watch.pushed


class Hasty(Driver[Engine]):
    """The effects first, the disk after them: the mistake that the promise forbids."""

    async def _commit(self, effects: list[Effect]) -> None:
        self._execute_all(effects)
        await super()._commit(effects)


class Parallel(Driver[Engine]):
    """Answers while the disk still works."""

    async def _commit(self, effects: list[Effect]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(super()._commit, effects)
            await trio.sleep(0.005)
            self._execute_all([e for e in effects if isinstance(e, Reply)])


async def test_a_driver_that_does_not_wait_is_caught(autojump_clock: object) -> None:
    for kind in (Hasty, Parallel):
        async with running(kind) as made:
            await everything(made)
            assert len(made.watch.early) > 10, f"{kind.__name__} was not caught"
