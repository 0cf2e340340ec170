"""What a handler of an operation is given besides its arguments."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from attrs import define, field, frozen

from mesh.api.arguments import Argument
from mesh.node.node import Node


async def _tell_nobody(_: object) -> None:
    return


def _cannot_stop() -> None:
    raise AssertionError("only a running node can be stopped")


@define(eq=False)
class Context:
    """
    One call.

    Attributes:
        is_running: Whether the node is up, or was only opened for this one operation.
        tell: Says something on the way: progress, or an item of a stream.
        is_heard: Whether somebody listens to what is told.
        stop: Asks the running node to stop.
    """

    node: Node
    is_running: bool
    tell: Callable[[Any], Awaitable[None]] = field(default=_tell_nobody)
    is_heard: bool = False
    stop: Callable[[], None] = field(default=_cannot_stop)

    def labels(self) -> Callable[[bytes], str]:
        """Names of authors: this node's own, those of grants, else what peers call themselves."""
        node = self.node
        known = {**node.peer_names(), node.node_key: node.name}

        def label(author: bytes) -> str:
            return node.replica.label(author) or known.get(author, "")

        return label


Handler = Callable[[Context, dict[str, Any]], Awaitable[Any]]


@frozen
class Operation:
    """
    A row of the table.

    `bytes_max` bounds its arguments as JSON text. An `is_read` operation answers from the replica
    alone, so it begins when what that shows is on disk; others wait for a reply. An `is_stream`
    operation lasts until the caller goes away and takes none of the places of those that end.
    """

    name: str
    handler: Handler
    arguments: tuple[Argument, ...] = ()
    bytes_max: int = 1024 * 1024
    is_stream: bool = False
    is_read: bool = False
