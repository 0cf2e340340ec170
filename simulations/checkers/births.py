"""Where Worknodes were born, as the entries on a host's disk say, also those without effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capability.entry import KIND_DATA
from capability.ops import Create

if TYPE_CHECKING:
    from simulations.host import Host


def parents(host: Host) -> dict[bytes, bytes]:
    """By Worknode the one that it was born under. Cost: O(operations on the disk)."""
    found: dict[bytes, bytes] = {}
    for stored in host.disk.store.entries():
        if stored.entry.header.kind == KIND_DATA:
            for op in host.world.reading.operations(stored.entry):
                if op is not None and isinstance(op.payload, Create):
                    found[op.node] = op.payload.parent
    return found
