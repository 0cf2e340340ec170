"""
What agents write: rates per host, kinds of writes, and how popular Worknodes are.

Loads have names. `default` is the reference load of the simulator: 0.1 EVENTUAL and 1 LOCAL write
per virtual second and host, of all kinds; `agents` is that of the requirements (R4.6).
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Final

from attrs import define, evolve, field, frozen

from mesh.core.effects import Reply
from mesh.core.inputs import EVENTUAL, LOCAL
from mesh.replica.writer import Submitted
from simulations.intruder import Intruder
from simulations.watch import Watcher
from simulations.writes import Pencil

if TYPE_CHECKING:
    from simulations.host import Host
    from simulations.world import World

#: Worknodes that the workload knows of; it writes to these.
NODES_MAX: Final = 1_000
#: So many are made before anything else: few, so that hosts meet in the same cells.
NODES_FIRST: Final = 6
#: Worknodes among which one write chooses.
_NEAR: Final = 48
#: Sessions of one host. The node's own writes most; each named one costs a grant.
SESSIONS: Final = ("", "", "", "writer", "tester")

#: Kinds of writes by weight, EVENTUAL and LOCAL.
MIXED: Final[Mapping[str, int]] = {
    "create": 6,
    "deep": 6,
    "register": 20,
    "multi": 10,
    "add": 14,
    "remove": 8,
    "increment": 10,
    "append": 10,
    "move": 12,
    "archive": 2,
    "bulk": 1,
    "mixed": 4,
}
PROGRESS: Final[Mapping[str, int]] = {"increment": 5, "register": 3, "append": 2}


@frozen
class Load:
    """Writes per virtual second and host, and of which kinds, by weight."""

    eventual_per_s: float = 0.1
    local_per_s: float = 1.0
    eventual: Mapping[str, int] = field(factory=lambda: MIXED)
    local: Mapping[str, int] = field(factory=lambda: PROGRESS)
    #: Members beside the hosts that write what their grants do not cover.
    intruders: int = 1
    #: Whether these fork their logs.
    forks: bool = False

    def at(self, pace: float) -> Load:
        """The same writes, so many times as often."""
        return evolve(
            self, eventual_per_s=self.eventual_per_s * pace, local_per_s=self.local_per_s * pace
        )


LOADS: Final[dict[str, Load]] = {
    "default": Load(),
    # R4.6: ten progress updates a second, and one write a minute that takes a task.
    "agents": Load(1 / 60, 10.0, {"register": 3, "create": 1}, {"increment": 1, "register": 1}),
    "moves": Load(1.0, 0.1, {"create": 2, "deep": 3, "move": 12, "archive": 1}),
    "local storm": Load(0.02, 50.0),
    "import": Load(0.2, 0.5, {"bulk": 3, "register": 3, "add": 2, "move": 2}),
    "busy": Load(2.0, 5.0),
}


@define(eq=False)
class Workload(Watcher):
    """Submits writes at random times to hosts that are up, until it is stopped."""

    world: World
    load: Load = field(factory=Load)
    random: Random = field(init=False)
    nodes: list[bytes] = field(factory=list)
    submitted_kinds: dict[str, int] = field(factory=dict)
    refused: int = 0
    is_stopped: bool = False
    _known: set[bytes] = field(factory=set)
    _pencil: Pencil = field(init=False)
    _intruders: list[Intruder] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.random = Random(self.world.random.getrandbits(64))
        self._pencil = Pencil(self.random)

    def start(self) -> None:
        """Begin; the first writes come after a pause, as all do."""
        self.world.watch.add(self)
        for number in range(self.load.intruders):
            intruder = Intruder(self.world, self.random, f"intruder {number}", self.load.forks)
            self._intruders.append(intruder)
            intruder.start()
        for host in self.world.hosts:
            self.later(host, EVENTUAL, self.load.eventual_per_s)
            self.later(host, LOCAL, self.load.local_per_s)

    def stop(self) -> None:
        """What is due from now on is not written."""
        self.is_stopped = True
        for intruder in self._intruders:
            intruder.stop()

    def later(self, host: Host, level: str, rate: float) -> None:
        if rate > 0:
            pause_us = int(self.random.expovariate(rate) * 1_000_000)
            self.world.after(pause_us, self._write, host, level, rate)

    def _write(self, host: Host, level: str, rate: float) -> None:
        if self.is_stopped:
            return
        if host.is_up and not host.is_paused:
            self.submit(host, level)
        self.later(host, level, rate)

    def submit(self, host: Host, level: str, kind: str = "") -> None:
        """One submit of a host that is up: of a kind drawn by the load, unless one is given."""
        weights = self.load.local if level == LOCAL else self.load.eventual
        if not kind:
            kind = self.random.choices(list(weights), list(weights.values()))[0]
            if level == EVENTUAL and len(self.nodes) < NODES_FIRST:
                kind = "create"
        store = host.running.replica.store
        # The oldest and the youngest: others' are known before this host has them.
        near = self.nodes[: _NEAR // 2] + self.nodes[_NEAR // 2 :][-_NEAR // 2 :]
        writes = self._pencil.write(kind, store.root, [node for node in near if store.exists(node)])
        self.submitted_kinds[kind] = self.submitted_kinds.get(kind, 0) + 1
        session = self.random.choice(SESSIONS)
        self.world.submit(host, *writes, level=level, session=session)

    def answered(self, host: Host, reply: Reply) -> None:  # noqa: ARG002 - told of every host
        if reply.error is not None:
            self.refused += 1
        elif isinstance(reply.value, Submitted):
            for node in reply.value.created:
                if len(self.nodes) < NODES_MAX and node not in self._known:
                    self._known.add(node)
                    self.nodes.append(node)
