"""
P4: every queue, room and memory stays within its named bound.

What is looked at is a table: a name, its bound, and how it is read from a running engine. The
greatest values seen are figures of the report. Private parts are read on purpose: what a machine
keeps to itself is what could grow unseen.
"""

# ruff: noqa: SLF001

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

from attrs import define, field

from mesh.core import limits
from mesh.gossip import limits as gossip
from simulations.checkers.checker import Checker

if TYPE_CHECKING:
    from mesh.core.effects import Effect
    from mesh.core.inputs import Input
    from mesh.engine import Engine
    from mesh.gossip.session import Session
    from mesh.gossip.tree import Link
    from simulations.host import Host
    from simulations.pipe import End

#: One step in so many is looked at; what grows without bound will be seen a little later.
SAMPLE_ONE_IN: Final = 97
#: One message in so many: how much waits behind it on its link.
SENT_ONE_IN: Final = 16

#: What membership remembers: peers, addresses without a peer, and one per link.
TARGETS_MAX: Final = limits.PEERS_MAX + gossip.HINTS_MAX + limits.LINKS_MAX

_Read: TypeAlias = Callable[["Engine"], int]


def _sessions(engine: Engine, size: Callable[[Session], int]) -> int:
    return max(map(size, engine.reconcile._sessions.values()), default=0)


def _pushes(engine: Engine, size: Callable[[Link], int]) -> int:
    return max(map(size, engine.broadcast._links.values()), default=0)


def _announced(link: Link) -> int:
    return len(link.announcements.waiting)


def _events(engine: Engine) -> int:
    last = engine.reader.last_cursor()
    first = engine.reader.events(0, 1)
    return last - first[0].cursor + 1 if first else 0


#: (name, bound, how it is read).
_ENGINE: Final[tuple[tuple[str, int, _Read], ...]] = (
    ("deferred", limits.DEFERRED_ENTRIES_MAX, lambda e: len(e.replica.admission.deferred)),
    ("deferred bytes", limits.DEFERRED_BYTES_MAX, lambda e: e.replica.admission.deferred.size),
    ("waiting", limits.WAITING_ENTRIES_MAX, lambda e: len(e.replica.admission.waiting)),
    ("waiting bytes", limits.WAITING_BYTES_MAX, lambda e: e.replica.admission.waiting.size),
    ("refusals", limits.REFUSALS_KEPT_MAX, lambda e: len(e.replica.admission.refusals)),
    ("pending rows", limits.PENDING_ROWS_MAX, lambda e: len(e.replica.pending)),
    ("links", limits.LINKS_MAX, lambda e: len(e.links)),
    ("dials", gossip.DIALS_MAX, lambda e: len(e.membership._dials)),
    ("targets", TARGETS_MAX, lambda e: len(e.membership._targets)),
    ("wants", gossip.WANTS_MAX, lambda e: _sessions(e, lambda s: len(s.wants))),
    ("bisections", gossip.BISECTIONS_MAX, lambda e: _sessions(e, lambda s: len(s.split))),
    ("known proofs", gossip.PROOFS_KNOWN_MAX, lambda e: _sessions(e, lambda s: len(s.proofs))),
    ("trees", gossip.TREES_MAX, lambda e: len(e.broadcast._origins)),
    ("known lanes", gossip.KNOWN_LANES_MAX, lambda e: _pushes(e, lambda p: len(p.known))),
    ("eager or lazy", gossip.TREES_MAX, lambda e: _pushes(e, lambda p: len(p.eager))),
    ("refused", gossip.TREES_MAX, lambda e: _pushes(e, lambda p: len(p.refused))),
    ("numbered", gossip.HAVE_AUTHORS_MAX, lambda e: _pushes(e, lambda p: len(p.numbered))),
    ("announced", gossip.ANNOUNCED_MAX, lambda e: _pushes(e, _announced)),
    ("awaited", gossip.AWAITED_MAX * limits.LINKS_MAX, lambda e: len(e.broadcast._awaited)),
    ("events", limits.EVENTS_KEPT_MAX, _events),
)


@define(eq=False)
class Bounds(Checker):
    """Looks at a sample of steps and messages, and at every host at rest."""

    NAME: ClassVar[str] = "bounds"

    #: The greatest values seen, by name: also of what has no bound here (parked, inbox).
    marks: dict[str, int] = field(factory=dict)
    _steps: int = 0
    _sent: int = 0

    def stepped(self, host: Host, inputs: Sequence[Input], effects: Sequence[Effect]) -> None:
        self._steps += 1
        if self._steps % SAMPLE_ONE_IN == 0 and host.is_honest:
            self._look(host)

    def sent(self, host: Host, end: End, data: bytes) -> None:
        self._sent += 1
        if self._sent % SENT_ONE_IN == 0:
            self._mark(host, "outbox bytes", end.backlog, limits.OUTBOX_BYTES_MAX)

    def quiesced(self) -> None:
        for host in self.world.honest:
            self._look(host)

    def _look(self, host: Host) -> None:
        engine = host.running
        for name, bound, read in _ENGINE:
            self._mark(host, name, read(engine), bound)
        # A party that stamps ahead may park as much as it likes; links hold back a full inbox.
        self._mark(host, "parked", len(engine.replica.table.parked), None)
        self._mark(host, "inbox", len(host.inbox), None)

    def _mark(self, host: Host, name: str, value: int, bound: int | None) -> None:
        self.checks += 1
        if value > self.marks.get(name, -1):
            self.marks[name] = value
            if bound is not None and value > bound:
                self.object(host, f"{value} {name}, at most {bound}")
