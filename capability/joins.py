"""
Join keys: the keys in tickets, whose one use the inviter pins at first sight.

Two bearers of a ticket fork the join key's lane. Until a pin covers a use, another one can void it,
so whoever joined by it is *provisional*.
"""

from __future__ import annotations

from attrs import frozen

from capability.bodies import JOIN, PinRow
from capability.entry import LANE_AUTHORITY
from capability.forks import Pins, is_covered, is_effective
from capability.lane import Lane, LaneKey
from capability.links import Links

__all__ = ["JoinKeys"]


@frozen
class JoinKeys:
    """A look at what one ledger holds."""

    links: Links
    pins: Pins
    lanes: dict[LaneKey, Lane]

    def pins_wanted(self, me: bytes) -> tuple[PinRow, ...]:
        """
        What *me* ought to pin: the authority lanes of join keys that it invited, at their tips.

        Of a forked lane that is the branch which arrived first here. A tip that *me* has named in
        any pin is not wanted again, nor one beyond the uses that a pin of *me* has seen: a join key
        that goes on writing must not make its inviter write. Cost: O(invited keys + own pins).
        """
        rows = []
        for audience, grants in self.links.invited_by(me):
            lane = self.lanes.get((audience, LANE_AUTHORITY))
            if lane is None or not len(lane):
                continue
            uses = max((act.uses for act in grants if act.counts), default=0)
            said = self.pins.by(me, (audience, LANE_AUTHORITY))
            if all(each.seq < uses and each.tip != lane.tip[1] for each in said) and uses:
                rows.append(PinRow(audience, lane.tip, None))
        return tuple(rows)

    def invited_under(self, me: bytes, key: bytes) -> bytes:
        """
        The leaf under which *me* has invited a join key that `pins_wanted` names.

        Others may have signed grants to the same key: by those no pin of *me* counts.
        """
        grants = self.links.invitations(me, key)
        return next(act.header.leaf for act in grants if act.counts)

    def provisional(self, author: bytes) -> bool:
        """
        Whether *author* has joined by a ticket, and nobody has yet confirmed this use of it.

        Until a pin covers the entry of the join key, another use of the ticket can void it.
        """
        if author in self.links.roots:
            return False
        found = False
        for act, _ in self.links.held_by(author):
            key = (act.header.author, LANE_AUTHORITY)
            confirmed = act.under is None or act.under.akind != JOIN
            confirmed = confirmed or is_covered(act, self.lanes[key], self.pins.of(key))
            if confirmed and act.counts:
                return False
            found = found or not confirmed
        return found

    def confirmation(self, grant_id: bytes) -> bytes | None:
        """The id of a pin that states this very grant, which a join key issued, as a tip."""
        act = self.links.acts.get(grant_id)
        if act is None or act.under is None or act.under.akind != JOIN:
            return None
        for said in self.pins.of((act.header.author, LANE_AUTHORITY)):
            if said.tip == grant_id and said.pin.counts and is_effective(said.pin, act.under):
                return said.pin.id
        return None
