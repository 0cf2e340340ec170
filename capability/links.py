"""
Held grants and pins, and what their bytes say: what each passes on, and by which chain.

All of this is monotone. Once the links of a chain are held, what a grant passes on, or why it
passes on nothing, never changes. Whether a grant counts depends on forks as well, and is the
ledger's; so is who is introduced.

A leaf that names an entry of another kind is as one that is not held: ids of data are not indexed,
and what cites it is undecided for ever.

Source: docs/formats.md, rules 1 and 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from attrs import define

from capability.authority import Authority, derive, root_authority
from capability.bodies import (
    CAVEAT_GRANTS,
    JOIN,
    LIMIT_CHAIN_DEPTH,
    Genesis,
    Grant,
    Pin,
    decode_genesis,
    decode_grant,
    decode_pin,
)
from capability.entry import KIND_GRANT, KIND_PIN, Entry, Header
from capability.errors import FormError
from capability.limits import CHAIN_DEPTH_MAX
from capability.verdict import Reason, Verdict

__all__ = ["Act", "Links", "is_missing", "note_above"]

_LAST = 1 << 30
#: Uses of a ticket that sets no bound to them, which its inviter confirms by pins. A guess.
USES_UNBOUNDED_MAX: Final = 1_000


@define(eq=False)
class Act:
    """
    A held grant or pin, and what is known of it.

    `under` is the authority by which it was made, None while a link is missing or if it has none;
    `passes` the authority that a grant passes on, by its bytes alone; `flaw` why it never does.
    The verdict is the ledger's.
    """

    id: bytes
    header: Header
    grant: Grant | None
    pin: Pin | None
    under: Authority | None = None
    passes: Authority | None = None
    flaw: Reason | None = None
    verdict: Verdict = Verdict.UNDECIDED
    reason: Reason = Reason.LINK_MISSING

    @property
    def rank(self) -> int:
        """Of the entry; entries without standing come last, since nothing rests on them."""
        return self.under.rank if self.under is not None else _LAST

    @property
    def uses(self) -> int:
        """How many grants a join key may make by this one, as its caveat says."""
        said = self.grant.caveat(CAVEAT_GRANTS) if self.grant is not None else None
        return said if type(said) is int else USES_UNBOUNDED_MAX

    @property
    def is_settled(self) -> bool:
        """Whether no missing link can change what its bytes say."""
        return self.under is not None or self.flaw is not None

    @property
    def counts(self) -> bool:
        """Whether the ledger has found that it counts."""
        return self.verdict is Verdict.COUNTS


def note_above(least: dict[bytes, int], grant: Authority) -> None:
    """Note the links before *grant*, and the empty leaf of a root. Cost: O(its chain)."""
    for leaf in (b"", *grant.chain[:-1]):
        least[leaf] = min(least.get(leaf, grant.rank), grant.rank)


def is_missing(reason: Reason) -> bool:
    """Whether a link that comes in later may lift this reason."""
    return reason is Reason.NO_SUCH_GRANT or reason is Reason.LINK_MISSING


class Links:
    """The acts of one mesh, by id and by audience."""

    __slots__ = (
        "_above",
        "_invited",
        "_made",
        "_missing",
        "_ranks",
        "_to",
        "acts",
        "genesis",
        "root",
        "roots",
    )

    def __init__(self, mesh_id: bytes) -> None:
        self.genesis: Genesis | None = None
        self.root = root_authority(mesh_id)
        self.roots: frozenset[bytes] = frozenset()
        self.acts: dict[bytes, Act] = {}
        self._to: dict[bytes, list[Act]] = {}
        self._made: dict[bytes, list[Act]] = {}
        # By audience: what ranks before one of its grants, and the least rank of these.
        self._above: dict[bytes, dict[bytes, int]] = {}
        self._ranks: dict[bytes, set[int]] = {}
        # Grants of the right to join, by who gave it and to which key.
        self._invited: dict[bytes, dict[bytes, list[Act]]] = {}
        # Acts by the link which they cite and which is not settled.
        self._missing: dict[bytes, list[Act]] = {}

    def begin(self, entry: Entry, mesh_id: bytes) -> Genesis:
        """Take the roots from the genesis. Raises FormError, having changed nothing."""
        self.genesis = decode_genesis(entry.body)
        depth_max = self.genesis.limit(LIMIT_CHAIN_DEPTH, CHAIN_DEPTH_MAX)
        self.root = root_authority(mesh_id, depth_max=depth_max)
        self.roots = frozenset(self.genesis.roots)
        return self.genesis

    def add(self, entry: Entry) -> tuple[Act, list[Act]]:
        """
        Hold a grant or pin. A malformed one is held and void, so that its lane goes on.

        Returns:
            The act; the acts to be judged for the first time or anew, parents first. Cost:
            O(bytes of each).
        """
        act = _read(entry)
        self.acts[act.id] = act
        self._made.setdefault(act.header.leaf, []).append(act)
        if act.grant is not None:
            self._to.setdefault(act.grant.audience, []).append(act)
        queue = [act]
        for waiting in queue:
            self._stand(waiting)
            if waiting is act or waiting.is_settled:
                # Those that cite a link learn its audience even while its own chain has a gap.
                queue += self._missing.pop(waiting.id, ())
            if not waiting.is_settled:
                self._missing.setdefault(waiting.header.leaf, []).append(waiting)
        return act, queue

    def granted_to(self, author: bytes) -> Sequence[Act]:
        """The held grants to *author* in the order in which they came."""
        return self._to.get(author, ())

    def held_by(self, author: bytes) -> list[tuple[Act, Authority]]:
        """The grants to *author* with what they pass on, by bytes alone."""
        return [(act, act.passes) for act in self._to.get(author, ()) if act.passes is not None]

    def above(self, author: bytes) -> Mapping[bytes, int]:
        """The leaves before a held grant to *author*: the least rank of what these let it make."""
        return self._above.get(author, {})

    def ranks(self, author: bytes) -> AbstractSet[int]:
        """Of what held grants to *author* let it make, by bytes alone."""
        return self._ranks.get(author, set())

    def made_by(self, grant_id: bytes) -> Sequence[Act]:
        """The held grants and pins that cite this grant."""
        return self._made.get(grant_id, ())

    def invited_by(self, author: bytes) -> list[tuple[bytes, list[Act]]]:
        """The join keys to which *author* gave the right to join, sorted, with those grants."""
        return sorted(self._invited.get(author, {}).items())

    def invitations(self, author: bytes, audience: bytes) -> Sequence[Act]:
        """The grants by which *author* gave one join key, of `invited_by`, the right to join."""
        return self._invited[author][audience]

    def audiences(self) -> tuple[bytes, ...]:
        """Everybody to whom a held grant is, sorted."""
        return tuple(sorted(self._to))

    def standing(self, author: bytes, leaf: bytes) -> Authority | Reason:
        """The authority that *author* has by *leaf*, by bytes alone, or why there is none."""
        if not leaf:
            if author not in self.roots:
                return Reason.NOT_A_ROOT
            return Reason.NEEDS_QUORUM if self.needs_quorum else self.root
        link = self.acts.get(leaf)
        if link is None or link.header.kind != KIND_GRANT:
            return Reason.NO_SUCH_GRANT
        if link.grant is not None and link.grant.audience != author:
            return Reason.NOT_THE_AUDIENCE
        if link.flaw is not None:
            return Reason.GRANT_VOID
        return link.passes or Reason.LINK_MISSING

    @property
    def needs_quorum(self) -> bool:
        """Whether one root key alone has no rank."""
        return self.genesis is not None and self.genesis.m > 1

    def _stand(self, act: Act) -> None:
        if act.flaw is not None:
            return
        under = self.standing(act.header.author, act.header.leaf)
        if isinstance(under, Reason):
            act.flaw = None if is_missing(under) else under
            return
        act.under = under
        if act.grant is not None:
            result = derive(under, act.grant, header=act.header, grant_id=act.id)
            if isinstance(result, Reason):
                act.flaw = result
            else:
                act.passes = result
                self._ranks.setdefault(result.audience, set()).add(result.rank)
                note_above(self._above.setdefault(result.audience, {}), result)
                if result.akind == JOIN:
                    invited = self._invited.setdefault(act.header.author, {})
                    invited.setdefault(result.audience, []).append(act)


def _read(entry: Entry) -> Act:
    grant = pin = flaw = None
    try:
        if entry.header.kind == KIND_GRANT:
            grant = decode_grant(entry.body)
        else:
            assert entry.header.kind == KIND_PIN
            pin = decode_pin(entry.body)
    except FormError:
        flaw = Reason.MALFORMED
    return Act(entry.id, entry.header, grant, pin, flaw=flaw)
