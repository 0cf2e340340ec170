"""
P1: hosts that hold the same entries have the same state hash; at rest all hold the same.

At rest what is held is read from the disks, because the roots by which hosts compare themselves
are under test, too. During the run a sample of the steps is looked at: whenever some host has had
the same frontier, with the same entries parked, its state must have had the same hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

from attrs import define, field

from simulations.checkers.checker import Checker

if TYPE_CHECKING:
    from mesh.core.effects import Effect
    from mesh.core.inputs import Input
    from simulations.host import Host

#: A host is looked at when the number of its entries is a multiple of this: hosts that come to one
#: frontier come to one number, so most of what is looked at can be compared.
ENTRIES_ONE_IN: Final = 31
#: And one step in so many, whatever is held: a hash costs as much as ten steps. A prime, so that
#: no rhythm of the hosts hides one of them.
SAMPLE_ONE_IN: Final = 509
#: States that are remembered; the oldest is forgotten first.
STATES_MAX: Final = 4_096

#: Both frontier roots, and the ids of what is parked.
Held: TypeAlias = tuple[bytes, bytes, tuple[bytes, ...]]


@define(eq=False)
class Agreement(Checker):
    """Compares state hashes of hosts that hold the same."""

    NAME: ClassVar[str] = "agreement"

    _steps: int = 0
    #: How many entries each host held when it was last looked at for their number.
    _counts: dict[int, int] = field(factory=dict)
    _states: dict[Held, tuple[bytes, str]] = field(factory=dict)

    def stepped(self, host: Host, inputs: Sequence[Input], effects: Sequence[Effect]) -> None:
        self._steps += 1
        count = host.running.replica.table.last
        if count % ENTRIES_ONE_IN == 0 and self._counts.get(host.number) != count:
            self._counts[host.number] = count
        elif self._steps % SAMPLE_ONE_IN:
            return
        if host.is_honest:
            self._compare(host)

    def _compare(self, host: Host) -> None:
        replica = host.running.replica
        ids = replica.table.ids
        parked = tuple(sorted(ids[n] for n in replica.table.parked))
        held = (*replica.port.roots(), parked)
        state = replica.state_hash()
        known = self._states.get(held)
        if known is not None:
            same = known[0] == state
            self.demand(host, f"the frontier that {known[1]} had, and another state", that=same)
            return
        self._states[held] = (state, host.name)
        if len(self._states) > STATES_MAX:
            del self._states[next(iter(self._states))]

    def quiesced(self) -> None:
        hosts = self.world.honest
        strangers = {host.signer.public for host in self.world.hosts if not host.is_honest}
        # Whom a liar let in by a grant that does not count any more is no member, and what some
        # hosts took in of it while it was one is wanted by nobody.
        liars = [host.liar for host in self.world.hosts if host.liar is not None]
        strangers |= {key for liar in liars for key in liar.accomplices}
        # Of a forked lane not every branch is wanted; what of it counts is in the state.
        strangers |= {author for author, _ in hosts[0].running.replica.forked()}
        first = hosts[0]
        logs = _honest_logs(first, strangers)
        roots = first.running.replica.port.roots()
        # Not all need have parked the same: stamps of a stranger that are in the future are not,
        # for one whose clock was never ahead. Those that have are in one state.
        states = {_parked(first): (first.running.replica.state_hash(), first.name)}
        for host in hosts[1:]:
            replica = host.running.replica
            same = _honest_logs(host, strangers) == logs
            self.demand(host, f"holds other entries than {first.name}", that=same)
            same = replica.port.roots() == roots
            self.demand(host, f"another frontier than {first.name}", that=same)
            mine = replica.state_hash()
            state, name = states.setdefault(_parked(host), (mine, host.name))
            if name != host.name:
                self.demand(host, f"another state than {name}, same entries", that=mine == state)


def _parked(host: Host) -> frozenset[bytes]:
    table = host.running.replica.table
    return frozenset(table.ids[n] for n in table.parked)


def _honest_logs(host: Host, strangers: set[bytes]) -> set[bytes]:
    """All entries on disk but those of *strangers*, of whose branches some may lack one."""
    return {
        stored.entry.id
        for stored in host.disk.store.entries()
        if stored.entry.header.author not in strangers
    }
