"""
Acquaintance: nodes tell one another where the others say that they may be dialled.

Two nodes that joined by the same member would otherwise know nobody but that member, and could not
meet while it is away. What is told is what each peer said of itself in its hello; who hears of a
node believes it only of members, and dials it like any address: whoever answers must hold the key.
Who is no member any more is no acquaintance either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mesh.core.effects import Effect, Send
from mesh.core.inputs import Now
from mesh.core.limits import REPAIR_INTERVAL_MS
from mesh.gossip.limits import PEERS_TOLD_MAX, SETTLE_MS, TOLD_INTERVAL_MS
from mesh.gossip.membership import Membership
from mesh.gossip.messages import Message, Peers, Told
from mesh.gossip.tree import put
from mesh.greeting import is_member, why_void
from mesh.replica.replica import Replica
from mesh.status import LinkState


def introduce(
    link: int, links: Mapping[int, LinkState], encode: Callable[[Message], bytes]
) -> list[Effect]:
    """Tell the peer of *link*, whose hello was just accepted, of the others, and these of it."""
    new = links[link]
    assert new.hello is not None, "a peer is introduced after its hello"
    others = {
        other: state
        for other, state in sorted(links.items())
        if other != link and state.hello is not None and state.peer != new.peer
    }
    effects: list[Effect] = []
    told = {
        state.peer: state.hello.addresses
        for state in others.values()
        if state.hello is not None and state.hello.addresses
    }
    if told:
        listed = tuple(Told(peer, told[peer]) for peer in sorted(told)[:PEERS_TOLD_MAX])
        effects.append(Send(link, encode(Peers(listed))))
    if new.hello.addresses:
        news = encode(Peers((Told(new.peer, new.hello.addresses),)))
        effects += [Send(other, news) for other in others]
    return effects


def hear(
    message: Peers, state: LinkState, membership: Membership, replica: Replica, now: Now
) -> list[Effect]:
    """
    A peer names others: those that are members may be dialled, so many in a while.

    Whoever has just joined knows no member yet, and nobody knows it: see `recall`.
    """
    for told in message.peers:
        if told.node != replica.author:
            put(state.unmet, told.node, told.addresses, PEERS_TOLD_MAX)
    return _learn(state, membership, replica, now)


def recall(
    links: Mapping[int, LinkState], membership: Membership, replica: Replica, now: Now
) -> list[Effect]:
    """Whom a peer has told of too early, or with too many others, may be dialled now."""
    effects: list[Effect] = []
    for state in links.values():
        if state.unmet and now.mono_ms >= state.recall_ms:
            effects += _learn(state, membership, replica, now)
    return effects


def _learn(state: LinkState, membership: Membership, replica: Replica, now: Now) -> list[Effect]:
    state.recall_ms = now.mono_ms + SETTLE_MS
    if now.mono_ms >= state.told_ms + TOLD_INTERVAL_MS:
        state.told, state.told_ms = 0, now.mono_ms
    effects: list[Effect] = []
    for node in [node for node in state.unmet if is_member(replica, node, now)]:
        if state.told >= PEERS_TOLD_MAX:
            break
        state.told += 1
        effects += membership.learned(node, state.unmet.pop(node), now)
    return effects


def departed(
    links: Mapping[int, LinkState], replica: Replica, now: Now, *, at_once: bool
) -> list[tuple[int, str]]:
    """
    Links whose peer is no member any more, and why; ascending.

    Each link is looked at every `REPAIR_INTERVAL_MS`, since a grant ends without a word, and all
    of them *at_once* when an authority log has changed what counts.
    """
    found = []
    for link, state in links.items():
        is_due = state.looked_ms <= now.mono_ms
        if state.hello is not None and (is_due or at_once):
            state.looked_ms = now.mono_ms + REPAIR_INTERVAL_MS
            if void := why_void(state.hello, replica, state.peer, now):
                found.append((link, void))
    return sorted(found)
