"""
How long a message is under way: a local network, regions of the world, or a heavy tail.

Each model is a function of the two regions and of the world's one source of randomness.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Final

from attrs import frozen

#: One way between two machines of one local network, in µs. Source: 0.2–0.5 ms round trips of
#: switched Ethernet, with a little for the sockets.
LAN_US: Final = (100, 350)
#: One message in this many meets a busy machine and takes up to a hundred times as long.
LAN_SPIKE_ONE_IN: Final = 500
#: Around a region's figure, in per cent, evenly.
WAN_JITTER_PERCENT: Final = 10
#: Shape of the heavy tail (Pareto): the mean exists, the variance does not. A guess.
TAIL_SHAPE: Final = 1.5
#: The longest that anything is under way, in µs; TCP has given up long before.
LATENCY_US_MAX: Final = 30_000_000

#: One way between regions, in ms: half of typical round trips between public clouds' regions.
WAN_MS: Final[Mapping[frozenset[str], float]] = {
    frozenset(("us-east", "us-west")): 32.0,
    frozenset(("us-east", "eu")): 42.0,
    frozenset(("us-west", "eu")): 70.0,
    frozenset(("us-east", "asia")): 105.0,
    frozenset(("us-west", "asia")): 55.0,
    frozenset(("eu", "asia")): 110.0,
}
REGIONS: Final = ("us-east", "us-west", "eu", "asia")

Latency = Callable[[str, str, Random], int]


def lan(_source: str, _target: str, random: Random) -> int:
    """A fraction of a millisecond, now and then a spike."""
    low, high = LAN_US
    base = low + int((high - low) * random.random())
    if random.random() * LAN_SPIKE_ONE_IN < 1:
        base += int(100 * base * random.random())
    return base


def wan(source: str, target: str, random: Random) -> int:
    """The matrix of regions, with jitter; within a region it is a local network."""
    one_way_ms = WAN_MS.get(frozenset((source, target)))
    if one_way_ms is None:
        return lan(source, target, random)
    spread = 1 + (2 * random.random() - 1) * WAN_JITTER_PERCENT / 100
    return int(one_way_ms * 1000 * spread)


@frozen
class HeavyTail:
    """Mostly *median_us*, and a tail that is long: a crowded radio network."""

    median_us: int = 5_000

    def __call__(self, _source: str, _target: str, random: Random) -> int:
        # A Pareto variate has its median at 2 ** (1 / shape) times its least value.
        least = self.median_us / 2 ** (1 / TAIL_SHAPE)
        return min(LATENCY_US_MAX, int(least * (1 - random.random()) ** (-1 / TAIL_SHAPE)))


MODELS: Final[dict[str, Latency]] = {"lan": lan, "wan": wan, "heavy-tail": HeavyTail()}
