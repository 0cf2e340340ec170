"""What subscribers see: one change, stamped, with the cursor from which they may resume."""

from __future__ import annotations

from attrs import frozen

from crdt.codec import Value


@frozen
class Event:
    """
    One change of the state.

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
