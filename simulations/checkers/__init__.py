"""What must hold of a world of honest hosts, whatever befalls it; each checker is a watcher."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from simulations.checkers.agreement import Agreement
from simulations.watch import Watcher

if TYPE_CHECKING:
    from simulations.world import World

CHECKERS: Final[dict[str, Callable[[World], Watcher]]] = {
    "agreement": Agreement,
}

__all__ = ["CHECKERS"]
