"""What all checkers share: a name, a count of what they have checked, and how they object."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NoReturn

from attrs import define

from simulations.watch import Violation, Watcher

if TYPE_CHECKING:
    from simulations.host import Host
    from simulations.world import World


@define(eq=False)
class Checker(Watcher):
    """
    Watches one promise, for honest hosts only.

    `checks` grows with each judgement that could have failed, so that it can be told after a run
    which faults a checker has met: one that looked at nothing has shown nothing.
    """

    NAME: ClassVar[str] = ""

    world: World
    checks: int = 0

    def object(self, host: Host, what: str) -> NoReturn:
        """The promise is broken at *host*."""
        raise Violation(self.NAME, host.name, f"{what} (at {self.world.now_s:.3f} s)")

    def demand(self, host: Host, what: str, *, that: bool) -> None:
        """One check; *what* is said if it fails. Hot places count and object by themselves."""
        self.checks += 1
        if not that:
            self.object(host, what)
