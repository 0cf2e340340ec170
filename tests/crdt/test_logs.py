"""The append log: its order, and its names."""

from crdt.causal import Dot
from crdt.logs import AppendLog


def test_a_late_append_takes_its_place_by_stamp() -> None:
    log = AppendLog()
    for replica, stamp, value in [(b"y", 5, "last"), (b"x", 1, "first"), (b"y", 3, "middle")]:
        log = log.join(log.append(replica=replica, stamp=stamp, value=value))
    assert log.values() == ("first", "middle", "last")


def test_equal_appends_are_kept_apart_and_in_order() -> None:
    log = AppendLog()
    for value in ("same", "same", "other"):
        log = log.join(log.append(replica=b"x", stamp=1, value=value))
    assert log.values() == ("same", "same", "other")


def test_two_appends_under_one_dot_still_converge() -> None:
    one = AppendLog().append(replica=b"x", stamp=1, value="a")
    two = AppendLog().append(replica=b"x", stamp=1, value="b")
    assert list(one.appends) == [Dot(b"x", 1)]
    assert one.join(two) == two.join(one)
    assert one.leq(one.join(two))
    assert one.join(two).values() == ("b",)
