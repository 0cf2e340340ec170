"""
Overlays: who is told of whom, and so which links there are.

On `full` every pair is linked, as nodes do up to sixteen; hosts tell each other where they listen.
All others keep the links that they are given, as nodes of a larger mesh do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from simulations.host import Host

Edges = list[tuple[int, int]]

#: Links of a host on a sparse overlay, on average. Source: HyParView's active view for 10,000 nodes
#: is 5, the mesh of Enes et al. (ICDE 2019) has 4.
DEGREE: Final = 4
#: Groups of the overlay of clusters, and links between two neighbouring ones.
CLUSTERS: Final = 3
BRIDGES: Final = 2


def full(count: int, _random: Random) -> Edges:
    """Every pair."""
    return [(one, two) for one in range(count) for two in range(one)]


def sparse(count: int, random: Random, *, degree: int = DEGREE) -> Edges:
    """A ring, which keeps it in one piece, and random chords."""
    edges = {(number, (number + 1) % count): None for number in range(count)} if count > 2 else {}
    edges = edges or dict.fromkeys(full(count, random))
    wanted = min(count * degree // 2, count * (count - 1) // 2)
    while len(edges) < wanted:
        one, two = random.randrange(count), random.randrange(count)
        if one != two and (one, two) not in edges and (two, one) not in edges:
            edges[one, two] = None
    return list(edges)


def tree(count: int, random: Random) -> Edges:
    """Each is linked to one that came before it: any one link less, and it falls apart."""
    return [(number, random.randrange(number)) for number in range(1, count)]


def clusters(count: int, random: Random) -> Edges:
    """Groups in which every pair is linked, in a ring with a few bridges between two of them."""
    groups = [list(range(at, count, CLUSTERS)) for at in range(min(CLUSTERS, count))]
    edges = {(one, two): None for group in groups for one in group for two in group if two < one}
    for at in range(len(groups) - 1):
        for _ in range(BRIDGES):
            edges[random.choice(groups[at]), random.choice(groups[at + 1])] = None
    return list(edges)


OVERLAYS: Final[dict[str, Callable[[int, Random], Edges]]] = {
    "full": full,
    "sparse": sparse,
    "tree": tree,
    "clusters": clusters,
}
#: One of them by the seed; a full one costs as much as several others.
DRAWN: Final = "drawn"
_WEIGHTS: Final = (1, 4, 2, 3)


def edges_of(name: str, count: int, seed: int) -> Edges | None:
    """The links of the overlay *name*; None for `full`, on which hosts find each other."""
    random = Random(seed ^ 0x0E4A)
    if name == DRAWN:
        name = random.choices(list(OVERLAYS), _WEIGHTS)[0]
    return None if name == "full" else OVERLAYS[name](count, random)


def are_connected(hosts: Sequence[Host]) -> bool:
    """Whether *hosts* reach each other by the addresses they were told, without anybody else."""
    by_address = {host.address: host for host in hosts}
    near: dict[int, list[Host]] = {host.number: [] for host in hosts}
    for host in hosts:
        for address in host.hints:
            other = by_address.get(address)
            if other is not None:
                near[host.number].append(other)
                near[other.number].append(host)
    reached = {hosts[0].number}
    waiting = [hosts[0]]
    while waiting:
        for other in near[waiting.pop().number]:
            if other.number not in reached:
                reached.add(other.number)
                waiting.append(other)
    return len(reached) == len(hosts)
