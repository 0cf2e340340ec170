"""The one table of operations. Every door looks here, so that all doors do the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mesh.api import history, importing, meshing, worknodes
from mesh.api.arguments import check
from mesh.api.context import Context, Operation
from mesh.core.errors import DamagedRecord

OPERATIONS: Final[Mapping[str, Operation]] = {
    operation.name: operation
    for operation in (
        *meshing.OPERATIONS,
        *worknodes.OPERATIONS,
        *history.OPERATIONS,
        *importing.OPERATIONS,
    )
}


async def perform(context: Context, operation: Operation, given: object) -> Any:
    """
    Check what was *given* and do it.

    Returns:
        A JSON value.

    Raises:
        MeshError: What was wrong; for UsageError nothing was done.
    """
    arguments = check(operation.arguments, given)
    if operation.is_read:
        # What is folded and not on disk may be gone in a moment, and nobody shall act on it.
        await context.node.settled()
    try:
        return await operation.handler(context, arguments)
    except DamagedRecord as error:
        context.node.distrust(error)
        raise
