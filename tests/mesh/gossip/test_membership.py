"""Membership: whom it dials and when, one link per pair, what it remembers."""

from __future__ import annotations

from random import Random

import pytest

from mesh.core.effects import Connect, Disconnect, Effect, Persist
from mesh.core.inputs import Address, DialFailed, Found, LinkClosed, LinkOpened, Now, Tick
from mesh.core.limits import (
    ADDRESSES_MAX,
    LINKS_MAX,
    PEERS_MAX,
    REDIAL_MS_MAX,
    REDIAL_MS_MIN,
)
from mesh.core.records import PutPeer
from mesh.gossip.limits import (
    DIAL_MS_MAX,
    DIALS_MAX,
    HINTS_MAX,
    OWN_ADDRESSES_MAX,
    PEER_BYTES_MAX,
)
from mesh.gossip.membership import Membership
from mesh.gossip.targets import Target, decode_target

ME, LOW, HIGH = b"m" * 32, b"a" * 32, b"z" * 32
HERE: Address = ("10.0.0.1", 7001)
THERE: Address = ("10.0.0.2", 7001)


class Even(Random):
    """No jitter: the middle of the range."""

    def random(self) -> float:
        return 0.5


def at(ms: int) -> Now:
    return Now(ms, 1_000_000 + ms)


def remembered(node: bytes, *addresses: Address, name: str = "") -> tuple[bytes, bytes]:
    target = Target(node, 0, name)
    for address in addresses:
        target.add(address)
    return node, target.encode()


def membership(*peers: tuple[bytes, bytes]) -> Membership:
    return Membership(ME, peers, Even())


def opened(
    link: int, peer: bytes, *, outbound: bool = False, address: Address | None = None
) -> LinkOpened:
    return LinkOpened(link, peer, outbound, address, b"h" * 32)


def states(machine: Membership) -> list[str]:
    return [view.state for view in machine.peers_view()]


def test_known_peers_are_dialled_at_start() -> None:
    machine = membership(remembered(LOW, HERE), remembered(HIGH, THERE))
    assert machine.deadline == 0
    assert machine.handle(Tick(), at(0)) == [Connect(HERE, LOW), Connect(THERE, HIGH)]
    assert machine.handle(Tick(), at(0)) == []
    assert states(machine) == ["dialing", "dialing"]


def test_back_off_doubles_to_its_bound_and_goes_on_for_ever() -> None:
    machine = membership(remembered(LOW, HERE))
    now, pauses = 0, []
    for _ in range(9):
        assert machine.handle(Tick(), at(now)) == [Connect(HERE, LOW)]
        assert machine.handle(DialFailed(HERE, "refused"), at(now)) == []
        assert machine.deadline is not None
        pauses.append(machine.deadline - now)
        now = machine.deadline
    assert pauses == [500, 1000, 2000, 4000, 5000, 5000, 5000, 5000, 5000]
    assert machine.peers_view()[0].last_error == "refused"


def test_jitter_stays_within_a_quarter() -> None:
    target = Target(LOW, 0, failures=100)
    random = Random(1)
    pauses = []
    for _ in range(500):
        target.pause(0, random)
        pauses.append(target.next_ms)
    assert min(pauses) >= REDIAL_MS_MAX * 3 // 4
    assert max(pauses) <= REDIAL_MS_MAX * 5 // 4
    assert len(set(pauses)) > 100


def test_every_address_is_tried_before_a_pause() -> None:
    machine = membership(remembered(LOW, HERE, THERE))
    assert machine.handle(Tick(), at(0)) == [Connect(HERE, LOW)]
    assert machine.handle(DialFailed(HERE, "refused"), at(3)) == [Connect(THERE, LOW)]
    assert machine.handle(DialFailed(THERE, "refused"), at(6)) == []
    assert machine.deadline == 6 + REDIAL_MS_MIN


def test_the_address_that_worked_is_tried_first() -> None:
    machine = membership(remembered(LOW, HERE, THERE))
    machine.handle(Tick(), at(0))
    machine.handle(DialFailed(HERE, "refused"), at(0))
    machine.handle(opened(1, LOW, outbound=True, address=THERE), at(1))
    machine.accepted(1, (), "low", at(2))
    machine.handle(LinkClosed(1, "silence"), at(3))
    assert machine.handle(Tick(), at(3 + REDIAL_MS_MIN)) == [Connect(THERE, LOW)]


