"""Counters: what a reset takes back, and how totals join."""

from crdt.counters import Counter, PNCounter


def test_reset_spares_a_concurrent_increment() -> None:
    base = Counter().increment(replica=b"x", amount=5)
    reset = base.join(base.reset())
    # The same replica counts on elsewhere: its first increment is gone all the same.
    counted = base.join(base.increment(replica=b"x", amount=-2))
    assert (reset.value, counted.value, reset.join(counted).value) == (0, 3, -2)


def test_totals_of_a_replica_do_not_add_up_twice() -> None:
    up = PNCounter().increment(replica=b"x", amount=2)
    more = up.join(up.increment(replica=b"x", amount=3))
    assert up.join(more).join(up).value == 5


def test_counting_by_nothing_is_bottom() -> None:
    assert PNCounter().increment(replica=b"x", amount=0) == PNCounter()
    down = PNCounter().increment(replica=b"x", amount=-4)
    assert (down.value, dict(down.totals)) == (-4, {b"x": (0, 4)})


def test_a_delta_has_nothing_of_a_total_that_the_other_has() -> None:
    here = PNCounter({b"x": (3, 5), b"y": (7, 1), b"z": (2, 2)})
    there = PNCounter({b"x": (3, 2), b"y": (4, 1), b"z": (2, 2)})
    assert here.delta_since(there) == PNCounter({b"x": (0, 5), b"y": (7, 0)})
