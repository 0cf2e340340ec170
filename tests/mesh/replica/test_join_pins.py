"""The inviter pins the one use of a ticket, whatever others have signed to its join key."""

from __future__ import annotations

from capability import permissions
from capability.bodies import CAVEAT_GRANTS, JOIN
from capability.entry import KIND_PIN
from capability.limits import NEVER_MS
from capability.verdict import Verdict
from mesh.core.inputs import IssueGrant
from tests.mesh.replica.desk import Desk
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
