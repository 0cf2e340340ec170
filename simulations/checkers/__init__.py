"""What must hold of a world of honest hosts, whatever befalls it; each checker is a watcher."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from simulations.checkers.agreement import Agreement
from simulations.checkers.authority import Unauthorised
from simulations.checkers.bounds import Bounds
from simulations.checkers.checker import Checker
from simulations.checkers.lanes import NoFork, Order, Stamps
from simulations.checkers.outlets import Durability
from simulations.checkers.push import Pushed
from simulations.checkers.synced import InSync
from simulations.checkers.tree import Tree
from simulations.checkers.writes import Exact, Kept

if TYPE_CHECKING:
    from simulations.world import World

_CLASSES: Final = (
    Agreement,
    Kept,
    Exact,
    Unauthorised,
    Order,
    NoFork,
    Stamps,
    Durability,
    InSync,
    Pushed,
    Tree,
    Bounds,
)
CHECKERS: Final[dict[str, Callable[[World], Checker]]] = {one.NAME: one for one in _CLASSES}

__all__ = ["CHECKERS", "Checker"]
