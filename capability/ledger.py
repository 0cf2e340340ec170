"""
The ledger: what is chained, and which entries count.

A verdict is a pure function of the entries and fork proofs held. It rests on these steps, in this
order: the entry is chained; its leaf is a grant to its author that counts, or is empty and the
author is a root key; its stamp is within the grant's time; its lane has not forked at or before
it, or effective pins select its branch (`capability.forks`); its data lane has not ended before it
(`capability.ends`). Each step looks at links and pins of lesser rank only, so there is one solution
and no order of evaluation.

What is held is more than what is *required*: the lanes of authors who are introduced, up to where
`covered` says. Nothing else counts, so it makes no difference who holds how much of it.

Cuts (revocations and seals) will stand between the stamp and the fork, as one more test of the
entry against each link of its chain; adoption after the fork, as another way to count. Until then
their kinds are held and judged, and change nothing.

Cost: a data entry O(1), a grant O(its chain). What touches a fork of an authority lane (a proof, a
pin, a pinned tip) judges all grants and pins anew, O(a log a) for a of them; a fork of a data lane
does not, since no grant depends on it.

Source: docs/formats.md, rules 1, 2, 3, 7 and 9.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from capability.anew import Anew
from capability.authority import Authority
from capability.bodies import (
    LIMIT_AUTHORITY_SEQ,
    LIMIT_VOID_SUFFIX,
    MEMBER,
    Genesis,
    Grant,
)
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
from capability.forks import any_binds, lanes_named
from capability.ids import ZERO_ID
from capability.joins import JoinKeys
from capability.judging import Judging
from capability.lane import BRANCH_ENTRIES_MAX, Lane, LaneKey, Path, Place
from capability.limits import AUTHORITY_SEQ_MAX, VOID_SUFFIX_MAX
from capability.links import Act, Links
from capability.verdict import Reason, Verdict

__all__ = ["Change", "Ledger"]


@frozen
class Change:
    """
    What has to be judged anew after an entry or proof came in; all sorted.

    The entry itself and its lane's row of the frontier are not named: they are new in any case.
    `leaves` are grants: whatever cites one of them. `lanes` are forked: their entries at and after
    `fork_seq`, and their rows of the frontier. `ended` are data lanes that end elsewhere now: all
    their entries. `introduced` are authors who may be placed from now on and `dropped` those who
    may not any more, `forked` the lanes of which a fork, or an earlier one, is proved only now.
    """

    leaves: tuple[bytes, ...] = ()
    lanes: tuple[LaneKey, ...] = ()
    introduced: tuple[bytes, ...] = ()
    forked: tuple[LaneKey, ...] = ()
    dropped: tuple[bytes, ...] = ()
    ended: tuple[LaneKey, ...] = ()

    def __bool__(self) -> bool:
        return self != _NOTHING


_NOTHING = Change()
_COUNTS = (Verdict.COUNTS, Reason.COUNTS)


class Ledger:
    """What one replica holds of a mesh, as far as verdicts go; bodies of data it never sees."""

    def __init__(self, mesh_id: bytes, *, branch_entries_max: int = BRANCH_ENTRIES_MAX) -> None:
        self.mesh_id = mesh_id
        self._branch_entries_max = branch_entries_max
        #: Entries of an authority lane, as the genesis has it.
        self.authority_seq_max = AUTHORITY_SEQ_MAX
        self._judging = judging = Judging(mesh_id, Links(mesh_id))
        self._links, self._pins, self._lanes = judging.links, judging.pins, judging.lanes
        # Forked lanes: what settles each fork, as it was when all was last judged.
        self._forked: dict[LaneKey, tuple[object, ...]] = {}

    # What is held.

    def place(self, header: Header, entry_id: bytes) -> Place:
        """Where an entry with a good signature stands; changes nothing. Cost: O(1)."""
        if header.kind == KIND_GENESIS:
            if entry_id != self.mesh_id or header.prev != ZERO_ID or header.seq != 1:
                return Place.FOREIGN
            return Place.NEXT if self.genesis is None else Place.HELD
        place = self.continues(header, entry_id)
        if place is not Place.HELD and not self.introduced(header.author):
            return Place.UNINTRODUCED
        if place is Place.NEXT or place is Place.BRANCH:
            return Place.FULL if self._is_beyond(header, place) else place
        if place is Place.GAP and self.end(header.author, header.lane) is not None:
            return Place.FULL
        return place

    def continues(self, header: Header, entry_id: bytes) -> Place:
        """Where it stands in its chain, whoever its author is and however full its lane."""
        lane = self._lanes.get((header.author, header.lane))
        return (self._new_lane() if lane is None else lane).place(header, entry_id)

    def _is_beyond(self, header: Header, place: Place) -> bool:
        """Whether the lane has ended before this entry, or is full of what nothing rests on."""
        if header.lane == LANE_AUTHORITY and header.seq > self.authority_seq_max:
            return True
        key = (header.author, header.lane)
        lane = self._lanes.get(key)
        if lane is None:
            return False
        if self._judging.fork(key, lane) is not None:
            path = self._judging.choice(key, lane).path
            return lane.stray(path) >= self._branch_entries_max
        if place is Place.BRANCH:
            return len(lane.branches) >= self._branch_entries_max
        end = self._judging.end(key, lane)
        return end is not None and header.seq > end

    def add(self, entry: Entry) -> Change:
        """
        Hold an entry that `continues` has found to be NEXT or BRANCH.

        Raises:
            FormError: The genesis of this mesh is malformed; nothing changed.
        """
        if entry.header.kind == KIND_GENESIS:
            return self._add_genesis(entry)
        return self._add(entry)

    def add_proof(
        self, first: SignedHeader, second: SignedHeader, *, was_held: bool = False
    ) -> Change | None:
        """
        Hold a fork proof, of which the caller has verified both signatures.

        Args:
            first: One half.
            second: The other.
            was_held: It was before a restart; its author may be introduced again.

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
        is_known = was_held or self.introduced(one.author)
        if KIND_GENESIS in (one.kind, two.kind) or not is_known:
            return None
        lane = self._lanes.setdefault(key, self._new_lane())
        before = lane.fork_seq, lane.proof
        if not lane.add_proof(low, high):
            return None
        return self._settle(key, before, resolved=[], named=False)

    def introduced(self, author: bytes) -> bool:
        """Whether it is a root key, or a grant to it counts: then its lanes are required."""
        return self._judging.introduced(author)

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
        return self._judging.judge(header, entry_id, lane)

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
        return self._judging.grants_to(author)

    def member_until(self, author: bytes) -> int:
        """
        When the last grant that lets *author* replicate ends, in ms; 0 if none that counts does.

        Cost: O(1) until others count. A root key needs none.
        """
        return self._judging.member_until(author)

    def grants_held(self, author: bytes) -> Sequence[Act]:
        """All grants to *author* in the order in which they came. Not to be changed."""
        return self._links.granted_to(author)

    def members(self) -> tuple[bytes, ...]:
        """Root keys and audiences of member grants that count, sorted. Cost: O(grants)."""
        granted = (
            author
            for author in self._links.audiences()
            if any(a.counts and held.akind == MEMBER for a, held in self._links.held_by(author))
        )
        return tuple(sorted(self._links.roots.union(granted)))

    # How far lanes are required.

    def pinned(self, author: bytes, lane: int) -> Path | None:
        """The branch of a forked lane that stands, None without a fork or a pin."""
        return self._judging.pinned((author, lane))

    def covered(self, author: bytes, lane: int) -> tuple[int, bytes, tuple[bytes, ...]] | None:
        """
        How far a lane is required: seq, id and the canonical proof if it is forked; None: nothing.

        Cost: O(1), in a forked lane O(pins) once.
        """
        return self._judging.covered((author, lane))

    def requires(self, header: Header, entry_id: bytes) -> bool:
        """Whether `covered` covers this held entry. Cost: O(1)."""
        return self._judging.requires(header, entry_id)

    def end(self, author: bytes, lane: int) -> int | None:
        """The last seq of a lane that has ended, None while it goes on or where it forks before."""
        return self._judging.ended((author, lane))

    def awaits(self, author: bytes, lane: int, seq: int, tip: bytes) -> bool:
        """Whether a pin that would be heard names this tip, not held yet. Cost: O(its pins)."""
        return self._judging.awaits((author, lane), seq, tip)

    @property
    def join_keys(self) -> JoinKeys:
        """What is known of the keys in tickets, and of who has joined by them."""
        return JoinKeys(self._links, self._pins, self._lanes)

    # How it is kept.

    def _new_lane(self) -> Lane:
        return Lane(self.mesh_id)

    def _add_genesis(self, entry: Entry) -> Change:
        assert self.place(entry.header, entry.id) is Place.NEXT
        genesis = self._links.begin(entry, self.mesh_id)
        self.authority_seq_max = genesis.limit(LIMIT_AUTHORITY_SEQ, AUTHORITY_SEQ_MAX)
        self._judging.ends.dead_max = genesis.limit(LIMIT_VOID_SUFFIX, VOID_SUFFIX_MAX)
        lane = Lane.of_genesis(entry.id, entry.header.hlc)
        self._lanes[entry.header.author, LANE_AUTHORITY] = lane
        return Change(introduced=genesis.roots)

    def _add(self, entry: Entry) -> Change:
        header = entry.header
        place = self.continues(header, entry.id)
        assert place in (Place.NEXT, Place.BRANCH), f"{entry.id.hex()[:8]} is {place.name}"
        key = (header.author, header.lane)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = self._new_lane()
        before = lane.fork_seq, lane.proof
        lane.add(header, entry.id)
        resolved: list[Act] = []
        if header.kind in (KIND_GRANT, KIND_PIN):
            act, resolved = self._links.add(entry)
            self._pins.add(act)
        elif lane.fork_seq is None:
            return _NOTHING
        said = self._pins.naming(entry.id) if lane.fork_seq is not None else ()
        named = bool(said) and any_binds(said, self._links, header.author)
        return self._settle(key, before, resolved=resolved, named=named)

    def _settle(
        self,
        key: LaneKey,
        before: tuple[int | None, tuple[bytes, ...]],
        *,
        resolved: list[Act],
        named: bool,
    ) -> Change:
        """Bring every cached judgement up to date after *key* grew; the one place that does."""
        lane = self._lanes[key]
        is_new_fork = lane.fork_seq != before[0]
        leaves = {act.id for act in resolved if act.header.kind == KIND_GRANT}
        if is_new_fork:
            self._forked[key] = ()
            self._judging.forget((key,))
        for act in resolved:
            self._judging.judge_act(act)
        touched = {key} if is_new_fork or named else set()
        if self._forked:
            touched.update(*(self._forks_touched(act) for act in resolved))
        self._judging.forget(touched)
        settled = [at for at in touched if at[1] == LANE_AUTHORITY]
        if settled:
            anew = Anew(self._judging, self._forked)
            anew.run(settled, resolved)
            leaves |= anew.leaves
            touched |= anew.touched
        ended = self._find_ends(leaves)
        ended_forks = {at for at in ended if at in self._forked}
        self._judging.forget(ended_forks)
        touched |= ended_forks
        lanes = {at for at in sorted(touched) if self._has_moved(at)}
        if lane.proof != before[1]:
            lanes.add(key)
        introduced, dropped = self._judging.taken()
        return Change(
            leaves=tuple(sorted(leaves)),
            lanes=tuple(sorted(lanes)),
            introduced=tuple(sorted(introduced)),
            forked=(key,) if is_new_fork else (),
            dropped=tuple(sorted(dropped)),
            ended=tuple(ended),
        )

    def _find_ends(self, leaves: set[bytes]) -> list[LaneKey]:
        """The data lanes that end elsewhere, now that something else is known of these grants."""
        by_author: dict[bytes, dict[bytes, bool]] = {}
        for act in map(self._links.acts.__getitem__, leaves):
            if act.passes is not None:
                by_author.setdefault(act.passes.audience, {})[act.id] = act.counts
        found = []
        for author in sorted(by_author):
            lane = self._lanes.get((author, LANE_DATA))
            if lane is not None and self._judging.ends.settle(author, lane, by_author[author]):
                found.append((author, LANE_DATA))
        return found

    def _forks_touched(self, act: Act) -> list[LaneKey]:
        """Forked lanes of which an act, newly judged, may select another branch."""
        if not act.counts:
            return []
        if act.passes is not None:
            lanes = [(act.passes.audience, number) for number in (LANE_AUTHORITY, LANE_DATA)]
            return [key for key in lanes if key in self._forked]
        named = [key for key, _, _ in lanes_named(act.pin) if key in self._forked]
        return [key for key in named if any_binds((act,), self._links, key[0])]

    def _has_moved(self, key: LaneKey) -> bool:
        """Whether something else settles a fork than before."""
        lane = self._lanes[key]
        fork_seq = self._judging.fork(key, lane)
        situation: tuple[object, ...] = (None,)
        if fork_seq is not None:
            choice = self._judging.choice(key, lane)
            rows = tuple((row.pin.id, row.tip) for row in choice.heard)
            situation = (fork_seq, rows, choice.path.id if choice.path is not None else b"")
        if situation == self._forked[key]:
            return False
        self._forked[key] = situation
        return True
