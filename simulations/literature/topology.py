"""
The two overlays of the experiment: a tree of 15 nodes, and a mesh in which each has 4 neighbours.

Source: Enes, Almeida, Baquero, Leitao: Efficient Synchronization of State-based CRDTs, ICDE 2019,
    section V, figure 6; the lists are those of the authors' `exp_overlay.erl`,
    https://github.com/vitorenesduarte/exp.
"""

from typing import Final, TypeAlias

__all__ = ["MESH", "NODES", "TOPOLOGIES", "TREE", "Topology", "links"]

Topology: TypeAlias = tuple[tuple[int, ...], ...]
"""The neighbours of each node, by its number."""

NODES: Final = 15

TREE: Final[Topology] = (
    (1, 8, 13),
    (0, 6),
    (5,),
    (10,),
    (5,),
    (4, 6, 2),
    (1, 10, 5),
    (13,),
    (9, 0, 14),
    (8,),
    (12, 3, 6),
    (13,),
    (10,),
    (11, 0, 7),
    (8,),
)

MESH: Final[Topology] = (
    (14, 11, 4, 1),
    (2, 5, 0, 12),
    (1, 13, 6, 3),
    (7, 14, 2, 4),
    (8, 0, 5, 3),
    (9, 6, 1, 4),
    (5, 7, 10, 2),
    (3, 11, 6, 8),
    (4, 9, 12, 7),
    (5, 8, 10, 13),
    (11, 6, 9, 14),
    (10, 7, 0, 12),
    (13, 11, 1, 8),
    (12, 2, 9, 14),
    (0, 3, 13, 10),
)

TOPOLOGIES: Final = {"tree": TREE, "mesh": MESH}


def links(topology: Topology) -> tuple[tuple[int, int], ...]:
    """Each link once, as (lower, higher), in order."""
    return tuple(
        (node, other)
        for node, others in enumerate(topology)
        for other in sorted(others)
        if node < other
    )
