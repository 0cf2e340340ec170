"""
P3: no honest host's state shows an operation that no grant covers.

What the judge of the replicas says is not asked. Intruders know by construction which of their
operations their grant covers; the others must never be seen, by their dots, on any honest host.
That they add to no counter and kill nothing of others' is seen by the checker of writes. What is
covered must be there at rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from attrs import define

from capability import ops
from mesh.core.records import PutEntry, Record
from mesh.worknode import reading
from mesh.worknode.cells import LOG, MULTI, REGISTER, SET, DotCell, RegisterCell, dot
from simulations.checkers.checker import Checker
from simulations.intruder import Deed, Intruder

if TYPE_CHECKING:
    from simulations.host import Host


@define(eq=False)
class Unauthorised(Checker):
    """Looks at what intruders have tried, when it comes to a disk and at rest."""

    NAME: ClassVar[str] = "authority"

    def intruders(self) -> Iterator[Intruder]:
        """All of this world."""
        return (one for one in self.world.watch.watchers if isinstance(one, Intruder))

    def recorded(self, host: Host, records: Sequence[Record]) -> None:
        if not host.is_honest or not host.is_up:
            return
        for intruder in self.intruders():
            for record in records:
                if type(record) is PutEntry:
                    for deed in intruder.deeds.get(record.entry.id, ()):
                        self._look(host, deed)

    def quiesced(self) -> None:
        for intruder in self.intruders():
            for host in self.world.honest:
                for deeds in intruder.deeds.values():
                    for deed in deeds:
                        self._look(host, deed)
                self._look_inside(host, intruder)

    def _look(self, host: Host, deed: Deed) -> None:
        shows = None if deed.is_covered else _shows(host, deed)
        if shows is not None:
            self.checks += 1
            if shows:
                self.object(host, f"shows {deed.op}, which no grant covers")

    def _look_inside(self, host: Host, intruder: Intruder) -> None:
        held = host.running.replica.port.row(intruder.signer.public, 1).seq
        if held:
            covered = [
                deed for deed in intruder.deeds[intruder.log[held - 1].id] if deed.is_covered
            ]
            payload = covered[0].op.payload
            assert isinstance(payload, ops.Register), "what it may is this"
            shown = reading.register(host.running.replica, intruder.yard, payload.ns, payload.name)
            self.demand(host, f"lacks {payload}, which is covered", that=shown == payload.value)


def _shows(host: Host, deed: Deed) -> bool | None:
    """Whether it has had an effect; None if it is not held, or leaves no mark of its own."""
    replica, op = host.running.replica, deed.op
    n, record = replica.table.number.get(deed.entry), replica.store.worknodes.get(op.node)
    if n is None:
        return None
    if record is None:
        return False
    at, payload = dot(n, deed.index), op.payload
    match payload:
        case ops.Create():
            return at in record.creates
        case ops.Move():
            return any(key[3:] == (deed.entry, deed.index) for key in record.moves)
        case ops.Register(ns=ns, name=name):
            cell = record.cells.get((ns, name, REGISTER))
            return isinstance(cell, RegisterCell) and cell.dot == at
        case ops.SetAdd() | ops.MultiValue() | ops.Append():
            kind = {ops.SetAdd: SET, ops.MultiValue: MULTI, ops.Append: LOG}[type(payload)]
            cell = record.cells.get((payload.ns, payload.name, kind))
            return isinstance(cell, DotCell) and at in cell.dots
        case _:
            # Sums and removals: what they would change is compared with all that was acknowledged.
            return None
