"""
Whoever waits for a `Reply`: numbered, bounded, and told the truth about what is not known.

Before a request is in the engine, giving up is definite: nothing happened. Afterwards it may have
happened, and only a `Reply` can say; everything else is `Unknown`.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterator
from copy import copy
from typing import Final

import trio
from attrs import define, field

from mesh.core.effects import Reply
from mesh.core.errors import BackPressure, MeshError, Unavailable, Unknown
from mesh.core.inputs import Input

#: Requests that wait at once; doors hold one task for each.
REQUESTS_MAX: Final = 4_096
#: How long a door waits for its answer. Longer than a slow disk, shorter than a person.
REQUEST_S_MAX: Final = 30.0


@define(eq=False)
class _Waiter:
    done: trio.Event = field(factory=trio.Event)
    is_handed_over: bool = False
    value: object = None
    error: MeshError | None = None


@define(eq=False)
class Requests:
    """The table of requests without an answer."""

    _numbers: Iterator[int] = field(factory=lambda: itertools.count(1))
    _waiting: dict[int, _Waiter] = field(factory=dict)
    _stopped: MeshError | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    async def ask(
        self,
        put: Callable[[Input], Awaitable[None]],
        make: Callable[[int], Input],
        *,
        timeout_s: float = REQUEST_S_MAX,
    ) -> object:
        """
        Put `make(number)` and wait for its reply.

        Raises:
            BackPressure: Too many wait, or the engine took nothing in time. Nothing happened.
            Unknown: It was taken, and the answer did not come in time.
            MeshError: What the engine or the disk answered.
        """
        if self._stopped is not None:
            raise copy(self._stopped)
        if len(self._waiting) >= REQUESTS_MAX:
            raise BackPressure(f"{REQUESTS_MAX} requests wait already", hint="try again later")
        number = next(self._numbers)
        waiter = self._waiting[number] = _Waiter()
        try:
            with trio.move_on_after(timeout_s):
                await put(make(number))
                await waiter.done.wait()
        finally:
            del self._waiting[number]
        if waiter.done.is_set():
            if waiter.error is not None:
                # A copy: one error may answer a whole batch, each with a traceback of its own.
                raise copy(waiter.error) from waiter.error.__cause__
            return waiter.value
        if waiter.is_handed_over:
            raise Unknown(
                f"no answer within {timeout_s:g} s: it may or may not have happened",
                hint="look whether it did before you try again",
            )
        raise BackPressure(
            f"the node is too busy: it took nothing within {timeout_s:g} s",
            hint="nothing happened; try again later",
        )

    def taken(self, item: Input) -> bool:
        """
        Note that the engine is about to get *item*.

        Returns:
            False if it is a request that nobody waits for any more: it was reported as not done,
            so it must not be done now.
        """
        number = number_of(item)
        if number is None:
            return True
        waiter = self._waiting.get(number)
        if waiter is None:
            return False
        waiter.is_handed_over = True
        return True

    def answer(self, reply: Reply) -> None:
        """Hand over an answer; nothing if nobody waits."""
        waiter = self._waiting.get(reply.request)
        if waiter is not None and not waiter.done.is_set():
            waiter.value, waiter.error = reply.value, reply.error
            waiter.done.set()

    def fail(self, item: Input, error: MeshError) -> None:
        """*item*, if it is a request, did not happen."""
        number = number_of(item)
        if number is not None:
            self.answer(Reply(number, error=error))

    def fail_handed_over(self, error: MeshError) -> None:
        """The engine forgot what it had taken and not answered."""
        for number, waiter in list(self._waiting.items()):
            if waiter.is_handed_over:
                self.answer(Reply(number, error=error))

    def stop(self) -> None:
        """The node ends: all are answered, and later ones at once."""
        self._stopped = Unavailable("the node is stopping", hint="start it again: mesh up")
        self.fail_handed_over(Unknown("the node stopped before it answered"))
        for number in list(self._waiting):
            self.answer(Reply(number, error=self._stopped))


def number_of(item: Input) -> int | None:
    """The request's number, None for inputs that nobody waits for."""
    number = getattr(item, "request", None)
    return number if isinstance(number, int) else None