def test_success_resets_the_back_off_and_a_refused_hello_does_not() -> None:
    machine = membership(remembered(LOW, HERE))
    now = 0
    for link in range(3):
        machine.handle(Tick(), at(now))
        machine.handle(opened(link, LOW, outbound=True, address=HERE), at(now))
        machine.handle(LinkClosed(link, "not a member"), at(now))
        assert machine.deadline is not None
        now = machine.deadline
    assert now == 500 + 1000 + 2000
    machine.handle(Tick(), at(now))
    machine.handle(opened(9, LOW, outbound=True, address=HERE), at(now))
    machine.accepted(9, (), "", at(now))
    assert states(machine) == ["connected"]
    assert machine.deadline is None
    machine.handle(LinkClosed(9, "gone"), at(now))
    assert machine.deadline == now + REDIAL_MS_MIN


def test_a_fresh_hint_ends_the_pause_but_not_in_a_burst() -> None:
    machine = membership(remembered(LOW, HERE))
    now = 0
    for _ in range(8):
        machine.handle(Tick(), at(now))
        machine.handle(DialFailed(HERE, "refused"), at(now))
        tried, now = now, machine.deadline or 0
    assert now - tried == REDIAL_MS_MAX
    assert machine.handle(Found(HERE, "mdns", LOW), at(tried + 1)) == []
    assert machine.deadline == tried + REDIAL_MS_MIN
    assert machine.handle(Found(HERE, "mdns", LOW), at(tried + 600)) == [Connect(HERE, LOW)]
    machine.handle(DialFailed(HERE, "refused"), at(tried + 600))
    assert machine.deadline == tried + 600 + REDIAL_MS_MIN


def refuse(machine: Membership, link: int, now_ms: int) -> int:
    """The peer's hello is accepted, and then it says goodbye; until when the next dial waits."""
    machine.handle(Tick(), at(now_ms))
    machine.handle(opened(link, LOW, outbound=True, address=HERE), at(now_ms))
    machine.accepted(link, (HERE,), "low", at(now_ms))
    machine.refused(link)
    machine.handle(LinkClosed(link, "goodbye"), at(now_ms))
    assert machine.deadline is not None
    return machine.deadline - now_ms


def test_who_has_refused_is_not_dialled_sooner_for_hints_of_what_is_known() -> None:
    machine = membership(remembered(LOW, HERE))
    now, pauses = 0, []
    for link in range(6):
        pauses.append(refuse(machine, link, now))
        due = now + pauses[-1]
        # Each node that lets it in tells all others of it, and they tell this one.
        assert machine.learned(LOW, [HERE], at(due - 1)) == []
        assert machine.handle(Found(HERE, "mdns", None), at(due - 1)) == []
        assert machine.deadline == due
        now = due
    assert pauses == [500, 1000, 2000, 4000, 5000, 5000]
    # Only an address that is new is news.
    assert machine.learned(LOW, [THERE], at(now - 1)) == [Connect(HERE, LOW)]


def test_who_was_let_in_since_it_refused_is_dialled_on_a_hint_again() -> None:
    machine = membership(remembered(LOW, HERE))
    now = 0
    for link in range(5):
        now += refuse(machine, link, now)
    machine.handle(Tick(), at(now))
    machine.handle(opened(9, LOW, outbound=True, address=HERE), at(now))
    machine.accepted(9, (HERE,), "low", at(now))
    machine.handle(LinkClosed(9, "silence"), at(now))
    for _ in range(5):
        now = machine.deadline or 0
        machine.handle(Tick(), at(now))
        machine.handle(DialFailed(HERE, "unreachable"), at(now))
    assert machine.learned(LOW, [HERE], at(now + REDIAL_MS_MIN)) == [Connect(HERE, LOW)]


def test_an_unknown_address_becomes_the_peer_that_answers() -> None:
    machine = membership()
    assert machine.handle(Found(HERE, "ticket"), at(0)) == [Connect(HERE, None)]
    assert machine.handle(opened(1, LOW, outbound=True, address=HERE), at(1)) == []
    (view,) = machine.peers_view()
    assert (view.node, view.addresses, view.state, view.link) == (LOW, (HERE,), "dialing", 1)
    # Found again while connected: nothing to do.
    assert machine.handle(Found(HERE, "mdns"), at(2)) == []
    assert machine.handle(Found(HERE, "mdns", LOW), at(2)) == []
    assert len(machine.peers_view()) == 1


