"""The driver over a small engine: order, failures, batches, time."""

from __future__ import annotations

import threading

import pytest
import trio
import trio.testing

from mesh.core.errors import BackPressure, Denied, MeshError, StorageError, Unknown
from mesh.core.inputs import (
    Found,
    LinkClosed,
    OutboxDrained,
    OutboxFull,
    Received,
    Seal,
    Submit,
    SyncNow,
)
from mesh.node import requests as requests_module
from mesh.node.driver import HINTS_MAX
from tests.mesh.node.helpers import DISK_FULL, End, bench, running


async def test_a_reply_comes_after_the_commit(autojump_clock: object) -> None:
    async with running() as made:
        assert await made.submit() == 1
        assert made.store.metas == {"count": b"1"}
        assert [e.cursor for e in made.emitted] == [1]
        assert made.driver.engine.commits >= 1


async def test_nothing_of_a_batch_happens_before_its_commit() -> None:
    async with running(in_thread=True) as made:
        allowed, inside = threading.Event(), threading.Event()

        def during() -> None:
            inside.set()
            allowed.wait(10)

        made.store.during = during
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.submit)
            await trio.to_thread.run_sync(inside.wait, 10)
            assert made.emitted == []
            allowed.set()
        assert len(made.emitted) == 1


async def test_what_waits_becomes_one_batch() -> None:
    made = bench()
    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as waiting:
            for _ in range(20):
                waiting.start_soon(made.submit)
            await trio.testing.wait_all_tasks_blocked()
            await nursery.start(made.driver.run)
        assert len(made.store.batches) == 1
        assert made.store.metas["count"] == b"20"
        nursery.cancel_scope.cancel()


async def test_a_failed_commit_fails_its_requests_and_nothing_else_happens(
    autojump_clock: object,
) -> None:
    async with running() as made:
        await made.submit()
        before = made.driver.engine
        made.store.broken = DISK_FULL
        with pytest.raises(StorageError, match="full"):
            await made.submit()
        assert [e.cursor for e in made.emitted] == [1]
        made.store.broken = None
        # The engine of before had counted 2; the one from disk has not.
        assert await made.submit() == 2
        assert made.driver.engine is not before
        assert ("reset", "the node restarts its engine") in made.links.done


async def test_any_error_of_the_disk_is_a_storage_error(autojump_clock: object) -> None:
    async with running() as made:
        made.store.broken = OSError(28, "No space left on device")
        with pytest.raises(StorageError, match="No space"):
            await made.submit()


async def test_a_disk_that_stays_broken_is_tried_ever_more_seldom(autojump_clock: object) -> None:
    async with running() as made:
        made.store.broken = DISK_FULL
        tries = 0

        def during() -> None:
            nonlocal tries
            tries += 1

        made.store.during = during
        until = trio.current_time() + 120
        while trio.current_time() < until:
            with pytest.raises(StorageError):
                await made.submit()
            await trio.sleep(0.1)
        assert 5 <= tries <= 20
        assert made.links.is_paused or made.driver.failure is None
        made.store.broken = None
        await trio.sleep(20)
        assert await made.submit() == 1


async def test_a_store_that_cannot_be_loaded_leaves_the_old_engine_for_reading(
    autojump_clock: object,
) -> None:
    async with running() as made:
        await made.submit()
        engine = made.driver.engine

        def refuse(_now: object) -> None:
            raise OSError(5, "Input/output error")

        load, made.driver._load = made.driver._load, refuse
        made.store.broken = DISK_FULL
        with pytest.raises(StorageError):
            await made.submit()
        await trio.sleep(60)
        assert made.driver.engine is engine
        with pytest.raises(StorageError):
            await made.submit()
        made.driver._load, made.store.broken = load, None
        await trio.sleep(30)
        assert await made.submit() == 2


async def test_inputs_of_old_links_do_not_reach_the_new_engine(autojump_clock: object) -> None:
    async with running() as made:
        made.links.next_number = 5
        made.store.broken = DISK_FULL
        with pytest.raises(StorageError):
            await made.submit()
        made.store.broken = None
        await trio.sleep(1)
        for item in (Received(4, b"old"), LinkClosed(4, "old"), Received(5, b"new")):
            await made.driver.inbox.put(item)
        await trio.sleep(1)
        assert made.driver.engine.handled == [Received(5, b"new")]


