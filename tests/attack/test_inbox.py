"""One peer's flood does not stand before what others say, nor before this node's own writes."""

from __future__ import annotations

from mesh.core.inputs import LinkClosed, Received, SyncNow
from mesh.node.inbox import Inbox


async def test_a_flood_of_one_link_delays_others_by_one_message_each() -> None:
    inbox = Inbox()
    for number in range(1_000):
        await inbox.put(Received(1, b"flood %d" % number))
    await inbox.put(Received(2, b"honest"))
    await inbox.put(SyncNow(7))
    first = [inbox.pop() for _ in range(4)]
    assert Received(2, b"honest") in first
    assert SyncNow(7) in first


async def test_each_link_keeps_its_own_order() -> None:
    inbox = Inbox()
    said = {link: [Received(link, b"%d" % n) for n in range(5 * link)] for link in (1, 2, 3)}
    for number in range(15):
        for items in said.values():
            if number < len(items):
                await inbox.put(items[number])
    for link, items in said.items():
        items.append(LinkClosed(link, "end"))  # type: ignore[arg-type]
        inbox.push(LinkClosed(link, "end"))
    heard: dict[int, list[object]] = {1: [], 2: [], 3: []}
    while (item := inbox.pop()) is not None:
        heard[item.link].append(item)  # type: ignore[union-attr]
    assert heard == said
    assert len(inbox) == 0
    assert not inbox.is_full
