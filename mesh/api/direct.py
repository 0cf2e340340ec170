"""The other door: an operation on a home on which no node runs, with all its sockets closed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import trio

from mesh.api.context import Context
from mesh.api.operations import OPERATIONS
from mesh.api.operations import perform as perform_operation
from mesh.node.node import open_node


def perform(
    home: Path,
    name: str,
    arguments: Mapping[str, Any],
    *,
    told: Callable[[Any], None] | None = None,
) -> Any:
    """
    Open the replica in *home*, do one operation, close it. Nothing is sent to anybody.

    Raises:
        MeshError: What the operation or the home answered.
    """

    async def tell(item: Any) -> None:
        if told is not None:
            told(item)
        await trio.lowlevel.checkpoint()

    async def work() -> Any:
        async with open_node(home, listen=(), mdns=False, is_offline=True) as node:
            context = Context(node, is_running=False, tell=tell, is_heard=told is not None)
            return await perform_operation(context, OPERATIONS[name], arguments)

    return trio.run(work)