async def test_a_new_engine_is_told_again_where_others_were_found(autojump_clock: object) -> None:
    async with running() as made:
        hints = [Found(("h", port), "user") for port in range(1, 400)]
        for hint in (*hints, hints[200]):
            await made.driver.inbox.put(hint)
        await trio.sleep(1)
        made.store.broken = DISK_FULL
        with pytest.raises(StorageError):
            await made.submit()
        made.store.broken = None
        await trio.sleep(1)
        told = made.driver.engine.handled
        assert len(told) == HINTS_MAX
        assert told[-2:] == [hints[-1], hints[200]]


async def test_what_is_found_while_the_disk_refuses_is_told_when_it_does_not(
    autojump_clock: object,
) -> None:
    """The addresses of a ticket are named once, perhaps to a node that starts on a full disk."""
    async with running() as made:
        made.store.broken = DISK_FULL
        for _ in range(3):
            with pytest.raises(StorageError):
                await made.submit()
            await trio.sleep(0.1)
        hint = Found(("h", 1), "ticket")
        await made.driver.inbox.put(hint)
        await trio.sleep(60)
        made.store.broken = None
        await trio.sleep(60)
        assert made.driver.failure is None
        assert hint in made.driver.engine.handled


async def test_what_strangers_announce_is_forgotten_before_what_was_named(
    autojump_clock: object,
) -> None:
    async with running() as made:
        named = [Found(("h", 1), "user"), Found(("h", 2), "ticket")]
        for hint in (*named, *(Found(("h", port), "mdns") for port in range(3, 400))):
            await made.driver.inbox.put(hint)
        await trio.sleep(1)
        made.store.broken = DISK_FULL
        with pytest.raises(StorageError):
            await made.submit()
        made.store.broken = None
        await trio.sleep(1)
        told = made.driver.engine.handled
        assert len(told) == HINTS_MAX
        assert told[:2] == named


async def test_a_mistake_in_the_engine_is_an_error_and_a_fresh_engine(
    autojump_clock: object,
) -> None:
    async with running() as made:
        engine = made.driver.engine
        with pytest.raises(MeshError, match="ZeroDivisionError"):
            await made.driver.request(Seal)
        assert await made.submit() == 1
        assert made.driver.engine is not engine


async def test_a_peers_fault_ends_its_link_only(autojump_clock: object) -> None:
    async with running() as made:
        engine = made.driver.engine
        await made.driver.inbox.put(Received(3, b"bad"))
        await made.driver.inbox.put(Received(4, b"good"))
        await trio.sleep(1)
        assert made.links.done == [("disconnect", 3, "protocol_violation"), ("send", 4, b"good")]
        assert made.driver.engine is engine


async def test_a_refusal_answers_its_request_only(autojump_clock: object) -> None:
    async with running() as made:
        engine = made.driver.engine
        with pytest.raises(Denied):
            await made.submit(level="denied")
        assert await made.submit() == 1
        assert made.driver.engine is engine


async def test_an_answer_that_does_not_come_is_unknown(autojump_clock: object) -> None:
    async with running() as made:
        with pytest.raises(Unknown):
            await made.driver.request(SyncNow, timeout_s=5)
        assert len(made.driver.requests) == 0


async def test_a_request_that_was_given_up_early_never_happens(autojump_clock: object) -> None:
    made = bench()
    with pytest.raises(MeshError, match="too busy"):
        await made.driver.request(lambda n: Submit(n, ()), timeout_s=5)
    async with trio.open_nursery() as nursery:
        await nursery.start(made.driver.run)
        await trio.sleep(1)
        assert made.driver.engine.count == 0
        nursery.cancel_scope.cancel()


async def test_requests_that_wait_are_bounded(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests_module, "REQUESTS_MAX", 2)
    made = bench()
    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as asking:
            for _ in range(2):
                asking.start_soon(made.submit)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(BackPressure, match="2 requests wait already"):
                await made.submit()
            await nursery.start(made.driver.run)
        assert await made.submit() == 3
        nursery.cancel_scope.cancel()


