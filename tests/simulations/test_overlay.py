"""Every overlay is one piece, has no link twice, and is the seed's alone."""

from random import Random

import pytest

from simulations.overlay import OVERLAYS, edges_of


@pytest.mark.parametrize("count", [2, 3, 4, 7, 15, 60])
@pytest.mark.parametrize("name", sorted(OVERLAYS))
def test_an_overlay_is_one_piece(name: str, count: int) -> None:
    edges = OVERLAYS[name](count, Random(5))
    assert all(one != two and {one, two} <= set(range(count)) for one, two in edges)
    assert len({frozenset(edge) for edge in edges}) == len(edges)
    reached, waiting = {0}, [0]
    while waiting:
        here = waiting.pop()
        near = {one + two - here for one, two in edges if here in (one, two)} - reached
        reached |= near
        waiting += near
    assert reached == set(range(count))


def test_the_seed_draws_each_of_them() -> None:
    drawn = [edges_of("drawn", 9, seed) for seed in range(60)]
    assert None in drawn
    assert drawn == [edges_of("drawn", 9, seed) for seed in range(60)]
    assert {8, 18} <= {len(edges) for edges in drawn if edges is not None}
