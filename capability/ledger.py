"""
The ledger: what is chained, and which entries count.

A verdict is a pure function of the entries and fork proofs held. It rests on these steps, in this
order: the entry is chained; its leaf is a grant to its author that counts, or is empty and the
author is a root key; its stamp is within the grant's time; its lane has not forked at or before
it, or effective pins select its branch (`capability.forks`). Each step looks at links and pins of
lesser rank only, so there is one solution and no order of evaluation.

Cuts (revocations and seals) will stand between the stamp and the fork, as one more test of the
entry against each link of its chain; adoption after the fork, as another way to count. Until then
their kinds are held and judged, and change nothing.

Cost: a data entry O(1), a grant O(its chain). What touches a fork of an authority lane (a proof, a
pin, a pinned tip) judges all grants and pins anew, O(a log a) for a of them; a fork of a data lane
does not, since no grant depends on it.

Source: docs/formats.md, rules 1, 2, 7 and 9.
"""

from __future__ import annotations

from attrs import frozen

from capability.authority import Authority
from capability.bodies import JOIN, LIMIT_AUTHORITY_SEQ, MEMBER, Genesis, Grant, PinRow
from capability.entry import (
    KIND_GENESIS,
    KIND_GRANT,
    KIND_PIN,
    LANE_AUTHORITY,
    LANE_DATA,
    Entry,
    Header,
    SignedHeader,
)
from capability.errors import FormError
from capability.forks import Pins, binds, is_covered, is_effective, lanes_named, select
from capability.ids import ZERO_ID
from capability.lane import BRANCH_ENTRIES_MAX, Lane, LaneKey, Path, Place
from capability.limits import AUTHORITY_SEQ_MAX
from capability.links import Act, Links, is_missing
from capability.verdict import Reason, Verdict
from crdt.hlc import milliseconds

__all__ = ["Change", "Ledger"]


@frozen
class Change:
    """
    What has to be judged anew after an entry or proof came in; all sorted.

    The entry itself and its lane's row of the frontier are not named: they are new in any case.
    `leaves` are grants: whatever cites one of them. `lanes` are forked: their entries at and after
    `fork_seq`, and their rows of the frontier. `introduced` are authors who may be placed from now
    on, `forked` the lanes of which a fork, or an earlier one, is proved only now.
    """

    leaves: tuple[bytes, ...] = ()
    lanes: tuple[LaneKey, ...] = ()
    introduced: tuple[bytes, ...] = ()
    forked: tuple[LaneKey, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.leaves or self.lanes or self.introduced or self.forked)


_NOTHING = Change()
_COUNTS = (Verdict.COUNTS, Reason.COUNTS)


