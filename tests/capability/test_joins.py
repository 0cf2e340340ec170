"""Joining by tickets: what an inviter is to pin, and who is told that a use was confirmed."""

from __future__ import annotations

import pytest

from capability.bodies import JOIN, PinRow
from capability.entry import Entry
from capability.permissions import ALL, MEMBER, REVOKE
from capability.verdict import Reason
from tests.capability.story import COUNTS, Log, Mesh, deliver, judged, key, void

EXPIRY_MS = 5_000


@pytest.fixture
def mesh() -> Mesh:
    return Mesh()


def invited(mesh: Mesh, *, uses: int = 2) -> tuple[Log, Log]:
    """Ann, who may do all until `EXPIRY_MS`, and the door that she opens."""
    ann, door = mesh.log("ann"), mesh.log("door")
    mesh.root.grant(ann, exp_ms=EXPIRY_MS)
    ann.grant(door, akind=JOIN, caveats=((10, uses),), exp_ms=EXPIRY_MS)
    return ann, door


def use(door: Log, name: str) -> Entry:
    return door.grant(door.mesh.log(name), exp_ms=EXPIRY_MS)


# What is to be pinned.


def test_every_use_is_to_be_pinned_as_far_as_there_may_be_uses(mesh: Mesh) -> None:
    ann, door = invited(mesh)
    for seq in (1, 2):
        entry = use(door, str(seq))
        row = PinRow(door.author, (seq, entry.id), None)
        assert mesh.ledger().join_keys.pins_wanted(ann.author) == (row,)
        ann.pin(entry)
        assert mesh.ledger().join_keys.pins_wanted(ann.author) == ()
    # The bearer may write on; its inviter need not.
    use(door, "beyond")
    assert mesh.ledger().join_keys.pins_wanted(ann.author) == ()


def test_a_ticket_that_nobody_used_hides_no_other(mesh: Mesh) -> None:
    ann = mesh.log("ann")
    mesh.root.grant(ann)
    doors = sorted((mesh.log(f"door {n}") for n in range(3)), key=lambda door: door.author)
    for door in doors:
        ann.grant(door, akind=JOIN)
    entry = use(doors[1], "guest")
    row = PinRow(doors[1].author, (1, entry.id), None)
    assert mesh.ledger().join_keys.pins_wanted(ann.author) == (row,)


def test_what_a_void_invitation_let_in_is_not_to_be_pinned(mesh: Mesh) -> None:
    ann, door = invited(mesh)
    twin = mesh.log("ann", ann.leaf)
    use(door, "guest")
    ledger = mesh.ledger()
    assert ledger.join_keys.pins_wanted(ann.author)
    deliver(ledger, [twin.pin(mesh.genesis)])
    assert ledger.join_keys.pins_wanted(ann.author) == ()


def test_a_pin_is_made_by_the_grant_by_which_the_key_was_invited(mesh: Mesh) -> None:
    """Others may sign grants to the same key, and an invitation may be void."""
    ann, ben, door = mesh.log("ann"), mesh.log("ben"), mesh.log("door")
    mesh.root.grant(ann, exp_ms=EXPIRY_MS)
    mesh.root.grant(ben)
    ben.grant(door, akind=JOIN)
    mesh.now_ms = EXPIRY_MS
    ann.grant(door, akind=JOIN, exp_ms=EXPIRY_MS)
    second = mesh.root.grant(ann.author)
    ann.grant(door, akind=JOIN, entry={"leaf": second.id})
    use(door, "guest")
    keys = mesh.ledger().join_keys
    assert keys.invited_under(ann.author, door.author) == second.id
    assert keys.invited_under(ben.author, door.author) == ben.leaf


# Who is provisional.


def test_nobody_is_provisional_who_has_not_joined(mesh: Mesh) -> None:
    assert not mesh.ledger().join_keys.provisional(key("stranger"))


def test_a_pin_of_an_earlier_use_does_not_hide_that_of_a_later_one(mesh: Mesh) -> None:
    ann, door = invited(mesh)
    ann.pin(use(door, "first"))
    second = use(door, "second")
    assert mesh.ledger().join_keys.provisional(key("second"))
    ann.pin(second)
    assert not mesh.ledger().join_keys.provisional(key("second"))


def test_a_void_pin_confirms_nobody(mesh: Mesh) -> None:
    ann, door = invited(mesh)
    entry = use(door, "guest")
    pin = ann.pin(entry, ms=EXPIRY_MS)
    assert judged(mesh, pin) == void(Reason.EXPIRED)
    keys = mesh.ledger().join_keys
    assert keys.provisional(key("guest"))
    assert keys.confirmation(entry.id) is None


