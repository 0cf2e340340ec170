"""Handshakes begin at a bounded pace, and no address can use up that of another."""

from attrs import define

from mesh.core.limits import REDIAL_MS_MAX
from mesh.transport.pace import (
    HANDSHAKE_BURST_LOOPBACK_MAX,
    HANDSHAKE_BURST_MAX,
    HANDSHAKE_BURST_PER_HOST_MAX,
    HANDSHAKE_HOSTS_MAX,
    HANDSHAKE_RATE_LOOPBACK_MAX,
    HANDSHAKE_RATE_MAX,
    HANDSHAKE_RATE_PER_HOST_MAX,
    HandshakePace,
    TokenBucket,
)


@define
class Clock:
    """Seconds, as the test says."""

    s: float = 1_000.0

    def __call__(self) -> float:
        return self.s


def host(number: int) -> str:
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(rate=10, burst=3)
    for _ in range(3):
        assert bucket.has_one(0.0)
        bucket.take()
    assert not bucket.has_one(0.0)
    assert not bucket.has_one(0.09)
    assert bucket.has_one(0.11)
    bucket.take()
    assert not bucket.has_one(0.11)


def test_a_bucket_never_has_more_than_its_burst() -> None:
    bucket = TokenBucket(rate=10, burst=2)
    assert bucket.has_one(1e9)
    for _ in range(2):
        bucket.take()
    assert not bucket.has_one(1e9)


def test_a_clock_that_stands_still_or_goes_back_gives_nothing() -> None:
    bucket = TokenBucket(rate=10, burst=1)
    assert bucket.has_one(5.0)
    bucket.take()
    assert not bucket.has_one(4.0)
    assert not bucket.has_one(5.0)
    assert bucket.has_one(5.2)


def test_one_address_gets_its_burst_and_not_one_more() -> None:
    clock = Clock()
    pace = HandshakePace(clock)
    assert all(pace.admits("10.0.0.1") for _ in range(HANDSHAKE_BURST_PER_HOST_MAX))
    assert not pace.admits("10.0.0.1")
    assert pace.refused == 1
    assert pace.admits("10.0.0.2")
    clock.s += 1.001
    assert sum(pace.admits("10.0.0.1") for _ in range(100)) == HANDSHAKE_RATE_PER_HOST_MAX


def test_all_addresses_together_get_their_burst_and_not_one_more() -> None:
    clock = Clock()
    pace = HandshakePace(clock)
    assert all(pace.admits(host(n)) for n in range(HANDSHAKE_BURST_MAX))
    assert not pace.admits(host(HANDSHAKE_BURST_MAX))
    clock.s += 1.001
    assert sum(pace.admits(host(1_000 + n)) for n in range(1_000)) == HANDSHAKE_RATE_MAX


def test_this_machine_has_a_pace_of_its_own_which_leaves_room_for_others() -> None:
    clock = Clock()
    pace = HandshakePace(clock)
    here = ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1"]
    let_in = sum(pace.admits(here[n % 4]) for n in range(10 * HANDSHAKE_BURST_LOOPBACK_MAX))
    assert let_in == HANDSHAKE_BURST_LOOPBACK_MAX
    assert pace.admits("10.0.0.1")
    clock.s += 1.001
    assert sum(pace.admits("::1") for _ in range(1_000)) == HANDSHAKE_RATE_LOOPBACK_MAX


def test_a_flood_from_one_address_costs_nobody_else_a_token() -> None:
    """An honest node that dials as its back-off says is always let in."""
    clock = Clock()
    pace = HandshakePace(clock)
    for _ in range(60):
        assert not all(pace.admits("10.9.9.9") for _ in range(5_000))
        assert pace.admits("10.0.0.1")
        clock.s += 0.5


def test_many_nodes_behind_one_address_are_all_let_in_before_the_second_longest_pause() -> None:
    """Sixty nodes behind a router, each of which dials again after the longest pause."""
    clock = Clock()
    pace = HandshakePace(clock)
    outside = 60
    for _ in range(2):
        outside -= sum(pace.admits("192.0.2.1") for _ in range(outside))
        clock.s += REDIAL_MS_MAX / 1000
    assert outside == 20
    assert all(pace.admits("192.0.2.1") for _ in range(outside))


def test_the_table_of_addresses_is_bounded() -> None:
    clock = Clock()
    pace = HandshakePace(clock)
    for n in range(HANDSHAKE_HOSTS_MAX):
        assert pace.admits(host(n))
        clock.s += 1 / HANDSHAKE_RATE_MAX + 1e-6
    assert len(pace) == HANDSHAKE_HOSTS_MAX
    assert pace.admits(host(HANDSHAKE_HOSTS_MAX))
    assert len(pace) == HANDSHAKE_HOSTS_MAX


def test_who_is_refused_takes_no_room_in_the_table() -> None:
    pace = HandshakePace(Clock())
    for n in range(10 * HANDSHAKE_HOSTS_MAX):
        pace.admits(host(n))
    assert len(pace) == HANDSHAKE_BURST_MAX


def test_no_other_addresses_make_an_empty_bucket_forgotten() -> None:
    """Whoever has many addresses gains nothing by pushing one of them out of the table."""
    clock = Clock()
    pace = HandshakePace(clock)
    while pace.admits(host(0)):
        pass
    until_full_s = HANDSHAKE_BURST_PER_HOST_MAX / HANDSHAKE_RATE_PER_HOST_MAX
    others = HANDSHAKE_BURST_MAX
    for _ in range(int(until_full_s / 0.1)):
        others += sum(pace.admits(host(100_000 + others + n)) for n in range(100))
        clock.s += 0.1
    assert others < HANDSHAKE_HOSTS_MAX
    assert sum(pace.admits(host(0)) for _ in range(100)) <= HANDSHAKE_BURST_PER_HOST_MAX
