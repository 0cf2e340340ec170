"""P1: the same set of entries is the same state, in whatever order and however often it came."""

from __future__ import annotations

from itertools import permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mesh.replica.checks import check_against, deliver, observer, oracle_of, situation
from tests.mesh.replica.hand import hand, put
from tests.mesh.replica.histories import FUTURE_MS, history
from tests.mesh.replica.oracle import shown
from tests.mesh.replica.stage import Stage

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


def test_equal_stamps_are_settled_by_author_seq_and_index_and_not_by_arrival() -> None:
    stage = Stage()
    carol = hand(stage.mesh, "carol")
    stamp = stage.first.header.hlc + 10
    high, low = sorted((stage.bob, carol), key=lambda by: by.author, reverse=True)
    grant = stage.root.grant(carol)
    writes = [
        low.data(put(stage.task, "f", "low"), put(stage.task, "g", "low"), hlc=stamp),
        high.data(put(stage.task, "f", "high"), hlc=stamp),
        low.data(put(stage.task, "g", "3", age=1), hlc=stamp + 1),
        low.data(put(stage.task, "g", "4", age=2), put(stage.task, "g", "5", age=2)),
    ]
    hashes = set()
    for order in permutations(range(len(writes))):
        node = observer(stage.mesh)
        node.receive([*stage.node.log()[1:], grant])
        for at in [*order, *order]:
            node.receive([writes[at]])
        state = shown(node.replica)[stage.task]
        values = {name: value for _, name, _, (_, _, value) in state[2][:2]}
        assert values == {"f": "high", "g": "5"}
        hashes.add(node.replica.state_hash())
    assert len(hashes) == 1


@pytest.mark.parametrize("number", range(3))
def test_long_histories_too(number: int) -> None:
    told = history(number, steps=120)
    node = observer(told.mesh)
    deliver(node, told.entries, told.proofs, Random(number))
    check_against(oracle_of(told, node), node)