async def test_stopping_answers_everybody(autojump_clock: object) -> None:
    made = bench()
    async with trio.open_nursery() as nursery:
        await nursery.start(made.driver.run)

        async def ask() -> None:
            with pytest.raises(Unknown):
                await made.driver.request(SyncNow)

        async with trio.open_nursery() as asking:
            asking.start_soon(ask)
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
    with pytest.raises(MeshError, match="stopping"):
        await made.submit()


async def test_a_deadline_gives_a_tick_and_no_more(autojump_clock: object) -> None:
    async with running() as made:
        engine = made.driver.engine
        start = int(trio.current_time() * 1000)
        engine.deadline = start + 500
        engine.period_ms = 1_000
        await made.driver.inbox.put(Found(("h", 1), "test"))
        await trio.sleep(10)
        assert len(engine.ticks) == 10
        assert all(0 <= at - (start + 500 + 1000 * i) <= 50 for i, at in enumerate(engine.ticks))


async def test_a_deadline_that_never_moves_is_no_busy_loop(autojump_clock: object) -> None:
    async with running() as made:
        engine = made.driver.engine

        made.driver.engine.deadline = 0
        engine.period_ms = -1_000_000_000
        await made.driver.inbox.put(Found(("h", 1), "test"))
        await trio.sleep(1)
        assert len(engine.ticks) <= 200


async def test_a_full_inbox_makes_the_next_one_wait(autojump_clock: object) -> None:
    made = bench()
    made.driver.inbox.items_max = 3
    for _ in range(3):
        await made.driver.inbox.put(Found(("h", 1), "test"))
    with trio.move_on_after(1) as scope:
        await made.driver.inbox.put(Found(("h", 2), "late"))
    assert scope.cancelled_caught
    assert len(made.driver.inbox) == 3
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.driver.inbox.put, Found(("h", 3), "waits"))
        await nursery.start(made.driver.run)
        await trio.sleep(1)
        assert len(made.driver.engine.handled) == 4
        nursery.cancel_scope.cancel()


async def test_bytes_bound_the_inbox_too(autojump_clock: object) -> None:
    made = bench()
    made.driver.inbox.bytes_max = 100
    await made.driver.inbox.put(Received(1, b"x" * 100))
    with trio.move_on_after(1) as scope:
        await made.driver.inbox.put(Received(1, b""))
    assert scope.cancelled_caught


async def test_the_engine_hears_once_that_a_link_is_full_until_it_drains(
    autojump_clock: object,
) -> None:
    async with running() as made:
        made.links.is_full = True
        for data in (b"one", b"two"):
            await made.driver.inbox.put(Received(3, data))
            await trio.sleep(1)
        handled = made.driver.engine.handled
        assert [i for i in handled if isinstance(i, OutboxFull)] == [OutboxFull(3)]
        await made.driver.inbox.put(OutboxDrained(3))
        await made.driver.inbox.put(Received(3, b"three"))
        await trio.sleep(1)
        assert [i for i in handled if isinstance(i, OutboxFull)] == [OutboxFull(3)] * 2


async def test_links_that_are_gone_are_not_remembered_as_full(autojump_clock: object) -> None:
    async with running() as made:
        made.driver._links = End.of(1).links
        # Whoever speaks and goes at once has gone when it is to be answered.
        for number in range(1, 4):
            await made.driver.inbox.put(Received(number, b"hello"))
            await made.driver.inbox.put(LinkClosed(number, "gone"))
            await trio.sleep(1)
        assert not made.driver._full
        made.driver._links, made.links.is_full = made.links, True
        await made.driver.inbox.put(Received(9, b"hello"))
        await trio.sleep(1)
        made.links.next_number = 10
        made.store.broken = DISK_FULL
        with pytest.raises(StorageError):
            await made.submit()
        made.store.broken = None
        await trio.sleep(1)
        assert not made.driver._full, "those of the engine from before are reset"


async def test_who_is_answered_looks_before_the_next_batch(autojump_clock: object) -> None:
    """What a door shows of its own write is what is on disk, and nobody else's beside it."""
    async with running() as made:
        made.store.during = lambda: made.driver.inbox.push(Received(3, b"of the next batch"))
        for _ in range(20):
            await made.submit()
            assert not [i for i in made.driver.engine.handled if isinstance(i, Received)]
            await trio.sleep(1)
            assert made.driver.engine.handled.pop() == Received(3, b"of the next batch")
