"""What must hold of a world of honest hosts, whatever happened to it."""

from __future__ import annotations

from tests.mesh.swarm.host import Host
from tests.mesh.swarm.world import World

#: Redial (15 s and a quarter), one comparison (6.25 s), a repair or two that have to wait.
CONVERGE_MS = 60_000


def situation(host: Host) -> tuple[bytes, tuple[bytes, bytes]]:
    replica = host.engine.replica
    return replica.state_hash(), replica.port.roots()


def agree(world: World) -> bool:
    return len({situation(host) for host in world.up}) == 1


def in_sync(world: World) -> bool:
    """Every host says so of every peer that it is linked to."""
    peers = [peer for host in world.up for peer in host.status()["peers"]]
    return all(peer["in_sync"] for peer in peers if peer["state"] == "connected")


def converges(world: World, *, within_ms: int = CONVERGE_MS) -> None:
    """Within bounded time all agree, and then know that they do."""
    done = world.run(within_ms, until=lambda: agree(world) and in_sync(world))
    assert done, describe(world)


def nothing_lost(world: World) -> None:
    """P2: what was acknowledged anywhere is held everywhere; and nobody forked a log."""
    for host in world.up:
        held = host.engine.replica.table.number
        for writer in world.hosts.values():
            lost = [entry for entry in writer.acknowledged if entry not in held]
            assert not lost, f"{host.name} lacks {len(lost)} entries that {writer.name} promised"
        assert not host.engine.replica.forked(), f"{host.name} sees a fork"
        assert not host.engine.replica.writer.blocked, f"{host.name} is blocked"


def reloads_equal(world: World) -> None:
    """A restart gives the same state."""
    for host in world.up:
        before = situation(host)
        host.die()
        host.start()
        assert situation(host) == before, f"{host.name} is another one after its restart"


def describe(world: World) -> str:
    lines = []
    for host in world.up:
        state, roots = situation(host)
        status = host.status()
        peers = [
            (peer["name"], peer["state"], peer["in_sync"], peer.get("behind"))
            for peer in status["peers"]
        ]
        counts = {key: status[key] for key in ("entries", "deferred", "waiting", "undecided")}
        lines.append(f"{host.name} {state.hex()[:6]} {roots[1].hex()[:6]} {counts} {peers}")
    return "\n".join(lines)
