"""P1: hosts that hold the same entries have the same state hash; at rest all hold the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from simulations.watch import Violation, Watcher

if TYPE_CHECKING:
    from simulations.world import World

NAME = "agreement"


@define(eq=False)
class Agreement(Watcher):
    """Compares all honest hosts when the world is quiet."""

    world: World

    def quiesced(self) -> None:
        hosts = self.world.honest
        first = hosts[0]
        roots, state = first.running.replica.port.roots(), first.running.replica.state_hash()
        for host in hosts[1:]:
            replica = host.running.replica
            if replica.port.roots() != roots:
                raise Violation(NAME, host.name, f"holds other entries than {first.name}")
            if replica.state_hash() != state:
                raise Violation(NAME, host.name, f"another state than {first.name}, same entries")