@pytest.mark.parametrize(("peer", "mine_stays"), [(HIGH, True), (LOW, False)])
def test_of_a_simultaneous_open_the_lower_initiator_stays(peer: bytes, mine_stays: bool) -> None:
    mine = opened(1, peer, outbound=True, address=HERE)
    theirs = opened(2, peer)
    loser = 2 if mine_stays else 1
    for first, second in ((mine, theirs), (theirs, mine)):
        machine = membership(remembered(peer, HERE))
        machine.handle(Tick(), at(0))
        assert machine.handle(first, at(1)) == []
        assert machine.handle(second, at(2)) == [Disconnect(loser, "duplicate link")]
        assert (machine.holds(1), machine.holds(2)) == (mine_stays, not mine_stays)
        assert machine.link_of(peer) == 3 - loser
        # The end of the duplicate is no failure and no news.
        assert machine.handle(LinkClosed(loser, "duplicate link"), at(3)) == []
        assert machine.peers_view()[0].link == 3 - loser
        assert machine.deadline is None


def test_both_sides_of_a_simultaneous_open_keep_the_same_link() -> None:
    low = Membership(LOW, [remembered(HIGH, THERE)], Even())
    high = Membership(HIGH, [remembered(LOW, HERE)], Even())
    # Link 1 is dialled by the low node, link 2 by the high one; they come up in opposite orders.
    low.handle(opened(2, HIGH), at(0))
    low.handle(opened(1, HIGH, outbound=True, address=THERE), at(0))
    high.handle(opened(1, LOW), at(0))
    high.handle(opened(2, LOW, outbound=True, address=HERE), at(0))
    assert low.link_of(HIGH) == high.link_of(LOW) == 1


def test_a_dial_that_fails_beside_a_link_is_no_error() -> None:
    machine = membership(remembered(LOW, HERE))
    machine.handle(Tick(), at(0))
    machine.handle(opened(1, LOW), at(1))
    machine.accepted(1, (), "", at(1))
    assert machine.handle(DialFailed(HERE, "refused"), at(2)) == []
    (view,) = machine.peers_view()
    assert (view.state, view.last_error, machine.deadline) == ("connected", "", None)


def test_a_peer_that_dials_again_has_given_up_its_older_link() -> None:
    machine = membership()
    machine.handle(opened(1, LOW), at(0))
    machine.accepted(1, (), "", at(0))
    assert machine.handle(opened(2, LOW), at(9)) == [Disconnect(1, "duplicate link")]
    assert machine.link_of(LOW) == 2
    assert states(machine) == ["dialing"]


def test_it_never_dials_itself_again() -> None:
    machine = membership(remembered(LOW, HERE, THERE))
    assert machine.handle(Tick(), at(0)) == [Connect(HERE, LOW)]
    assert machine.handle(opened(1, ME, outbound=True, address=HERE), at(1)) == [
        Disconnect(1, "own address"),
        Connect(THERE, LOW),
    ]
    assert machine.handle(opened(2, ME), at(1)) == [Disconnect(2, "own address")]
    assert machine.handle(Found(HERE, "mdns"), at(2)) == []
    assert machine.handle(Found(HERE, "mdns", HIGH), at(2)) == []
    assert [view.addresses for view in machine.peers_view()] == [(THERE,)]


def test_finding_oneself_is_not_a_peer() -> None:
    machine = membership()
    assert machine.handle(Found(HERE, "mdns", ME), at(0)) == []
    assert machine.handle(Found(HERE, "ticket"), at(0)) == []
    assert machine.peers_view() == ()


def test_an_accepted_peer_is_remembered_and_comes_back() -> None:
    machine = membership()
    machine.handle(Found(HERE, "ticket"), at(0))
    machine.handle(opened(1, LOW, outbound=True, address=HERE), at(5))
    (effect,) = machine.accepted(1, [THERE], "alice", at(6))
    assert isinstance(effect, Persist)
    (record,) = effect.records
    assert isinstance(record, PutPeer)
    target = decode_target(LOW, record.data, 1)
    assert target is not None
    assert (target.name, target.last_seen_ms) == ("alice", 1_000_006)
    assert target.addresses == {HERE: 1_000_005, THERE: 0}
    again = membership((record.node, record.data))
    assert again.handle(Tick(), at(0)) == [Connect(HERE, LOW)]
    assert again.peers_view()[0].name == "alice"


