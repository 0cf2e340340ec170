"""What a long read shows when a commit fails meanwhile: what is on disk, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from mesh.api.context import Context
from mesh.api.operations import OPERATIONS, perform
from mesh.core.errors import StorageError
from mesh.node.node import Node, open_node
from tests.mesh.node.test_node import LOOPBACK, founded
from tests.mesh.node.test_node_failures import Refusals


@asynccontextmanager
async def refusing_amid_a_read(
    path: Path, monkeypatch: pytest.MonkeyPatch, write: tuple[str, dict[str, Any]]
) -> AsyncIterator[Context]:
    """A node whose disk refuses *write* when the next read has begun and lets others go on."""
    home = founded(path)
    disk = Refusals(home, monkeypatch)
    async with open_node(home, listen=LOOPBACK, mdns=False) as node:
        context = Context(node, is_running=True)
        looks = 0

        async def settled(each: Node) -> None:
            nonlocal looks
            looks += 1
            await each._parts.driver.readers.settled()
            if looks == 2:
                disk.on = True
                with pytest.raises(StorageError):
                    await perform(context, OPERATIONS[write[0]], write[1])
                disk.on = False
                await each._parts.driver.readers.settled()

        await perform(context, OPERATIONS["create"], {"title": "first", "key": "k"})
        for number in range(60):
            await perform(context, OPERATIONS["create"], {"title": f"{number}"})
        monkeypatch.setattr(Node, "settled", settled)
        with trio.fail_after(30):
            yield context
        assert disk.tries


async def test_a_list_does_not_show_what_the_disk_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = "update", {"node": "/acme/59", "set": [["title", "never"]]}
    async with refusing_amid_a_read(tmp_path / "a", monkeypatch, write) as context:
        shown = await perform(context, OPERATIONS["list"], {})
        assert len(shown) == 61
        assert "never" not in {worknode["title"] for worknode in shown}


async def test_a_history_does_not_show_what_the_disk_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = "update", {"node": "/acme/first", "set": [["progress", 5]], "local": True}
    async with refusing_amid_a_read(tmp_path / "a", monkeypatch, write) as context:
        shown = await perform(context, OPERATIONS["history"], {"node": "/acme/first"})
        assert shown
        assert "progress" not in {row["field"].rpartition(":")[2] for row in shown}