def test_nobody_confirms_who_may_not_revoke_or_ranks_as_the_door_does(mesh: Mesh) -> None:
    ann, door = invited(mesh)
    entry = use(door, "guest")
    clerk, beside, warden = mesh.log("clerk"), mesh.log("beside"), mesh.log("warden")
    mesh.root.grant(clerk, perms=ALL & ~REVOKE)
    mesh.root.grant(warden)
    ann.grant(beside, exp_ms=EXPIRY_MS)
    clerk.pin(entry)
    beside.pin(entry)
    keys = mesh.ledger().join_keys
    assert keys.provisional(key("guest"))
    assert keys.confirmation(entry.id) is None
    pin = warden.pin(entry)
    keys = mesh.ledger().join_keys
    assert not keys.provisional(key("guest"))
    assert keys.confirmation(entry.id) == pin.id


# The pin that is shown to a guest.


def test_a_use_is_confirmed_by_the_pin_that_names_it(mesh: Mesh) -> None:
    ann, door = invited(mesh)
    first, second = use(door, "first"), use(door, "second")
    keys = mesh.ledger().join_keys
    assert (keys.confirmation(first.id), keys.confirmation(second.id)) == (None, None)
    pin = ann.pin(second)
    keys = mesh.ledger().join_keys
    assert (keys.confirmation(first.id), keys.confirmation(second.id)) == (None, pin.id)
    earlier = ann.pin(first)
    assert mesh.ledger().join_keys.confirmation(first.id) == earlier.id


def test_a_pin_by_whom_it_does_not_bind_is_no_confirmation(mesh: Mesh) -> None:
    _, door = invited(mesh)
    guest = mesh.log("guest")
    entry = door.grant(guest, exp_ms=EXPIRY_MS)
    guest.pin(entry)
    assert mesh.ledger().join_keys.confirmation(entry.id) is None


def test_only_what_a_join_key_granted_is_confirmed(mesh: Mesh) -> None:
    ann, ben = mesh.log("ann"), mesh.log("ben")
    member = mesh.root.grant(ann)
    below = ann.grant(ben)
    lost = mesh.log("ben").grant(mesh.log("cec"), entry={"leaf": key("nowhere")})
    for entry in (member, below):
        mesh.root.pin(entry)
    keys = mesh.ledger().join_keys
    for entry_id in (member.id, below.id, lost.id, key("not held")):
        assert keys.confirmation(entry_id) is None


# From the use of a ticket to a member.


def test_a_ticket_used_twice_is_void_until_the_inviter_pins_one_use(mesh: Mesh) -> None:
    ann, door = mesh.log("ann"), mesh.log("door")
    mesh.root.grant(ann)
    ann.grant(door, akind=JOIN, caveats=((9, MEMBER), (10, 1)))
    thief_door = door.twin()
    guest, thief = mesh.log("guest"), mesh.log("thief")
    use = door.grant(guest, perms=MEMBER)
    guest.data()
    ledger = mesh.ledger()
    assert ledger.join_keys.provisional(guest.author)
    assert ledger.judge(use.header, use.id) == COUNTS
    row = PinRow(door.author, (1, use.id), None)
    assert ledger.join_keys.pins_wanted(ann.author) == (row,)
    assert ledger.join_keys.pins_wanted(mesh.root.author) == ()
    theft = thief_door.grant(thief, perms=MEMBER)
    deliver(ledger, [theft])
    for entry in (use, theft):
        assert ledger.judge(entry.header, entry.id) == void(Reason.FORKED)
    assert ledger.join_keys.provisional(guest.author)
    deliver(ledger, [ann.pin(use)])
    assert ledger.judge(use.header, use.id) == COUNTS
    assert ledger.judge(theft.header, theft.id) == void(Reason.FORKED)
    assert not ledger.join_keys.provisional(guest.author)
    assert ledger.join_keys.provisional(thief.author)
    assert ledger.join_keys.pins_wanted(ann.author) == ()


def test_a_pin_by_the_guest_confirms_nothing(mesh: Mesh) -> None:
    door, guest = mesh.log("door"), mesh.log("guest")
    mesh.root.grant(door, akind=JOIN)
    use = door.grant(guest)
    guest.pin(use)
    assert mesh.ledger().join_keys.provisional(guest.author)
    assert not mesh.ledger().join_keys.provisional(mesh.root.author)
    mesh.root.grant(guest.author)
    assert not mesh.ledger().join_keys.provisional(guest.author)
