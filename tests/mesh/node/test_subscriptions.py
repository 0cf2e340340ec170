"""Subscribers miss nothing, see nothing twice, and cost a bounded amount."""

from __future__ import annotations

import random

import pytest
import trio

from mesh.core.errors import BackPressure
from mesh.core.events import Event
from mesh.node import subscriptions
from mesh.node.subscriptions import Reset, Subscription, Subscriptions
from tests.mesh.node.helpers import FakeStore, event


def hub_with(*cursors: int) -> tuple[FakeStore, Subscriptions]:
    store = FakeStore(kept=[event(c) for c in cursors])
    return store, Subscriptions(store)


def announce(store: FakeStore, hub: Subscriptions, cursor: int) -> None:
    store.kept.append(event(cursor))
    hub.publish((event(cursor),))


async def take(subscription: Subscription, number: int) -> list[int]:
    with trio.fail_after(5):
        return [(await subscription.__anext__()).cursor for _ in range(number)]


async def test_what_happened_comes_first_then_what_happens() -> None:
    store, hub = hub_with(1, 2, 3)
    with hub.subscribe(1) as subscription:
        assert await take(subscription, 2) == [2, 3]
        announce(store, hub, 4)
        assert await take(subscription, 1) == [4]
        with trio.move_on_after(0.05) as scope:
            await subscription.__anext__()
        assert scope.cancelled_caught


async def test_without_a_cursor_only_what_is_new_comes() -> None:
    store, hub = hub_with(1, 2, 3)
    with hub.subscribe() as subscription:
        announce(store, hub, 4)
        assert await take(subscription, 1) == [4]


async def test_events_on_disk_are_not_seen_before_they_are_announced() -> None:
    store, hub = hub_with(1)
    with hub.subscribe(0) as subscription:
        store.kept.append(event(2))
        assert await take(subscription, 1) == [1]
        with trio.move_on_after(0.05) as scope:
            await subscription.__anext__()
        assert scope.cancelled_caught
        hub.publish((event(2),))
        assert await take(subscription, 1) == [2]


async def test_a_slow_subscriber_is_served_from_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "BUFFER_EVENTS_MAX", 8)
    store, hub = hub_with()
    with hub.subscribe(0) as subscription:
        for cursor in range(1, 1001):
            announce(store, hub, cursor)
            assert len(subscription._buffer) <= 8
        assert await take(subscription, 1000) == list(range(1, 1001))


@pytest.mark.parametrize("seed", range(20))
async def test_any_pace_misses_nothing_and_doubles_nothing(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "BUFFER_EVENTS_MAX", 4)
    monkeypatch.setattr(subscriptions, "PAGE_EVENTS", 3)
    rng = random.Random(seed)
    store, hub = hub_with()
    seen: list[int] = []
    with hub.subscribe(0) as subscription:
        cursor = 0
        while len(seen) < 300:
            if cursor < 300 and rng.random() < 0.5:
                new = [event(cursor + 1 + i) for i in range(min(rng.randrange(1, 9), 300 - cursor))]
                cursor += len(new)
                store.kept += new
                hub.publish(new)
            elif len(seen) < cursor:
                seen += await take(subscription, rng.randrange(1, cursor - len(seen) + 1))
    assert seen == list(range(1, 301))


async def test_a_cursor_that_is_no_longer_kept_is_told_so() -> None:
    _, hub = hub_with(50, 51)
    with hub.subscribe(10) as subscription:
        first = await subscription.__anext__()
        assert first == Reset(49)
        assert await take(subscription, 2) == [50, 51]


async def test_a_cursor_of_another_home_is_told_so() -> None:
    store, hub = hub_with(1, 2)
    with hub.subscribe(99) as subscription:
        assert await subscription.__anext__() == Reset(2)
        announce(store, hub, 3)
        assert await take(subscription, 1) == [3]


async def test_subscribers_are_bounded_and_give_their_place_back() -> None:
    _, hub = hub_with()
    held = [hub.subscribe() for _ in range(subscriptions.SUBSCRIBERS_MAX)]
    with pytest.raises(BackPressure):
        hub.subscribe()
    held[0].close()
    hub.subscribe().close()
    held.clear()
    assert len(hub) == 0


def test_events_are_values() -> None:
    assert isinstance(event(1), Event)
