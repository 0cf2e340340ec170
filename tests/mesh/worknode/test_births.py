"""Walks up birth paths: they end where the naive ones do, and what they remember is bounded."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from mesh.worknode import births as module
from mesh.worknode.births import Birth, Births, Stops

ROOT = bytes(16)
TOP = frozenset({ROOT})


def name(number: int) -> bytes:
    return number.to_bytes(16, "big")


def below(parent: int) -> Birth:
    return Birth(name(parent), 1, b"key")


def chain(depth: int) -> dict[bytes, Birth]:
    """Births 1 to *depth*, each below the one before, the first below the root."""
    return {name(number): below(number - 1) for number in range(1, depth + 1)}


class Counting(dict[bytes, Birth]):
    """Births that count how often they are looked up."""

    looked_up = 0

    def get(self, key: bytes, default: object = None) -> object:  # type: ignore[override]
        self.looked_up += 1
        return super().get(key, default)


def naive(births: Births, node: bytes, stop: frozenset[bytes]) -> tuple[bool, bytes | None]:
    while node not in stop:
        if node == ROOT:
            return False, None
        if node not in births.of:
            return False, node
        node = births.of[node].parent
    return True, None


@pytest.mark.parametrize("seed", range(20))
def test_a_walk_ends_where_the_naive_one_does(seed: int) -> None:
    random = Random(seed)
    known = {}
    for number in range(1, 400):
        # Mostly chains, so that walks are long.
        parent = number - 1 if random.random() < 0.97 else random.randrange(number)
        known[name(number)] = below(parent)
    order = list(known)
    random.shuffle(order)
    births = Births(ROOT, {})
    of = births.of
    assert isinstance(of, dict)
    stops = Stops({ROOT})
    scopes = [
        frozenset(random.sample(order, random.randrange(1, 4))) | random.choice((TOP, frozenset()))
        for _ in range(4)
    ]
    for node in order:
        of[node] = known[node]
        if random.random() < 0.02:
            stops.add(random.sample(order, 2), births)
        for asked in random.sample(order, 5):
            for stop in scopes:
                assert births.missing_ancestor(asked, stop) == naive(births, asked, stop)
            found = stops.missing_ancestor(asked, births)
            assert found == naive(births, asked, frozenset(stops.nodes))


def test_a_chain_with_more_steps_than_may_be_remembered_is_walked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before, one of 270,000 was walked whole at each question: 130 ms."""
    monkeypatch.setattr(module, "_ENDS_MAX", 300)
    depth = 9_000
    births = Births(ROOT, Counting(chain(depth)))
    assert isinstance(births.of, Counting)
    for _ in range(1_000):
        assert births.missing_ancestor(name(depth), TOP) == (True, None)
    assert births.of.looked_up < depth + 100 * 1_000


@pytest.mark.parametrize("pick", [lambda n, _: n, lambda n, end: end + 1 - n, None])
def test_wherever_walks_begin_a_chain_costs_about_its_length(
    pick: Callable[[int, int], int] | None,
) -> None:
    depth, random = 4_000, Random(1)
    births = Births(ROOT, Counting(chain(depth)))
    assert isinstance(births.of, Counting)
    for number in range(1, depth + 1):
        births.missing_ancestor(
            name(pick(number, depth) if pick else random.randint(1, depth)), TOP
        )
    assert births.of.looked_up < 80 * depth
    assert sum(map(len, births._ends.values())) <= depth // 15


def test_a_chain_that_is_learned_from_below_is_not_walked_at_each_birth() -> None:
    depth, random = 4_000, Random(1)
    births = Births(ROOT, Counting())
    assert isinstance(births.of, Counting)
    for number in range(depth, 0, -1):
        births.of[name(number)] = below(number - 1)
        missing = (True, None) if number == 1 else (False, name(number - 1))
        for asked in (depth, random.randint(number, depth)):
            assert births.missing_ancestor(name(asked), TOP) == missing
    assert births.of.looked_up < 2 * 80 * depth


@pytest.mark.parametrize("width", [1, 64])
def test_what_is_remembered_of_walks_to_ever_new_places_is_bounded(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setattr(module, "_ENDS_MAX", 1_000)
    births = Births(ROOT, chain(200))
    for number in range(1_000):
        stop = frozenset(name(10_000 + number * width + at) for at in range(width))
        births.missing_ancestor(name(200), stop)
        held = sum(len(stop) + len(ends) for stop, ends in births._ends.items())
        assert held <= 1_000 + width + 20
        assert len(births._ends) <= 260


def test_what_is_remembered_of_walks_to_stops_that_are_added_to_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_ENDS_MAX", 100)
    births, stops = Births(ROOT, chain(9_000)), Stops({ROOT})
    for number in range(40, 9_001, 40):
        assert stops.missing_ancestor(name(number), births) == (True, None)
        assert len(stops.ends) <= 120
    assert not births._ends


def test_a_stop_that_is_added_ends_walks_that_went_past_it() -> None:
    births, stops = Births(ROOT, chain(200)), Stops(set())
    assert stops.missing_ancestor(name(200), births) == (False, None)
    stops.add([name(100)], births)
    assert stops.missing_ancestor(name(200), births) == (True, None)


def test_stops_that_are_known_or_not_born_leave_what_is_remembered() -> None:
    births, stops = Births(ROOT, chain(200)), Stops({name(100)})
    assert stops.missing_ancestor(name(200), births) == (True, None)
    kept = dict(stops.ends)
    assert kept
    stops.add([name(100), name(1_000)], births)
    assert stops.ends == kept
    assert stops.nodes == {name(100), name(1_000)}
