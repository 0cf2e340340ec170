"""
What agents write: rates per host, kinds of writes, and how popular Worknodes are.

The default is the reference load of the simulator: 0.1 EVENTUAL and 1 LOCAL write per virtual
second and host.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen

from mesh.core.effects import Reply
from mesh.core.inputs import EVENTUAL, LOCAL
from mesh.core.writes import Create, Increment, SetRegister, Write
from mesh.replica.writer import Submitted
from simulations.watch import Watcher

if TYPE_CHECKING:
    from simulations.host import Host
    from simulations.world import World

#: Worknodes that the workload knows of; it writes to these.
NODES_MAX: Final = 1_000


@frozen
class Load:
    """Writes per virtual second and host."""

    eventual_per_s: float = 0.1
    local_per_s: float = 1.0


@define(eq=False)
class Workload(Watcher):
    """Submits writes at random times to hosts that are up, until it is stopped."""

    world: World
    load: Load = field(factory=Load)
    random: Random = field(init=False)
    nodes: list[bytes] = field(factory=list)
    refused: int = 0
    is_stopped: bool = False

    def __attrs_post_init__(self) -> None:
        self.random = Random(self.world.random.getrandbits(64))

    def start(self) -> None:
        """Begin; the first writes come after a pause, as all do."""
        self.world.watch.add(self)
        for host in self.world.hosts:
            self.later(host, EVENTUAL, self.load.eventual_per_s)
            self.later(host, LOCAL, self.load.local_per_s)

    def stop(self) -> None:
        """What is due from now on is not written."""
        self.is_stopped = True

    def later(self, host: Host, level: str, rate: float) -> None:
        if rate > 0:
            pause_us = int(self.random.expovariate(rate) * 1_000_000)
            self.world.after(pause_us, self._write, host, level, rate)

    def _write(self, host: Host, level: str, rate: float) -> None:
        if self.is_stopped:
            return
        if host.is_up and not host.is_paused:
            self.world.submit(host, self._draw(host, level), level=level)
        self.later(host, level, rate)

    def _draw(self, host: Host, level: str) -> Write:
        random = self.random
        if not self.nodes or (level == EVENTUAL and random.random() < 0.3):
            root = host.running.replica.store.root
            return Create(root, "task", nonce=random.randbytes(16))
        node = random.choice(self.nodes)
        if level == LOCAL:
            return Increment(node, 0, "progress", 1)
        return SetRegister(node, 0, "status", random.randrange(100))

    def answered(self, host: Host, reply: Reply) -> None:  # noqa: ARG002 - told of every host
        if reply.error is not None:
            self.refused += 1
        elif isinstance(reply.value, Submitted):
            for node in reply.value.created:
                if len(self.nodes) < NODES_MAX:
                    self.nodes.append(node)
