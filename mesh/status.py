"""
Status: what one node has measured, as plain values for its doors.

Nothing here is a guess: what was not measured is None, and "in sync" means that frontier roots were
exchanged with that peer and were equal, and nothing has moved here since (P6).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from attrs import define, field

from capability.verdict import Verdict
from crdt.hlc import milliseconds
from mesh.core.inputs import Address, Now
from mesh.gossip.membership import PeerView
from mesh.gossip.messages import Hello
from mesh.gossip.reconcile import LinkSync
from mesh.replica.replica import Replica

#: Of a handshake's hash, so that both ends' logs and statuses name a link alike.
LINK_NAME_BYTES: Final = 8


@define
class LinkState:
    """One authenticated channel; `hello` is None until the peer has said it and was believed."""

    peer: bytes
    outbound: bool
    address: Address | None
    handshake_hash: bytes
    hello: Hello | None = None
    skew_ms: int = 0
    rtt_ms: float | None = None
    heard_ms: int = 0
    #: Members that the peer has told of since `told_ms`; see `mesh.acquaint`.
    told: int = 0
    told_ms: int = 0
    #: Where those listen who are not known to be members yet, or were too many; ≤ PEERS_TOLD_MAX.
    unmet: dict[bytes, tuple[Address, ...]] = field(factory=dict)
    #: When it is looked at again whether they are.
    recall_ms: int = 0
    #: When it is looked at again whether the peer is a member still.
    looked_ms: int = 0

    def names(self) -> tuple[tuple[str, object], ...]:
        """What a line of the log names it by, the same on both ends."""
        return ("link", self.handshake_hash[:LINK_NAME_BYTES]), ("peer", self.peer)


def status_of(
    replica: Replica,
    *,
    links: Mapping[int, LinkState],
    syncs: Mapping[int, LinkSync],
    peers: Sequence[PeerView],
    farewells: Sequence[tuple[bytes, int, str]],
    now: Now,
) -> dict[str, object]:
    """The node's own view of itself and of its peers; keys as users and scripts rely on them."""
    counts = replica.counts()
    members = frozenset(replica.held.ledger.members())
    is_member = replica.author in members
    # Who is no member is no peer; but whoever is none itself cannot tell who is.
    known = [view for view in peers if view.node and (view.node in members or not is_member)]
    skews = [state.skew_ms for state in links.values() if state.hello is not None]
    return {
        "mesh_id": replica.mesh_id.hex(),
        "mesh_name": replica.name,
        "node_id": replica.author.hex(),
        "state_hash": replica.state_hash().hex(),
        "frontier_hash": replica.frontier_hash().hex(),
        **counts,
        "clock": {
            "skew_ms": _median(skews),
            "ahead_ms": max(0, milliseconds(replica.held.clock.last) - now.wall_ms),
        },
        "peers": _peers(replica, links=links, syncs=syncs, peers=known, now=now),
        "dials": _dials(view for view in peers if view not in known),
        "members": len(members),
        "member": is_member,
        # Of who is not (yet) a member nobody can say whether its use of a ticket is confirmed.
        "provisional": replica.held.ledger.join_keys.provisional(replica.author)
        if is_member
        else None,
        "blocked": replica.writer.bar(),
        "stranded": {
            "entries": len(replica.reissue.entries),
            "waits_for": [replica.label(a) or a.hex()[:8] for a in replica.reissue.absent()]
            if replica.reissue.is_active
            else [],
        },
        "refused": dict(sorted(replica.held.fold.refused.items())),
        "refusals": [
            {"author": r.author.hex(), "lane": r.lane, "seq": r.seq, "reason": r.reason}
            for r in replica.admission.refusals
        ],
        "evicted": replica.admission.deferred.evicted + replica.admission.waiting.evicted,
        "forked": [[author.hex(), lane] for author, lane in replica.forked()],
        "forks": [_fork(replica, author, lane) for author, lane in replica.forked()],
        "goodbyes": [
            {"node_id": node.hex(), "code": code, "text": text} for node, code, text in farewells
        ],
    }


def _median(values: list[int]) -> int | None:
    # Of the standard library it would cost every node half a MiB.
    ordered, middle = sorted(values), len(values) // 2
    if not ordered:
        return None
    return round((ordered[middle] + ordered[~middle]) / 2)


def _fork(replica: Replica, author: bytes, lane: int) -> dict[str, object]:
    """Who forked which log where, and what does not count for it. Cost: O(entries behind it)."""
    held, table = replica.held.ledger.lane(author, lane), replica.table
    assert held is not None and held.fork_seq is not None, "a lane that has forked"
    numbers = (table.number[entry_id] for _, entry_id in held.held_from(held.fork_seq))
    return {
        "node_id": author.hex(),
        "name": replica.label(author),
        "lane": lane,
        "seq": held.fork_seq,
        "void": sum(1 for n in numbers if table.verdicts[n] == Verdict.VOID),
    }


def _peers(
    replica: Replica,
    *,
    links: Mapping[int, LinkState],
    syncs: Mapping[int, LinkSync],
    peers: Iterable[PeerView],
    now: Now,
) -> list[dict[str, object]]:
    rows: dict[bytes, dict[str, object]] = {}
    for view in peers:
        rows[view.node] = _known(replica, view)
    for link, state in links.items():
        if state.hello is None:
            continue
        row = rows.setdefault(state.peer, _blank(replica, state.peer))
        sync = syncs.get(link)
        row.update(
            name=state.hello.name or row["name"],
            state="connected",
            region=state.hello.region,
            rtt_ms=state.rtt_ms,
            in_sync=sync.in_sync if sync is not None and sync.compared_ms is not None else None,
            behind=sync.behind if sync is not None else None,
            last_heard_s=round((now.mono_ms - state.heard_ms) / 1000, 3),
            skew_ms=state.skew_ms,
            software=state.hello.software,
            link=state.handshake_hash[:LINK_NAME_BYTES].hex(),
        )
        # Who has dialled in says where it is now; what else is known of it may be long past.
        where = state.address or next(iter(state.hello.addresses), None)
        if where is not None:
            row["address"] = _text_of(where)
    return [rows[node] for node in sorted(rows)]


def _dials(peers: Iterable[PeerView]) -> list[dict[str, object]]:
    """Addresses that are tried, and behind which nobody or a stranger (`node_id`) was met."""
    return [
        {
            "address": _text_of(address),
            "state": view.state,
            "last_error": view.last_error,
            "node_id": view.node.hex() or None,
        }
        for view in peers
        if view.state != "connected"
        for address in view.addresses
    ]


def _blank(replica: Replica, node: bytes) -> dict[str, object]:
    return {
        "node_id": node.hex(),
        "name": replica.label(node),
        "address": None,
        "state": "unknown",
        "region": None,
        "rtt_ms": None,
        "in_sync": None,
        "last_heard_s": None,
    }


def _known(replica: Replica, view: PeerView) -> dict[str, object]:
    row = _blank(replica, view.node)
    row.update(
        name=view.name or row["name"],
        address=_text_of(view.addresses[0]) if view.addresses else None,
        state=view.state,
        last_error=view.last_error,
    )
    return row


def _text_of(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