class Ledger:
    """What one replica holds of a mesh, as far as verdicts go; bodies of data it never sees."""

    def __init__(self, mesh_id: bytes, *, branch_entries_max: int = BRANCH_ENTRIES_MAX) -> None:
        self.mesh_id = mesh_id
        self._branch_entries_max = branch_entries_max
        self._authority_seq_max = AUTHORITY_SEQ_MAX
        self._links = Links(mesh_id)
        self._pins = Pins()
        self._lanes: dict[LaneKey, Lane] = {}
        # Forked lanes: what settles each fork, as it was when all was last judged.
        self._forked: dict[LaneKey, tuple[object, ...]] = {}
        # Forked lanes: the selected branch for the entries by each leaf, as far as asked for.
        self._selected: dict[LaneKey, dict[bytes, Path | None]] = {}

    # What is held.

    def place(self, header: Header, entry_id: bytes) -> Place:
        """Where an entry with a good signature stands; changes nothing. Cost: O(1)."""
        if header.kind == KIND_GENESIS:
            if entry_id != self.mesh_id or header.prev != ZERO_ID or header.seq != 1:
                return Place.FOREIGN
            return Place.NEXT if self.genesis is None else Place.HELD
        if header.author not in self._links.introduced:
            return Place.UNINTRODUCED
        if header.lane == LANE_AUTHORITY and header.seq > self._authority_seq_max:
            return Place.FULL
        lane = self._lanes.get((header.author, header.lane))
        return (self._new_lane() if lane is None else lane).place(header, entry_id)

    def add(self, entry: Entry) -> Change:
        """
        Hold an entry that `place` has found to be NEXT or BRANCH.

        Raises:
            FormError: The genesis of this mesh is malformed; nothing changed.
        """
        if entry.header.kind == KIND_GENESIS:
            return self._add_genesis(entry)
        return self._add(entry.header, entry.id, entry)

    def add_header(self, header: Header, entry_id: bytes) -> Change:
        """The same for a data entry whose body is on disk."""
        assert header.lane == LANE_DATA, "an authority entry is nothing without its body"
        return self._add(header, entry_id, None)

    def add_proof(self, first: SignedHeader, second: SignedHeader) -> Change | None:
        """
        Hold a fork proof, of which the caller has verified both signatures.

        Returns:
            What changed; None if the proof is not held: its author is not introduced, its prev is
            not held (then it waits in the lane, within bounds), or the two are not chained.

        Raises:
            FormError: The two headers are not at one place of one lane.
        """
        low, high = sorted((first, second), key=lambda half: half.id)
        one, two = low.header, high.header
        key = (one.author, one.lane)
        good = key == (two.author, two.lane) and (one.seq, one.prev) == (two.seq, two.prev)
        if low.id == high.id or not good:
            raise FormError(f"fork proof: {low.id.hex()[:8]} and {high.id.hex()[:8]} are none")
        if KIND_GENESIS in (one.kind, two.kind) or one.author not in self._links.introduced:
            return None
        lane = self._lanes.setdefault(key, self._new_lane())
        before = lane.fork_seq, lane.proof
        if not lane.add_proof(low, high):
            return None
        return self._settle(key, before, resolved=[], introduced=[], named=False)

    def introduced(self, author: bytes) -> bool:
        """Whether a held chain of grants leads to this author; never becomes false again."""
        return author in self._links.introduced

    def lane(self, author: bytes, lane: int) -> Lane | None:
        """One lane, None if nothing of it is held."""
        held = self._lanes.get((author, lane))
        return None if held is None or held.is_empty else held

    def lanes(self) -> tuple[LaneKey, ...]:
        """Every lane of which something is held, sorted."""
        return tuple(sorted(key for key, lane in self._lanes.items() if not lane.is_empty))

    # What counts.

    @property
    def genesis(self) -> Genesis | None:
        """The body of the genesis, None while it is not held."""
        return self._links.genesis

    def judge(self, header: Header, entry_id: bytes) -> tuple[Verdict, Reason]:
        """The verdict on a held entry. Cost: O(1), but for the first of a leaf in a forked lane."""
        lane = self._lanes.get((header.author, header.lane))
        if lane is None or not lane.holds(header.seq, entry_id):
            return Verdict.UNDECIDED, Reason.NOT_HELD
        act = self._links.acts.get(entry_id)
        if act is not None:
            return act.verdict, act.reason
        return self._judge(header, entry_id, lane)

    def authority(self, leaf: bytes, author: bytes) -> Authority | None:
        """What *author* may do by the grant *leaf*; None unless it is to it and counts."""
        if not leaf:
            single = author in self._links.roots and not self._links.needs_quorum
            return self._links.root if single else None
        act = self._links.acts.get(leaf)
        if act is None or act.passes is None or not act.counts:
            return None
        return act.passes if act.passes.audience == author else None

    def grant(self, grant_id: bytes) -> Grant | None:
        """A held grant, whether or not it counts."""
        act = self._links.acts.get(grant_id)
        return act.grant if act is not None else None

    def grants_to(self, author: bytes) -> tuple[tuple[bytes, Authority], ...]:
        """The grants to *author* that count, by (rank, id)."""
        found = [(act, held) for act, held in self._links.held_by(author) if act.counts]
        found.sort(key=lambda pair: (pair[0].rank, pair[0].id))
        return tuple((act.id, held) for act, held in found)

    def members(self) -> tuple[bytes, ...]:
        """Root keys and audiences of member grants that count, sorted. Cost: O(grants)."""
        granted = (
            author
            for author in self._links.audiences()
            if any(a.counts and held.akind == MEMBER for a, held in self._links.held_by(author))
        )
        return tuple(sorted(self._links.roots.union(granted)))

    def pinned(self, author: bytes, lane: int) -> Path | None:
        """
        The branch of a forked lane that the frontier covers, None without a fork or a pin.

        Pins are heard that are effective on some grant to the author, since a lane may hold
        entries by several of them.
        """
        held = self._lanes.get((author, lane))
        if held is None or held.fork_seq is None:
            return None
        rows = self._pins.counted((author, lane), held)
        return select(held, rows, (passes for _, passes in self._links.held_by(author)))

    # Join keys: a ticket's one use is pinned by the inviter at first sight.

    def pins_wanted(self, me: bytes) -> tuple[PinRow, ...]:
        """
        What *me* ought to pin: the authority lanes of join keys that it invited, at their tips.

        Of a forked lane that is the branch which arrived first here. A tip that *me* has named in
        any pin is not wanted again, nor one beyond the uses that a pin of *me* has seen: a join key
        that goes on writing must not make its inviter write. Cost: O(invited keys + own pins).
        """
        rows = []
        for audience, grants in self._links.invited_by(me):
            lane = self._lanes.get((audience, LANE_AUTHORITY))
            if lane is None or not len(lane):
                continue
            uses = max((act.uses for act in grants if act.counts), default=0)
            said = self._pins.by(me, (audience, LANE_AUTHORITY))
            if all(each.seq < uses and each.tip != lane.tip[1] for each in said) and uses:
                rows.append(PinRow(audience, lane.tip, None))
        return tuple(rows)

    def provisional(self, author: bytes) -> bool:
        """
        Whether *author* has joined by a ticket, and nobody has yet confirmed this use of it.

        Until a pin covers the entry of the join key, another use of the ticket can void it.
        """
        if author in self._links.roots:
            return False
        found = False
        for act, _ in self._links.held_by(author):
            key = (act.header.author, LANE_AUTHORITY)
            confirmed = act.under is None or act.under.akind != JOIN
            confirmed = confirmed or is_covered(act, self._lanes[key], self._pins.of(key))
            if confirmed and act.counts:
                return False
            found = found or not confirmed
        return found

    def confirmation(self, grant_id: bytes) -> bytes | None:
        """The id of a pin that states this very grant, which a join key issued, as a tip."""
        act = self._links.acts.get(grant_id)
        if act is None or act.under is None or act.under.akind != JOIN:
            return None
        for said in self._pins.of((act.header.author, LANE_AUTHORITY)):
            if said.tip == grant_id and said.pin.counts and is_effective(said.pin, act.under):
                return said.pin.id
        return None

    # How it is kept.

    def _new_lane(self) -> Lane:
        return Lane(self.mesh_id, branch_entries_max=self._branch_entries_max)

    def _add_genesis(self, entry: Entry) -> Change:
        assert self.place(entry.header, entry.id) is Place.NEXT
        genesis = self._links.begin(entry, self.mesh_id)
        self._authority_seq_max = genesis.limit(LIMIT_AUTHORITY_SEQ, AUTHORITY_SEQ_MAX)
        self._lanes[entry.header.author, LANE_AUTHORITY] = Lane.of_genesis(
            entry.id, entry.header.hlc, branch_entries_max=self._branch_entries_max
        )
        return Change(introduced=genesis.roots)

    def _add(self, header: Header, entry_id: bytes, entry: Entry | None) -> Change:
        place = self.place(header, entry_id)
        assert place in (Place.NEXT, Place.BRANCH), f"{entry_id.hex()[:8]} is {place.name}"
        key = (header.author, header.lane)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = self._new_lane()
        before = lane.fork_seq, lane.proof
        lane.add(header, entry_id)
        resolved: list[Act] = []
        introduced: list[bytes] = []
        if entry is not None and header.kind in (KIND_GRANT, KIND_PIN):
            act, resolved, introduced = self._links.add(entry)
            self._pins.add(act)
        elif lane.fork_seq is None:
            return _NOTHING
        said = self._pins.naming(entry_id) if lane.fork_seq is not None else ()
        named = binds(said, self._links.held_by(header.author))
        return self._settle(key, before, resolved=resolved, introduced=introduced, named=named)

    def _judge(self, header: Header, entry_id: bytes, lane: Lane) -> tuple[Verdict, Reason]:
        if entry_id == self.mesh_id:
            return _COUNTS
        under = self._links.standing(header)
        if isinstance(under, Reason):
            return (Verdict.UNDECIDED if is_missing(under) else Verdict.VOID), under
        if header.leaf and not self._links.acts[header.leaf].counts:
            return Verdict.VOID, Reason.GRANT_VOID
        stamp_ms = milliseconds(header.hlc)
        if stamp_ms < under.nbf_ms:
            return Verdict.VOID, Reason.NOT_YET_VALID
        if stamp_ms >= under.exp_ms:
            return Verdict.VOID, Reason.EXPIRED
        if header.lane == LANE_AUTHORITY and (barred := under.bars_acts()) is not None:
            return Verdict.VOID, barred
        if lane.fork_seq is not None and header.seq >= lane.fork_seq:
            path = self._branch(header, lane, under)
            if path is None or not lane.is_on(path, header.seq, entry_id):
                return Verdict.VOID, Reason.FORKED
        return _COUNTS

    def _branch(self, header: Header, lane: Lane, under: Authority) -> Path | None:
        key = (header.author, header.lane)
        memo = self._selected.setdefault(key, {})
        if header.leaf not in memo:
            memo[header.leaf] = select(lane, self._pins.counted(key, lane), (under,))
        return memo[header.leaf]

    def _judge_act(self, act: Act) -> None:
        if act.flaw is not None:
            act.verdict, act.reason = Verdict.VOID, act.flaw
        else:
            lane = self._lanes[act.header.author, LANE_AUTHORITY]
            act.verdict, act.reason = self._judge(act.header, act.id, lane)

    def _settle(
        self,
        key: LaneKey,
        before: tuple[int | None, tuple[bytes, ...]],
        *,
        resolved: list[Act],
        introduced: list[bytes],
        named: bool,
    ) -> Change:
        """Bring every cached judgement up to date after *key* grew; the one place that does."""
        lane = self._lanes[key]
        is_new_fork = lane.fork_seq != before[0]
        leaves = {act.id for act in resolved if act.header.kind == KIND_GRANT}
        if is_new_fork:
            self._forked[key] = ()
        for act in resolved:
            self._judge_act(act)
        touched = {key} if is_new_fork or named else set()
        if self._forked:
            touched.update(*(self._forks_touched(act) for act in resolved))
        if any(number == LANE_AUTHORITY for _, number in touched):
            leaves |= self._judge_all()
            touched = set(self._forked)
        lanes = {at for at in sorted(touched) if self._has_moved(at)}
        if lane.proof != before[1]:
            lanes.add(key)
        return Change(
            leaves=tuple(sorted(leaves)),
            lanes=tuple(sorted(lanes)),
            introduced=tuple(sorted(introduced)),
            forked=(key,) if is_new_fork else (),
        )

    def _forks_touched(self, act: Act) -> list[LaneKey]:
        """Forked lanes of which an act, newly judged, may select another branch."""
        if act.passes is not None:
            lanes = [(act.passes.audience, number) for number in (LANE_AUTHORITY, LANE_DATA)]
            return [key for key in lanes if key in self._forked]
        named = [key for key, _, _ in lanes_named(act.pin) if key in self._forked]
        return [key for key in named if binds((act,), self._links.held_by(key[0]))]

    def _judge_all(self) -> set[bytes]:
        """Judge every grant and pin anew, by rank; gives the grants of which that changed."""
        self._selected.clear()
        leaves = set()
        for act in sorted(self._links.acts.values(), key=lambda act: act.rank):
            was = act.verdict
            self._judge_act(act)
            if act.grant is not None and act.verdict is not was:
                leaves.add(act.id)
        return leaves

    def _has_moved(self, key: LaneKey) -> bool:
        """Whether something else settles a fork than before; forgets the branches selected."""
        self._selected.pop(key, None)
        lane = self._lanes[key]
        path = self.pinned(*key)
        rows = tuple((row.pin.id, row.tip) for row in self._pins.counted(key, lane))
        situation = (lane.fork_seq, rows, path.id if path is not None else b"")
        if situation == self._forked[key]:
            return False
        self._forked[key] = situation
        return True
