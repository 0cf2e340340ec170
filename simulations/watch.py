"""
Who watches a world: checkers and meters, told of everything and able to change nothing.

A watcher overrides what it wants to hear of; only that is called, so that a checker costs nothing
where it is not asked. A checker that finds a promise broken raises `Violation`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import define, field

from mesh.core.effects import Effect, Reply
from mesh.core.events import Event
from mesh.core.inputs import Input, Submit
from mesh.core.records import Record

if TYPE_CHECKING:
    from simulations.host import Host
    from simulations.pipe import End


class Violation(Exception):
    """A promise is broken: which checker says so, where, and what it saw."""

    def __init__(self, checker: str, host: str, what: str) -> None:
        super().__init__(f"{checker}: {host}: {what}")
        self.checker = checker
        self.host = host
        self.what = what


class Watcher:
    """Hears of what it overrides."""

    def started(self, host: Host) -> None:
        """An engine was built from the host's disk; it has done nothing yet."""

    def died(self, host: Host, *, survived: bool) -> None:
        """The process ended; whether the commit under way is on disk. Its engine is still there."""

    def submitted(self, host: Host, request: Submit) -> None:
        """A local write is on its way to the engine."""

    def stepped(self, host: Host, inputs: Sequence[Input], effects: Sequence[Effect]) -> None:
        """The engine took a batch; nothing of the effects has happened."""

    def recorded(self, host: Host, records: Sequence[Record]) -> None:
        """These are on disk, by a commit or by one that a crash let through."""

    def set_back(self, host: Host, *, is_less: bool = True) -> None:
        """
        Another disk was put in the place of the host's, before it starts from it.

        With *is_less* it is an older copy, or what could be read; else all is there, in part aside.
        """

    def committed(self, host: Host, effects: Sequence[Effect]) -> None:
        """The records of a batch are on disk; the other effects come next."""

    def answered(self, host: Host, reply: Reply) -> None:
        """A request is answered, or failed with its batch."""

    def emitted(self, host: Host, events: Sequence[Event]) -> None:
        """Subscribers are told."""

    def sent(self, host: Host, end: End, data: bytes) -> None:
        """A message leaves on a link."""

    def befell(self, what: str) -> None:
        """A fault took effect."""

    def quiesced(self) -> None:
        """The faults are over, and the world is quiet."""


_CALLS = tuple(name for name in vars(Watcher) if not name.startswith("_"))


def _silence(*_args: object, **_options: object) -> None:
    """Nobody listens."""


@define(eq=False)
class Watch:
    """Tells all watchers, in the order in which they came. `faults` counts what befell."""

    faults: Counter[str] = field(factory=Counter)
    watchers: list[Watcher] = field(factory=list)
    started: Callable[..., None] = _silence
    died: Callable[..., None] = _silence
    submitted: Callable[..., None] = _silence
    stepped: Callable[..., None] = _silence
    recorded: Callable[..., None] = _silence
    set_back: Callable[..., None] = _silence
    committed: Callable[..., None] = _silence
    answered: Callable[..., None] = _silence
    emitted: Callable[..., None] = _silence
    sent: Callable[..., None] = _silence
    quiesced: Callable[..., None] = _silence
    _befell: Callable[..., None] = _silence

    def befell(self, what: str) -> None:
        """A fault of this kind took effect."""
        self.faults[what] += 1
        self._befell(what)

    def add(self, watcher: Watcher) -> None:
        """One more listens from now on."""
        self.watchers.append(watcher)
        self._bind()

    def remove(self, watcher: Watcher) -> None:
        """It has heard enough."""
        self.watchers.remove(watcher)
        self._bind()

    def _bind(self) -> None:
        for name in _CALLS:
            heard = [
                getattr(one, name)
                for one in self.watchers
                if getattr(type(one), name) is not getattr(Watcher, name)
            ]
            setattr(self, "_befell" if name == "befell" else name, _all(heard))


def _all(heard: Sequence[Callable[..., Any]]) -> Callable[..., None]:
    if not heard:
        return _silence
    if len(heard) == 1:
        return heard[0]

    def tell(*args: object, **options: object) -> None:
        for call in heard:
            call(*args, **options)

    return tell
