"""Real nodes' recordings as the simulator takes them."""

from __future__ import annotations

from pathlib import Path

from mesh.node.recorder import DATABASE, INPUTS, frames
from mesh.node.structure import digest
from mesh.storage import Home, SqliteStore
from simulations.disk import Disk
from simulations.playback import Playback
from simulations.world import World


def played(home: Path, record: Path, *, scratch: Path) -> Playback:
    """The recording in *record* of the node in *home*, played to a host."""
    database = scratch / f"{record.name}.db"
    database.write_bytes((record / DATABASE).read_bytes())
    world = World(seed=1, signatures="ed25519")
    host = world.add("played", seed=Home.open(home).seed())
    with SqliteStore(database) as store:
        host.disk = Disk(store)
        playback = Playback(host, digest)
        playback.run(frames(record / INPUTS))
    return playback
