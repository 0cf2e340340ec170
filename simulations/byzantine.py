"""
A member that lies: its home and its key are a real member's, its software is somebody else's.

A host turns into a liar by a restart. An engine still runs beneath, so that it is let in and hears
what it is sent; on its open links the liar says what it likes beside, or in place of, what that
engine would say, and signs with its own key alone. It turns only once every honest host has on
disk all that it has promised its sessions, none of it stamped ahead of the clocks, and serves none
from then on: so it is known what of it may be shown. What it does is `simulations.lies`; when, a
strike says.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, Final

from attrs import define, field

from capability.bodies import MEMBER
from capability.entry import Entry
from crdt.hlc import COUNTER_BITS, milliseconds
from mesh.core.inputs import Received, Seal
from mesh.core.limits import SKEW_MS_MAX
from mesh.gossip.messages import Message
from mesh.wire import encode_message
from simulations.clock import WALL_MS_START
from simulations.host import RESTART_US
from simulations.overlay import are_connected
from simulations.watch import Watcher

if TYPE_CHECKING:
    from mesh.core.effects import Effect
    from mesh.core.inputs import Input
    from simulations.host import Host
    from simulations.pipe import End
    from simulations.world import World

#: Messages that it remembers to say again.
HEARD_MAX: Final = 256
#: Of so many hosts at most one lies. Nothing in the mesh needs it, as nobody votes; but a run in
#: which most lie compares few.
HOSTS_PER_LIAR: Final = 3
#: So many hosts at least stay honest: two, that can be compared.
HONEST_MIN: Final = 2

#: What leaves in place of a message of the engine beneath: (link, message) -> message or nothing.
Outlet = Callable[[int, bytes], bytes | None]


@define(eq=False)
class Liar(Watcher):
    """The mind of one host's process, from its turn to the end of the run."""

    world: World
    host: Host
    random: Random
    has_turned: bool = False
    #: Kinds of lies that last, with how many strikes ask for each.
    kinds: Counter[str] = field(factory=Counter)
    outlets: dict[str, Outlet] = field(factory=dict)
    #: What it was sent, as (link, message), the latest last.
    heard: deque[tuple[int, bytes]] = field(factory=lambda: deque(maxlen=HEARD_MAX))
    #: Its logs with two ends: by what forks, the branches.
    branches: dict[str, tuple[list[Entry], list[Entry]]] = field(factory=dict)
    #: Entries that must never be held by anybody: nobody has signed them as they are.
    forged: dict[bytes, None] = field(factory=dict)
    #: Keys that it let in by grants that must not count.
    accomplices: dict[bytes, None] = field(factory=dict)
    #: Worknodes made by entries that must not count.
    created: dict[bytes, None] = field(factory=dict)
    #: Messages that it has said of its own.
    said: int = 0

    # -- its life -------------------------------------------------------------------------------

    def turn(self) -> bool:
        """Become a liar if it can be done yet; whether it is one now."""
        host = self.host
        if self.has_turned or not host.is_up or host.is_paused:
            return self.has_turned
        if host.disk.store.pending() or not _has_spread(self.world, host) or _is_ahead(host):
            host.put(Seal(host.next_request()))
            return False
        others = [one for one in self.world.honest if one is not host and not one.is_gone]
        if not are_connected(others):
            # Who was to lie, too, and has not turned, would hear of the others by liars alone.
            return False
        self.has_turned = True
        host.is_honest = False
        host.die()
        self.world.watch.add(self)
        self.world.after(RESTART_US, host.restart, host.incarnation)
        return True

    def takes_up(self, kind: str) -> None:
        """One strike more asks for *kind*."""
        self.kinds[kind] += 1

    def lays_down(self, kind: str) -> None:
        """One strike less; after the last its machine runs honest software again."""
        if self.kinds[kind] <= 0:
            return
        self.kinds[kind] -= 1
        if not self.kinds[kind]:
            self.outlets.pop(kind, None)
        if not self.kinds.total():
            self._repent()

    def stop(self) -> None:
        """The world is healed: no lie outlasts that."""
        if self.kinds.total():
            self.kinds.clear()
            self.outlets.clear()
            self._repent()

    def _repent(self) -> None:
        host = self.host
        if not self.has_turned:
            host.liar = None
        elif host.is_up:
            host.die()
            self.world.after(RESTART_US, host.restart, host.incarnation)

    # -- what it hears and says -----------------------------------------------------------------

    def stepped(self, host: Host, inputs: Sequence[Input], effects: Sequence[Effect]) -> None:
        del effects
        if host is self.host:
            for item in inputs:
                if type(item) is Received:
                    self.heard.append((item.link, item.data))

    def outlet(self, link: int, data: bytes) -> bytes | None:
        """What leaves in place of *data*; None if nothing does."""
        said: bytes | None = data
        for kind in sorted(self.outlets):
            if said is not None:
                said = self.outlets[kind](link, said)
        return said

    @property
    def ends(self) -> list[End]:
        """Links on which it may speak, by number: both sides have said hello."""
        host = self.host
        if not self.has_turned or not host.is_up or host.is_paused:
            return []
        links = host.running.links
        return [
            end
            for end in self.world.network.links(host)
            if end.link in links and links[end.link].hello is not None
        ]

    def say(self, end: End, message: Message | bytes) -> None:
        """Send what no engine would."""
        data = message if isinstance(message, bytes) else encode_message(message)
        self.said += 1
        self.world.network.send(self.host, end.link, data)

    # -- what it knows --------------------------------------------------------------------------

    @property
    def leaf(self) -> bytes:
        """The grant by which it is a member."""
        granted = self.host.running.replica.held.ledger.grants_to(self.host.signer.public)
        return next(leaf for leaf, held in granted if held.akind == MEMBER)

    @property
    def mesh_id(self) -> bytes:
        return self.host.running.replica.mesh_id

    def log(self, lane: int) -> list[Entry]:
        """Its own entries of a lane, as they lie on its disk."""
        own = self.host.signer.public
        entries = [stored.entry for stored in self.host.disk.store.entries()]
        return [e for e in entries if e.header.author == own and e.header.lane == lane]

    def stamp(self, after: Entry | None) -> int:
        """A stamp that nobody objects to, later than that of *after*."""
        wall_ms = WALL_MS_START + self.world.now_us // 1000
        return max(wall_ms << COUNTER_BITS, after.header.hlc + 1 if after else 0)

    def victim(self) -> Host:
        """Some honest host."""
        return self.random.choice(self.world.honest)


