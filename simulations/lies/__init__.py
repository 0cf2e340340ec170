"""What liars do, by kind: `begin` once a kind is taken up, `act` once a round while it lasts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from attrs import frozen

from simulations.lies import logs, noise, words

if TYPE_CHECKING:
    from simulations.byzantine import Liar


@frozen
class Kind:
    """One kind of lies. Outlets that `begin` sets are taken away when the kind is laid down."""

    act: Callable[[Liar], None] | None = None
    begin: Callable[[Liar], None] | None = None


KINDS: Final[dict[str, Kind]] = {
    "forks_data": Kind(logs.fork_data),
    "forks_authority": Kind(logs.fork_authority),
    "forges": Kind(logs.forge),
    "replays": Kind(noise.replay),
    "floods": Kind(noise.flood),
    "withholds": Kind(begin=words.withhold),
    "lies": Kind(words.lie, begin=words.twist),
    "future": Kind(logs.write_ahead),
    "garbage": Kind(noise.babble),
}

__all__ = ["KINDS", "Kind"]
