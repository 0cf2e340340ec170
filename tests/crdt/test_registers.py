"""Registers: who wins, and what survives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.registers import LWWRegister, MVRegister
from tests.crdt.strategies import BOUNDED, few_values

writes = st.builds(
    lambda replica, stamp, value: LWWRegister().write(replica=replica, stamp=stamp, value=value),
    st.sampled_from([b"x", b"y"]),
    st.integers(1, 3),
    few_values,
)


@BOUNDED
@given(writes, writes)
def test_even_repeated_stamps_converge(a: LWWRegister, b: LWWRegister) -> None:
    assert a.join(b) == b.join(a)
    assert a.join(b).encoded == b.join(a).encoded
    assert a.leq(b) or b.leq(a)
    assert LWWRegister().leq(a)


def test_the_later_stamp_wins_then_the_greater_replica() -> None:
    empty = LWWRegister()
    early = empty.write(replica=b"y", stamp=1, value="early")
    late = empty.write(replica=b"x", stamp=2, value="late")
    tie = empty.write(replica=b"y", stamp=2, value="tie")
    assert early.join(late).value == "late"
    assert late.join(tie).value == "tie"
    assert empty.value is None


def test_a_written_none_differs_from_no_write() -> None:
    written = LWWRegister().write(replica=b"x", stamp=1, value=None)
    assert written != LWWRegister()
    assert written.value is None


def test_no_write_has_the_stamp_of_the_register_that_was_never_written() -> None:
    with pytest.raises(AssertionError):
        LWWRegister().write(replica=b"x", stamp=0, value=1)


def test_concurrent_writes_are_all_kept_until_one_sees_them() -> None:
    empty = MVRegister()
    both = empty.write(replica=b"x", value=1).join(empty.write(replica=b"y", value=2))
    assert both.values() == (1, 2)
    settled = both.join(both.write(replica=b"x", value=3))
    assert settled.values() == (3,)
    assert settled.join(both) == settled


def test_clear_spares_a_concurrent_write() -> None:
    base = MVRegister().write(replica=b"x", value=1)
    cleared = base.join(base.clear())
    assert cleared.values() == ()
    assert cleared.join(base.join(base.write(replica=b"y", value=2))).values() == (2,)