def recruit(world: World, host: Host) -> Liar | None:
    """The liar of *host*, which may have to wait for its turn; None if this host shall not lie."""
    if host.liar is not None:
        return host.liar
    liars = sum(one.liar is not None for one in world.hosts)
    honest = [one for one in world.honest if one is not host and one.liar is None]
    if (
        # The founder's key is the root of the mesh: all that anybody may hangs on it.
        host.number == 0
        or not host.is_honest
        or len(honest) < HONEST_MIN
        or (liars + 1) * HOSTS_PER_LIAR > max(len(world.hosts), HOSTS_PER_LIAR)
        or not are_connected(honest)
    ):
        return None
    host.liar = Liar(world, host, Random(world.random.getrandbits(64)))
    return host.liar


def _has_spread(world: World, host: Host) -> bool:
    """Whether all honest others have on disk all that it has written."""
    author = host.signer.public
    own = tuple(s.entry.id for s in host.disk.store.entries() if s.entry.header.author == author)
    return all(
        not other.disk.unreadable and len(other.disk.store.entries_by_id(own)) == len(own)
        for other in world.honest
        if other is not host and not other.is_gone
    )


def _is_ahead(host: Host) -> bool:
    """Whether it may have written what others park, since its clock was ahead of theirs."""
    wall_ms = WALL_MS_START + host.world.now_us // 1000
    return milliseconds(host.running.replica.held.clock.last) > wall_ms + SKEW_MS_MAX


__all__ = ["Liar", "recruit"]
