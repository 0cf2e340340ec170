"""Answers to a peer's questions about entries. Stateless; each answer fits one message."""

from __future__ import annotations

from mesh.core.limits import WINDOW_BYTES
from mesh.core.ports import ReplicaPort
from mesh.gossip.limits import ENTRIES_MAX
from mesh.gossip.messages import Entries, ForkProof, Get, GetById, GetHeaders, Headers
from mesh.gossip.ranges import LaneKey

Question = Get | GetById | GetHeaders


def answer(question: Question, replica: ReplicaPort) -> Entries | Headers:
    """The answer from what is held now. Cost: one window at most, whatever was asked."""
    match question:
        case Get():
            return _ranges(question, replica)
        case GetById(request, ids):
            found = replica.entries_by_id(ids, WINDOW_BYTES)
            return Entries(request, tuple(found[:ENTRIES_MAX]), done=True)
        case GetHeaders(request, author, lane, seqs):
            headers = tuple(replica.header_at(author, lane, seq) for seq in seqs)
            return Headers(request, author, lane, headers)


def fork_proof(replica: ReplicaPort, key: LaneKey) -> ForkProof | None:
    """The proof that this node holds of a lane's fork."""
    proof = replica.fork_proof(key[1], key[0])
    return None if proof is None else ForkProof(*proof)


def _ranges(get: Get, replica: ReplicaPort) -> Entries:
    # One entry may exceed what is left of the budget; an answer stays below a window and one of
    # the largest entries, which is half a message.
    left = min(get.budget, WINDOW_BYTES)
    entries: list[bytes] = []
    for item in get.ranges:
        last = min(item.last, replica.row(item.author, item.lane).seq)
        if item.first > last:
            continue
        if left <= 0:
            return Entries(get.request, tuple(entries), done=False)
        found = replica.read_range(item.author, item.lane, item.first, last, left)
        entries += found[: ENTRIES_MAX - len(entries)]
        left -= sum(map(len, found))
        if found and item.first + len(found) - 1 < last:
            return Entries(get.request, tuple(entries), done=False)
    return Entries(get.request, tuple(entries), done=True)
