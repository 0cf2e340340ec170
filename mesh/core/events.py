"""What subscribers see: one change, stamped, with the cursor from which they may resume."""

from __future__ import annotations

from typing import NamedTuple

from crdt.codec import Value


class Event(NamedTuple):
    """
    One change of the state. A tuple: one is made for each Worknode that an entry changes.

    `cursor` is this node's arrival number, ascending by one; `hlc` orders by cause across nodes.
    `type` is dotted (`node.created`, `node.updated`, `node.moved`, `node.retracted`, `peer.joined`,
    `security.forked`…); `data` is bounded and in the value grammar.
    """

    cursor: int
    hlc: int
    type: str
    node: bytes
    actor: bytes
    session: bytes
    data: Value
