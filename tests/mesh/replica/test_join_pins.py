"""The inviter pins the one use of a ticket, whatever others have signed to its join key."""

from __future__ import annotations

from capability import permissions
from capability.bodies import CAVEAT_GRANTS, JOIN, PinRow, decode_pin
from capability.entry import KIND_PIN
from capability.limits import NEVER_MS, PIN_ROWS_MAX
from capability.verdict import Verdict
from mesh.core.inputs import IssueGrant
from tests.mesh.replica.desk import Desk, entries_of
from tests.mesh.replica.hand import hand


def test_a_grant_of_another_member_to_a_join_key_does_not_void_its_inviters_pin() -> None:
    """Else the bearer could void whoever joined, and all that it wrote, by a second use."""
    desk = Desk()
    mal, door, guest = (hand(desk.mesh, name) for name in ("mal", "door", "guest"))
    desk.node.receive([desk.root.grant(mal), desk.root.grant(door, perms=permissions.READ)])
    request = IssueGrant(
        1,
        door.author,
        JOIN,
        (desk.top,),
        permissions.MEMBER | permissions.DELEGATE,
        8,
        NEVER_MS,
        ((CAVEAT_GRANTS, 1),),
        "",
    )
    effects, door.leaf = desk.node.replica.issue_grant(request, desk.node.now)
    desk.node.run(effects)
    twin = door.twin()
    joined = door.grant(guest)
    desk.node.receive([joined])
    (pin,) = [entry for entry in desk.node.log() if entry.header.kind == KIND_PIN]
    ledger = desk.node.replica.held.ledger
    assert ledger.judge(pin.header, pin.id)[0] is Verdict.COUNTS
    desk.node.receive([twin.grant(hand(desk.mesh, "thief"))])
    assert ledger.judge(joined.header, joined.id)[0] is Verdict.COUNTS


def test_what_one_pin_cannot_hold_is_stated_by_several() -> None:
    """They may come in one message, and a body that is too long stopped the node at each try."""
    desk = Desk()
    rows = [PinRow(number.to_bytes(32, "big"), (1, b"t" * 32), None) for number in range(1_025)]
    effects = desk.node.replica.writer.pin(rows[::-1], desk.bob.leaf, desk.node.now)
    desk.node.run(effects)
    pins = [decode_pin(entry.body) for entry in entries_of(effects)]
    assert [row for pin in pins for row in pin.rows] == rows
    assert [len(pin.rows) for pin in pins] == [PIN_ROWS_MAX, 1]
    assert desk.node.replica.writer.pin([], desk.bob.leaf, desk.node.now) == []