def test_the_time_of_parting_is_remembered() -> None:
    machine = membership(remembered(LOW, HERE))
    machine.handle(opened(1, LOW), at(0))
    machine.accepted(1, (), "", at(0))
    (effect,) = machine.handle(LinkClosed(1, "gone"), at(60_000))
    assert isinstance(effect, Persist)
    assert machine.peers_view()[0].last_seen_ms == 1_060_000


def test_nobody_is_remembered_before_its_hello_is_accepted() -> None:
    machine = membership()
    assert machine.handle(opened(1, LOW), at(0)) == []
    assert machine.handle(LinkClosed(1, "not a member"), at(1)) == []
    assert machine.peers_view() == ()


def test_a_forgotten_peer_is_not_dialled() -> None:
    machine = membership(remembered(LOW, HERE))
    assert machine.forget(LOW) == [Persist((PutPeer(LOW, b""),))]
    assert machine.forget(LOW) == []
    assert machine.handle(Tick(), at(0)) == []
    assert machine.peers_view() == ()


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x94\x02\xa0\x00\x90", b"x" * 5000])
def test_damaged_records_are_passed_over(data: bytes) -> None:
    assert membership((LOW, data)).peers_view() == ()


def test_a_lost_dial_does_not_stop_the_redialling() -> None:
    machine = membership(remembered(LOW, HERE))
    machine.handle(Tick(), at(0))
    assert machine.deadline == DIAL_MS_MAX
    assert machine.handle(Tick(), at(DIAL_MS_MAX)) == []
    assert machine.deadline == DIAL_MS_MAX + REDIAL_MS_MIN


def address(index: int) -> Address:
    return (f"10.1.{index // 256}.{index % 256}", 7001)


def test_dials_hints_links_and_peers_are_bounded() -> None:
    machine = membership()
    effects: list[Effect] = []
    for index in range(3 * HINTS_MAX):
        effects += machine.handle(Found(address(index), "mdns"), at(0))
    assert len(effects) == DIALS_MAX
    assert len(machine.peers_view()) <= HINTS_MAX + DIALS_MAX
    for link in range(LINKS_MAX):
        assert machine.handle(opened(link, link.to_bytes(32, "big")), at(0)) == []
    # Of members: one that has shown no grant would make room (tests/attack/test_strangers.py).
    for link in range(LINKS_MAX):
        machine.accepted(link, (), "", at(0))
    assert machine.handle(opened(999, HIGH), at(0)) == [Disconnect(999, "too many links")]
    assert machine.handle(Tick(), at(5)) == []


def test_own_addresses_are_bounded_and_the_oldest_is_dialled_again() -> None:
    machine = membership()
    for index in range(OWN_ADDRESSES_MAX + 1):
        machine.handle(opened(index, ME, outbound=True, address=address(index)), at(0))
    assert machine.handle(Found(address(1), "mdns"), at(1)) == []
    assert machine.handle(Found(address(0), "mdns"), at(1)) == [Connect(address(0), None)]


def test_a_hello_of_a_link_that_is_gone_is_remembered_of_nobody() -> None:
    machine = membership()
    machine.handle(opened(1, LOW), at(0))
    machine.handle(LinkClosed(1, "gone"), at(1))
    before = machine.peers_view()
    assert machine.accepted(1, (HERE,), "low", at(2)) == []
    assert machine.peers_view() == before


def test_the_peer_not_seen_for_the_longest_makes_room() -> None:
    peers = [remembered(index.to_bytes(32, "big"), HERE) for index in range(PEERS_MAX)]
    machine = membership(*peers)
    machine.handle(opened(1, HIGH), at(0))
    (effect,) = machine.accepted(1, (), "", at(0))
    assert isinstance(effect, Persist)
    assert effect.records[0] == PutPeer(bytes(32), b"")
    assert len(machine.peers_view()) == PEERS_MAX


def test_addresses_of_a_peer_are_bounded_and_fit_their_record() -> None:
    target = Target(LOW, 0, "n" * 64)
    target.add(HERE, 5)
    for index in range(50):
        target.add(("h" * 250 + str(index), 65_535))
    assert len(target.addresses) == ADDRESSES_MAX
    assert HERE in target.addresses
    assert len(target.encode()) <= PEER_BYTES_MAX
    assert decode_target(LOW, target.encode(), 0) is not None
