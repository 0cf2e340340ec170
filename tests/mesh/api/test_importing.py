"""The operation that imports: others have their turn, and it ends where the state is another's."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import frozen

from mesh.api import importing
from mesh.api.context import Context
from mesh.api.importers.beads import Batch, Report
from mesh.api.importers.sample import sample_tracker
from mesh.api.operations import OPERATIONS, perform
from mesh.core.errors import Unavailable
from mesh.node.node import open_node
from tests.mesh.api.tracker import a_node, bring_in
from tests.mesh.node.test_node import founded


@frozen
class Plan:
    """One that writes nothing, and does something at each step."""

    at_step: Callable[[int], None]

    @property
    def report(self) -> Report:
        return Report(bytes(16), [])

    def steps(self) -> Iterator[Batch]:
        for number in range(10):
            self.at_step(number)
            yield ()


@asynccontextmanager
async def alone(path: Path) -> AsyncIterator[Context]:
    async with open_node(founded(path), listen=(), mdns=False, is_offline=True) as node:
        yield Context(node, is_running=False)


async def bring(context: Context, data: bytes) -> Any:
    given = {"content": base64.b64encode(data).decode()}
    return await perform(context, OPERATIONS["import_beads"], given)


def test_a_plan_that_finds_nothing_to_do_pauses_all_the_same() -> None:
    """10,000 issues that are as they were took a second, in which no heart beat."""
    node, data = a_node(), sample_tracker(issues=200)
    bring_in(node, data)
    again = bring_in(node, data)
    assert list(again.steps()).count(()) >= 2 * (200 // 50)


async def test_others_have_their_turn_while_nothing_is_found_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns, seen = 0, []

    async def tick() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    plan = Plan(lambda _: seen.append(turns))
    monkeypatch.setattr(importing, "plan_import", lambda *_, **__: plan)
    async with alone(tmp_path / "a") as context, trio.open_nursery() as nursery:
        nursery.start_soon(tick)
        await bring(context, b"")
        nursery.cancel_scope.cancel()
    assert len(seen) == 10
    assert seen[-1] - seen[0] >= 8


async def test_an_import_ends_when_the_state_was_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it goes by may show what a failed commit has taken back."""
    async with alone(tmp_path / "a") as context:
        driver = context.node._parts.driver

        def at_step(number: int) -> None:
            if number == 3:
                driver.engine = driver._load(context.node.now())
            assert number < 4

        monkeypatch.setattr(importing, "plan_import", lambda *_, **__: Plan(at_step))
        with pytest.raises(Unavailable, match="read its state anew"):
            await bring(context, b"")
