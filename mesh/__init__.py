"""
A node of the mesh: worknodes, replica, gossip, engine, and the drivers around them.

`import mesh` stays cheap. Names that need trio are resolved when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mesh.node.node import Node, open_node

__all__ = ["Node", "open_node"]

_MODULE: Final = "mesh.node.node"


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE), name)
