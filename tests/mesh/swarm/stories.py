"""Random histories of a world: writes, partitions, cuts, crashes, disks that refuse."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from mesh.core.inputs import LOCAL, SyncNow
from mesh.core.writes import Create
from tests.mesh.swarm import check
from tests.mesh.swarm.host import Host
from tests.mesh.swarm.workload import note, notes_on, write_at_random
from tests.mesh.swarm.world import World

NAMES = ("ann", "bob", "cec", "dan", "eve")
TOPOLOGIES = ("line", "ring", "full")


def pairs(topology: str, names: Sequence[str]) -> list[tuple[str, str]]:
    """Who is told of whom."""
    line = list(pairwise(reversed(names)))
    if topology == "line":
        return line
    if topology == "ring":
        return [*line, (names[0], names[-1])] if len(names) > 2 else line
    return [(a, b) for at, a in enumerate(names) for b in names[:at]]


class Story:
    """A world with members in a topology, a Worknode that all know, and a ledger of promises."""

    def __init__(self, seed: int, hosts: int, topology: str) -> None:
        self.world = World(seed=seed)
        self.random = self.world.random
        names = NAMES[:hosts]
        for before, name in pairwise(names):
            self.world.join(name, by=before)
            check.converges(self.world)
        for one, two in pairs(topology, names):
            self.world.meet(one, two)
        founder = self.world.hosts[names[0]]
        created = founder.write(Create(founder.engine.replica.store.root, "task", b"shared"))
        self.node: bytes = created.value.created[0]
        check.converges(self.world)
        self.notes: list[str] = []

    def pick(self) -> Host | None:
        return self.random.choice(self.world.up) if self.world.up else None

    def write(self) -> None:
        if (host := self.pick()) is not None:
            self.write_at(host)

    def write_at(self, host: Host) -> None:
        if self.random.random() < 0.3:
            # Always another one: a host that died may have kept one that it did not acknowledge.
            text = f"{host.name} {host.requests}"
            if note(host, self.node, text, level=self.random.choice((LOCAL, "eventual"))):
                self.notes.append(text)
        else:
            write_at_random(host, self.random)

    def partition(self) -> None:
        names = list(self.world.hosts)
        self.random.shuffle(names)
        at = self.random.randint(0, len(names))
        self.world.partition(names[:at], names[at:])

    def heal(self) -> None:
        self.world.heal()

    def cut(self) -> None:
        if self.world.pipes:
            self.world.cut(self.random.choice(sorted(self.world.pipes)))

    def crash(self) -> None:
        if (host := self.pick()) is not None:
            host.die()

    def crash_in_the_act(self) -> None:
        """Die in the middle of the effects of a batch that is on disk."""
        if (host := self.pick()) is not None:
            host.dies_after = self.random.randint(0, 6)
            self.write_at(host)

    def restart(self) -> None:
        down = [host for host in self.world.hosts.values() if host.current is None]
        if down:
            self.random.choice(down).start()

    def disk_full(self) -> None:
        if (host := self.pick()) is not None:
            host.store.fail_next_commit()
            self.write_at(host)
            host.store.crash()

    def sync(self) -> None:
        if (host := self.pick()) is not None:
            host.batch([SyncNow(host.next_request())])

    def wait(self) -> None:
        self.world.run(self.random.choice((0, 1, 30, 300, 3_000, 20_000)))

    def act(self) -> None:
        acts = (
            [self.write] * 12
            + [self.wait] * 6
            + [self.partition, self.heal, self.cut, self.crash, self.crash_in_the_act]
            + [self.restart] * 3
            + [self.disk_full, self.sync]
        )
        self.random.choice(acts)()

    def ends_well(self) -> None:
        """Everybody comes back; then all agree, and all that was promised is there."""
        self.world.heal()
        for host in self.world.hosts.values():
            if host.current is None:
                host.start()
        check.converges(self.world)
        # LOCAL rows are sealed within ten seconds of being written.
        self.world.run(15_000)
        check.converges(self.world)
        check.nothing_lost(self.world)
        for host in self.world.up:
            held = notes_on(host, self.node)
            assert len(set(held)) == len(held), "a note stands twice"
            assert set(self.notes) <= set(held), f"{host.name} lost a note that was acknowledged"
        check.reloads_equal(self.world)
