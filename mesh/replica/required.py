"""
What follows when entries enter or leave the required set: births are learned and forgotten.

An operation counts if the birth path of its Worknode is known. Births are facts, whoever states
them, but which of them a replica *knows* must follow from the required set alone: otherwise an
entry that only some hold, on a branch that nobody need ever fetch, would let an operation count
with them and wait with the others.
"""

from __future__ import annotations

from collections.abc import Iterator

from capability.data_body import Data, parse_op
from capability.ops import OP_CREATE, Create

__all__ = ["births_in"]


def births_in(data: Data | None) -> Iterator[tuple[bytes, Create]]:
    """The births that a body states, whether or not its creates count."""
    if data is None or (data.registers is not None and data.registers.are_all):
        return
    for index, fields in enumerate(data.ops):
        # Most operations are no creates, and parsing is what costs.
        if isinstance(fields, tuple) and fields and fields[0] == OP_CREATE:
            op = parse_op(data, index)
            if op is not None and isinstance(op.payload, Create):
                yield op.node, op.payload
