"""Operations that bring in other trackers' exports."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

import trio

from mesh.api.arguments import Argument
from mesh.api.context import Context, Operation
from mesh.api.importers.beads import plan_import, read_lines
from mesh.core.errors import Unavailable, UsageError
from mesh.worknode.kinds import KindRegistry
from mesh.worknode.resolve import resolve

#: Bytes of one import; a larger export is imported in parts, since nothing doubles.
IMPORT_BYTES_MAX: Final = 64 * 1024 * 1024
#: The same in base64, in which bytes travel in JSON.
_TEXT_BYTES_MAX: Final = IMPORT_BYTES_MAX // 3 * 4 + 4


async def _import_beads(context: Context, given: dict[str, Any]) -> Any:
    """
    Import the lines in `content`; each batch is durable before the next is planned.

    When it ends early, what was done stays, and the same import again does the rest.
    """
    replica = context.node.replica
    under = resolve(replica, given["under"]) if given["under"] else replica.store.root
    # Megabytes of lines would hold up the links' heart-beats.
    data = await trio.to_thread.run_sync(_decode, given["content"])
    issues, skipped = await trio.to_thread.run_sync(read_lines, data)
    # What is there is left as it is and reported so: it must be on disk.
    await context.node.settled()
    replica = context.node.replica
    plan = plan_import(
        replica, KindRegistry.from_store(replica.store), issues, under=under, skipped=skipped
    )
    writes = 0
    for batch in plan.steps():
        if batch:
            await context.node.submit(batch, session=given["session"] or "")
            writes += len(batch)
            await context.tell({"writes": writes, "issues": len(issues)})
        else:
            await trio.lowlevel.checkpoint()
        await context.node.settled()
        if context.node.replica is not replica:
            raise Unavailable(
                "the node has read its state anew meanwhile", hint="import again: nothing doubles"
            )
    return plan.report.to_json()


def _decode(content: str) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise UsageError("content is not base64") from None


OPERATIONS: Final = (
    Operation(
        "import_beads",
        _import_beads,
        (
            Argument("content", required=True, bytes_max=_TEXT_BYTES_MAX),
            Argument("under"),
        ),
        bytes_max=_TEXT_BYTES_MAX + 64 * 1024,
    ),
)
