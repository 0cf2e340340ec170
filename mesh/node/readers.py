"""
Who reads the replica waits here while it holds what is not on disk yet.

The engine folds a write before its commit. Shown in between, it could be gone after a crash or a
refusal of the disk, and whoever had seen it would have acted on what never was. So a door waits for
the end of the commit that is under way, and the next batch waits until those doors have looked.
"""

from __future__ import annotations

from copy import copy
from typing import Final

import trio
from attrs import define, field

from mesh.core.errors import MeshError, Unavailable
from mesh.node.requests import REQUEST_S_MAX

#: Checkpoints until whoever was woken has run: one may come before them, in the same round.
_ROUNDS: Final = 2


@define(eq=False)
class Readers:
    """The door to the replica; closed from the first input of a batch until its commit."""

    _is_held: bool = False
    _refusal: MeshError | None = None
    _lot: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot)

    def hold(self) -> None:
        """From now on the engine may hold what is not on disk."""
        self._is_held = True

    async def let_in(self, *, is_answered: bool = False) -> None:
        """
        All that it holds is on disk: return when those who waited have looked.

        Args:
            is_answered: Requests were answered just now, and who made them looks what came of it.
        """
        self._is_held, self._refusal = False, None
        if self._lot or is_answered:
            self._lot.unpark_all()
            for _ in range(_ROUNDS):
                await trio.lowlevel.checkpoint()

    def turn_away(self, error: MeshError) -> None:
        """Nobody knows what is on disk: *error* is what readers are told until the next batch."""
        self._refusal = error
        self._lot.unpark_all()

    async def settled(self) -> None:
        """
        Return when all that the replica shows is on disk; true until the caller's next checkpoint.

        Raises:
            Unavailable: The disk takes too long.
            MeshError: It refused, and the state could not be read from it again.
        """
        if self._is_held and self._refusal is None:
            with trio.move_on_after(REQUEST_S_MAX) as patience:
                await self._lot.park()
            if patience.cancelled_caught:
                raise Unavailable(
                    f"the disk has not answered for {REQUEST_S_MAX:g} s",
                    hint="look at the system's log, then try again",
                )
        if self._refusal is not None:
            raise copy(self._refusal) from self._refusal.__cause__
