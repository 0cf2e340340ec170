"""
Whoever runs `mesh doctor --repair`: finds hosts that need it, some time later, and mends them.

A home of which something cannot be read is rebuilt from the rest, and one that peers have found to
be behind is led back, by the same code as in life (`mesh.replica.rebuilding`); files and their
checksums are what a simulation has not. A home waits until every member has said what it holds of
the home's log; members that are no hosts never do, nor hosts that are never linked to it. When only
these are left, and its log is back, it is told not to wait for them (`--accept-absent`).
Rounds are made only once something has happened that may need them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from attrs import define

from capability.entry import Entry, decode_signed_header
from capability.errors import CapabilityError
from capability.form import record
from crdt.codec import decode
from mesh.core.records import PutEvents, PutMeta
from mesh.replica.found import META_FOUND
from mesh.replica.founding import META_MESH, META_MESH_NAME, META_NAME
from mesh.replica.pending import META_EARLY
from mesh.replica.rebuilding import Rebuilt, Remains, rebuild
from mesh.replica.recovery import (
    META_BLOCKED,
    META_KEPT,
    META_RECOVER,
    WAIT_FOR_ALL,
    WAIT_FOR_ONE,
)

if TYPE_CHECKING:
    from simulations.disk import Store
    from simulations.host import Host
    from simulations.world import World

#: How often somebody looks, in µs. A guess at an attentive operator; a run has only minutes.
ROUND_US: Final = 10_000_000
#: What stands under names in a home. Source: `mesh.storage.salvage`.
_METAS: Final = (
    META_MESH,
    META_NAME,
    META_MESH_NAME,
    "join_seed",
    "join_chain",
    "tickets_peers",
    "sent",
    META_BLOCKED,
    META_RECOVER,
    META_KEPT,
    META_FOUND,
    META_EARLY,
)
_PROOF_BYTES_MAX: Final = 2048


@define(eq=False)
class Doctor:
    """Makes rounds from the first call on."""

    world: World
    #: Homes that were mended.
    repairs: int = 0
    _is_awake: bool = False

    def call(self) -> None:
        """From now on there may be patients."""
        if not self._is_awake:
            self._is_awake = True
            self.world.after(ROUND_US, self._round)

    def _round(self) -> None:
        for host in self.world.hosts:
            if not host.is_honest or host.is_gone or host.is_paused:
                continue
            if host.disk.unreadable and not host.is_up:
                self._mend(host)
            elif host.is_up and _is_stopped(host.disk.store):
                host.die()
                self._mend(host)
            elif host.is_up and _waits_in_vain(host):
                host.die()
                # Whatever hosts hold of its log it holds too: one word is enough from now on.
                host.disk.store.commit((PutMeta(META_RECOVER, WAIT_FOR_ONE),))
                host.start()
        self.world.after(ROUND_US, self._round)

    def _mend(self, host: Host) -> None:
        self.repairs += 1
        repair(host)
        host.start()


def _is_stopped(store: Store) -> bool:
    """Its pen was stopped, and nobody has repaired it since."""
    return store.meta(META_BLOCKED) is not None and store.meta(META_RECOVER) is None


def _waits_in_vain(host: Host) -> bool:
    """Whoever is still to speak is no host, or is never linked to it and holds no more than it."""
    recovery = host.running.replica.recovery
    if not recovery.is_active or recovery.mode == WAIT_FOR_ONE or host.is_committing:
        return False
    absent = set(recovery.absent())
    hosts = [h for h in host.world.hosts if h.signer.public in absent and not h.is_gone]
    is_vain = bool(absent) and not any(_will_meet(host, other) for other in hosts)
    return is_vain and recovery.holds_all_stated() and _holds_all_of_its_log(host, hosts)


def _will_meet(host: Host, other: Host) -> bool:
    """Whether one of the two can learn where the other listens."""
    is_told = other.address in host.hints or host.address in other.hints
    return is_told or host.is_open or other.is_open


def _holds_all_of_its_log(host: Host, others: Sequence[Host]) -> bool:
    """As somebody sees who asks on each machine."""
    author = host.signer.public
    theirs = {
        stored.entry.id
        for other in others
        for stored in other.disk.store.entries()
        if stored.entry.header.author == author
    }
    return len(host.disk.store.entries_by_id(tuple(theirs))) == len(theirs)


def repair(host: Host) -> Rebuilt:
    """Put a new disk in the place of a dead host's, with everything that could be read."""
    assert not host.is_up, f"{host.name} runs"
    store, lost = host.disk.store, host.disk.unreadable
    mesh_id = store.meta(META_MESH)
    assert mesh_id is not None, "no fault takes the name of the mesh"
    notary = host.world.reading.notary

    def is_signed(entry: Entry) -> bool:
        try:
            notary.check(entry, mesh_id)
        except CapabilityError:
            return False
        return True

    metas = {key: store.meta(key) for key in _METAS}
    remains = Remains(
        mesh_id=mesh_id,
        entries=[stored.entry for stored in store.entries() if stored.n not in lost],
        meta={key: value for key, value in metas.items() if value is not None},
        pending=store.pending(),
        peers=store.peers(),
        proofs=[_proof(data) for data in store.proofs()],
        unreadable=len(lost),
        is_damaged=bool(lost),
    )
    rebuilt = rebuild(remains, author=host.signer.public, mode=WAIT_FOR_ALL, is_signed=is_signed)
    new = host.world.make_store()
    new.commit(rebuilt.records)
    new.commit((PutEvents(tuple(store.events(0, store.last_cursor()))),))
    host.disk.replace(new)
    host.world.watch.set_back(host, is_less=bool(lost))
    # From now on it waits for everybody.
    host.was_put_back = False
    return rebuilt


def _proof(data: bytes) -> tuple[bytes, int, bytes]:
    halves = record(decode(data, size_max=_PROOF_BYTES_MAX), 2, "fork proof")
    header = decode_signed_header(halves[0]).header
    return header.author, header.lane, data
