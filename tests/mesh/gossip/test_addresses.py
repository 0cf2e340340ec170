"""Membership: what becomes of an address that another node has taken, and of one among many."""

from __future__ import annotations

from mesh.core.effects import Connect
from mesh.core.inputs import DialFailed, Found, LinkClosed, Tick
from mesh.core.limits import ADDRESSES_MAX
from mesh.gossip.limits import HINTS_MAX
from tests.mesh.gossip.test_membership import (
    HERE,
    HIGH,
    LOW,
    THERE,
    address,
    at,
    membership,
    opened,
    remembered,
)


def test_who_listens_where_another_did_is_called_too() -> None:
    """A lease was given to another machine, or a home got a new key."""
    machine = membership(remembered(LOW, HERE))
    assert machine.handle(Tick(), at(0)) == [Connect(HERE, LOW)]
    assert machine.handle(Found(HERE, "user"), at(1)) == []
    other = DialFailed(HERE, "node zzzz answers", is_other=True)
    assert machine.handle(other, at(2)) == [Connect(HERE, None)]
    machine.handle(opened(1, HIGH, outbound=True, address=HERE), at(3))
    machine.accepted(1, (HERE,), "", at(3))
    # Who was there is still looked for, but whoever is there now is met already.
    now = machine.deadline
    assert now is not None
    assert machine.handle(Tick(), at(now)) == [Connect(HERE, LOW)]
    assert machine.handle(other, at(now + 1)) == []
    assert [view.node for view in machine.peers_view()] == [LOW, HIGH]


def test_who_refuses_where_another_listened_is_not_called_for_ever() -> None:
    machine = membership(remembered(LOW, HERE))
    other = DialFailed(HERE, "node zzzz answers", is_other=True)
    dialled: list[bytes | None] = []
    waiting, now = machine.handle(Tick(), at(0)), 0
    for link in range(1, 9):
        dialled += [effect.node for effect in waiting if isinstance(effect, Connect)]
        if dialled[-1] == LOW:
            waiting = machine.handle(other, at(now))
        else:
            machine.handle(opened(link, HIGH, outbound=True, address=HERE), at(now))
            machine.refused(link)
            waiting = machine.handle(LinkClosed(link, "no member"), at(now))
        if not waiting:
            assert machine.deadline is not None
            now = machine.deadline
            waiting = machine.handle(Tick(), at(now))
    assert dialled[:2] == [LOW, None]
    assert set(dialled[2:]) == {LOW, HIGH}


def test_what_strangers_announce_does_not_push_out_what_was_named() -> None:
    machine = membership()
    assert machine.handle(Found(HERE, "user"), at(0)) == [Connect(HERE, None)]
    assert machine.handle(Found(THERE, "ticket"), at(0)) == [Connect(THERE, None)]
    for named in (HERE, THERE):
        machine.handle(DialFailed(named, "not up yet"), at(1))
    for index in range(2 * HINTS_MAX):
        machine.handle(Found(address(index), "mdns"), at(2))
        machine.handle(DialFailed(address(index), "refused"), at(2))
    views = machine.peers_view()
    assert len(views) <= HINTS_MAX
    assert [view.addresses for view in views[:2]] == [(HERE,), (THERE,)]


def test_whom_a_person_named_stays_named_when_a_stranger_answers_there() -> None:
    machine = membership()
    machine.handle(Found(HERE, "user"), at(0))
    machine.handle(opened(1, HIGH, outbound=True, address=HERE), at(1))
    machine.handle(LinkClosed(1, "not yet a member"), at(2))
    for index in range(2 * HINTS_MAX):
        machine.handle(Found(address(index), "mdns"), at(2))
        machine.handle(DialFailed(address(index), "refused"), at(2))
    assert machine.peers_view()[0].addresses == (HERE,)


def test_what_peers_tell_of_a_peer_does_not_push_out_the_address_that_a_person_named() -> None:
    """It may not have worked yet, and a member can tell of any number that never will."""
    machine = membership()
    machine.handle(Found(HERE, "user", LOW), at(0))
    machine.learned(LOW, [address(index) for index in range(ADDRESSES_MAX + 3)], at(1))
    (view,) = machine.peers_view()
    assert HERE in view.addresses and len(view.addresses) == ADDRESSES_MAX
    # Of those that were only told of, the first make room.
    assert address(ADDRESSES_MAX + 2) in view.addresses and address(0) not in view.addresses


def test_where_a_person_named_all_of_them_what_is_told_finds_no_room() -> None:
    machine = membership()
    named = [address(index) for index in range(ADDRESSES_MAX)]
    for each in named:
        machine.handle(Found(each, "user", LOW), at(0))
    machine.learned(LOW, [HERE], at(1))
    assert set(machine.peers_view()[0].addresses) == set(named)
    # Only another one by a person does: the first makes room.
    machine.handle(Found(HERE, "user", LOW), at(2))
    assert set(machine.peers_view()[0].addresses) == {*named[1:], HERE}


def test_an_address_stays_named_once_it_is_known_who_listens_there() -> None:
    machine = membership()
    machine.handle(Found(HERE, "user"), at(0))
    machine.handle(opened(1, HIGH, outbound=True, address=HERE), at(1))
    machine.learned(HIGH, [(f"10.0.0.{host}", 1) for host in range(2 * ADDRESSES_MAX)], at(2))
    (view,) = machine.peers_view()
    assert view.node == HIGH and HERE in view.addresses
