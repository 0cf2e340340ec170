"""P1: the same set of entries is the same state, in whatever order and however often it came."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mesh.replica.checks import check_against, deliver, observer, oracle_of, situation
from tests.mesh.replica.histories import FUTURE_MS, history

seeds = st.integers(0, 1 << 32)


@given(seeds)
def test_every_order_gives_the_state_of_the_definitions(number: int) -> None:
    told = history(number)
    random = Random(number)
    for _ in range(2):
        node = observer(told.mesh)
        deliver(node, told.entries, told.proofs, random)
        check_against(oracle_of(told, node), node)
        node.tick(FUTURE_MS)
        node.run(node.replica.wake(node.now))
        check_against(oracle_of(told, node), node)


@given(seeds)
def test_a_restart_at_any_time_changes_nothing(number: int) -> None:
    told = history(number)
    random = Random(number)
    node = observer(told.mesh)
    for _ in range(3):
        some = random.sample(told.entries, random.randrange(len(told.entries)))
        deliver(node, some, told.proofs[: random.randrange(4)], random)
        if random.randrange(2):
            node.run(node.replica.snapshot(least=1))
        before = situation(node)
        if random.randrange(2):
            node.reload()
            assert situation(node) == before
        node.tick(random.choice((0, 1000, FUTURE_MS)))
        node.run(node.replica.wake(node.now))
    deliver(node, told.entries, told.proofs, random)
    node.reload()
    check_against(oracle_of(told, node), node)


@pytest.mark.parametrize("number", range(3))
def test_long_histories_too(number: int) -> None:
    told = history(number, steps=120)
    node = observer(told.mesh)
    deliver(node, told.entries, told.proofs, Random(number))
    check_against(oracle_of(told, node), node)
