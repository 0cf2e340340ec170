"""
Membership: which links this node has, whom it dials, and which peers it remembers.

Every known peer without a link is dialled, for ever, with jittered exponential back-off; between
two nodes there is one link. Nothing here decides who is a member: a link is `accepted` when the
engine says so, and only then is its peer remembered.

How the engine drives it:

- `handle` takes `LinkOpened`, `LinkClosed`, `DialFailed`, `Found` and `Tick`. A link for which it
  returns `Disconnect` is gone at once: `holds` tells, and the later `LinkClosed` changes nothing.
- `accepted` when the peer's hello has been accepted, `refused` when one side ends the link for
  what the other is; `learned` for addresses named by others.
- `forget` when a peer is not to be dialled again.

Differs: HyParView's partial views are left out; up to `LINKS_MAX` every pair is linked.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from attrs import frozen

from mesh.core.effects import Connect, Disconnect, Effect, Persist
from mesh.core.inputs import MDNS, Address, DialFailed, Found, LinkClosed, LinkOpened, Now, Tick
from mesh.core.limits import LINKS_MAX, PEERS_MAX
from mesh.core.records import PutPeer
from mesh.gossip.limits import DIAL_MS_MAX, DIALS_MAX, HINTS_MAX, OWN_ADDRESSES_MAX, TEXT_BYTES_MAX
from mesh.gossip.targets import PeerView, Target, decode_target

__all__ = ["Membership", "PeerView"]

OWN_ADDRESS = "own address"
DUPLICATE_LINK = "duplicate link"
TOO_MANY_LINKS = "too many links"

#: A peer's key, or an address of which no peer is known yet.
_Key = bytes | Address


@frozen
class _Link:
    peer: bytes
    outbound: bool


class Membership:
    """Links, dials and known peers of one node."""

    __slots__ = (
        "_by_peer",
        "_dials",
        "_due_ms",
        "_has_moved",
        "_links",
        "_node",
        "_order",
        "_own",
        "_random",
        "_targets",
    )

    def __init__(self, node: bytes, peers: Iterable[tuple[bytes, bytes]], random: Random) -> None:
        """Start from the remembered *peers* (node, data); *random* gives the jitter."""
        self._node = node
        self._random = random
        self._order = 0
        # The deadline is asked for after every batch, and moves with few of them.
        self._has_moved = True
        self._due_ms: int | None = None
        # At most PEERS_MAX remembered ones, HINTS_MAX others, and one per link.
        self._targets: dict[_Key, Target] = {}
        self._links: dict[int, _Link] = {}
        self._by_peer: dict[bytes, int] = {}
        # Address → whom it is dialled for, and since when. At most DIALS_MAX.
        self._dials: dict[Address, tuple[_Key, int]] = {}
        # A dict for its order: the oldest goes first. At most OWN_ADDRESSES_MAX.
        self._own: dict[Address, None] = {}
        for peer, data in peers:
            target = decode_target(peer, data, self._next_order())
            if target is not None and peer != node and len(self._targets) < PEERS_MAX:
                self._targets[peer] = target

    def _next_order(self) -> int:
        self._order += 1
        return self._order

    # Inputs

    def handle(
        self, event: LinkOpened | LinkClosed | DialFailed | Found | Tick, now: Now
    ) -> list[Effect]:
        """Take one input; dial whatever is due."""
        self._has_moved = True
        effects: list[Effect] = []
        match event:
            case LinkOpened():
                effects = self._opened(event, now)
            case LinkClosed(link, reason):
                effects = self._closed(link, reason, now)
            case DialFailed(address, reason, is_other):
                called = self._dial_failed(address, reason, now)
                if is_other:
                    self._other_answered(address, called, now)
            case Found(address, source, node):
                self._found(address, node, now, is_named=source != MDNS)
            case Tick():
                self._expire(now)
        return effects + self._dial_due(now)

    def accepted(
        self, link: int, addresses: Iterable[Address], name: str, now: Now
    ) -> list[Effect]:
        """The peer's hello is accepted: remember it. A link that goes well ends the back-off."""
        self._has_moved = True
        held = self._links.get(link)
        if held is None:
            return []
        target = self._targets[held.peer]
        target.accepted = True
        target.last_error = ""
        target.round.clear()
        target.name = name.encode()[:TEXT_BYTES_MAX].decode(errors="ignore")
        for address in addresses:
            if address not in self._own:
                target.add(address)
        return self._remember(target, now)

    def refused(self, link: int) -> None:
        """One side ends the link for what it was told: the next attempt will end the same way."""
        if (held := self._links.get(link)) is not None:
            target = self._targets[held.peer]
            target.accepted, target.refused = False, True

    def learned(self, node: bytes, addresses: Iterable[Address], now: Now) -> list[Effect]:
        """Somebody names addresses of a peer."""
        self._has_moved = True
        for address in addresses:
            self._found(address, node, now)
        return self._dial_due(now)

    def forget(self, node: bytes) -> list[Effect]:
        """Do not dial this peer again; a link that it has stays."""
        self._has_moved = True
        target = self._targets.get(node)
        if target is None:
            return []
        remembered, target.remembered = target.remembered, False
        target.addresses.clear()
        target.named.clear()
        if target.link is None:
            del self._targets[node]
        return [Persist((PutPeer(node, b""),))] if remembered else []

    # Views

    @property
    def deadline(self) -> int | None:
        """When a dial is due or has taken too long, in monotonic ms."""
        if self._has_moved:
            due = [since + DIAL_MS_MAX for _, since in self._dials.values()]
            if self._may_dial():
                due += [target.next_ms for target in self._targets.values() if target.idle]
            self._due_ms, self._has_moved = min(due, default=None), False
        return self._due_ms

    def holds(self, link: int) -> bool:
        """Whether the link is one of this node's; a duplicate that lost is not."""
        return link in self._links

    def link_of(self, node: bytes) -> int | None:
        """The one link to a peer."""
        return self._by_peer.get(node)

    def peers_view(self) -> tuple[PeerView, ...]:
        """All known peers and addresses, in the order in which they became known."""
        ordered = sorted(self._targets.values(), key=lambda target: target.order)
        return tuple(target.view() for target in ordered)

    # Links

    def _opened(self, event: LinkOpened, now: Now) -> list[Effect]:
        dialled = event.address if event.outbound else None
        if dialled is not None:
            self._dial_ended(dialled)
        if event.peer == self._node:
            if dialled is not None:
                self._is_own(dialled)
            return [Disconnect(event.link, OWN_ADDRESS)]
        target = self._target(event.peer)
        if dialled is not None:
            hint = self._targets.pop(dialled, None)
            if hint is not None:
                target.named |= hint.named
            target.add(dialled, now.wall_ms)
        effects: list[Effect] = []
        old = self._by_peer.get(event.peer)
        if old is not None:
            if not self._newer_wins(self._links[old], event):
                return [Disconnect(event.link, DUPLICATE_LINK)]
            del self._links[old]
            effects.append(Disconnect(old, DUPLICATE_LINK))
        elif len(self._links) >= LINKS_MAX and (idle := self._oldest_idle()) is not None:
            # Keys are free: whoever has not yet shown a grant makes room for the next caller.
            effects += self._turn_out(idle, now)
        elif len(self._links) >= LINKS_MAX:
            target.failed(TOO_MANY_LINKS, now.mono_ms, self._random)
            self._tidy(event.peer)
            return [Disconnect(event.link, TOO_MANY_LINKS)]
        self._links[event.link] = _Link(event.peer, event.outbound)
        self._by_peer[event.peer] = event.link
        target.link, target.accepted = event.link, False
        return effects

    def _oldest_idle(self) -> int | None:
        """The oldest link whose hello is not accepted."""
        links = self._links.items()
        return next((link for link, held in links if not self._targets[held.peer].accepted), None)

    def _turn_out(self, link: int, now: Now) -> list[Effect]:
        peer = self._links.pop(link).peer
        del self._by_peer[peer]
        target = self._targets[peer]
        target.link = None
        target.round.clear()
        target.failed(TOO_MANY_LINKS, now.mono_ms, self._random)
        self._tidy(peer)
        return [Disconnect(link, TOO_MANY_LINKS)]

    def _newer_wins(self, old: _Link, new: LinkOpened) -> bool:
        """
        Of two links keep that of the lower initiator; of two by the same initiator, the newer.

        Both sides see the same two initiators, so they keep the same link. Of two by one side the
        older is the one that its initiator has given up, or else it would not have dialled.
        """
        if old.outbound == new.outbound:
            return True
        return new.outbound == (self._node < new.peer)

    def _closed(self, link: int, reason: str, now: Now) -> list[Effect]:
        held = self._links.pop(link, None)
        if held is None:
            return []
        del self._by_peer[held.peer]
        target = self._targets[held.peer]
        accepted, target.accepted, target.link = target.accepted, False, None
        target.last_error = reason
        if not accepted:
            # Refused by one of the two, or no hello came. That is a failed attempt.
            target.round.clear()
            target.failed(reason, now.mono_ms, self._random)
            self._tidy(held.peer)
            return []
        target.failures, target.refused = 0, False
        target.pause(now.mono_ms, self._random)
        return self._remember(target, now)

    def _is_own(self, address: Address) -> None:
        self._own[address] = None
        if len(self._own) > OWN_ADDRESSES_MAX:
            del self._own[next(iter(self._own))]
        for key in list(self._targets):
            self._targets[key].drop(address)
            self._tidy(key)

    # Targets

    def _target(self, key: _Key) -> Target:
        """The target, made if there is none; a new one may push out the oldest mere hint of all."""
        if (target := self._targets.get(key)) is not None:
            return target
        hints = [
            other
            for other, known in self._targets.items()
            if not known.remembered and known.link is None and known.dialing is None
        ]
        if len(hints) >= HINTS_MAX:
            # A stranger can announce any number; what a person or a ticket names is said once.
            rank = {
                other: (bool(self._targets[other].named), self._targets[other].order)
                for other in hints
            }
            del self._targets[min(rank, key=rank.__getitem__)]
        node = key if isinstance(key, bytes) else b""
        self._targets[key] = Target(node, self._next_order())
        return self._targets[key]

    def _tidy(self, key: _Key) -> None:
        """Forget a target that nothing is known of."""
        target = self._targets[key]
        if target.link is None and not target.addresses and not target.remembered:
            del self._targets[key]

    def _remember(self, target: Target, now: Now) -> list[Effect]:
        target.last_seen_ms = now.wall_ms
        records = []
        if not target.remembered:
            target.remembered = True
            records = self._evict()
        return [Persist((*records, PutPeer(target.node, target.encode())))]

    def _evict(self) -> list[PutPeer]:
        """Make room for one more remembered peer: the one not seen for the longest goes."""
        remembered = [target for target in self._targets.values() if target.remembered]
        absent = [target for target in remembered if target.link is None]
        if len(remembered) <= PEERS_MAX or not absent:
            return []
        oldest = min(absent, key=lambda target: (target.last_seen_ms, target.order))
        del self._targets[oldest.node]
        return [PutPeer(oldest.node, b"")]

    def _found(
        self, address: Address, node: bytes | None, now: Now, *, is_named: bool = False
    ) -> None:
        if node == self._node:
            self._is_own(address)
        if address in self._own:
            return
        key: _Key = address if node is None else node
        if node is None:
            owners = [
                known for known, target in self._targets.items() if address in target.addresses
            ]
            key = owners[0] if owners else address
        target = self._target(key)
        if is_named:
            target.named.add(address)
        target.hinted(address, now.mono_ms)

    # Dials

    def _may_dial(self) -> bool:
        # Whoever has not shown a grant makes room for whom this node calls, too.
        has_room = len(self._links) < LINKS_MAX or self._oldest_idle() is not None
        return has_room and len(self._dials) < DIALS_MAX

    def _dial_due(self, now: Now) -> list[Effect]:
        due = [t for t in self._targets.values() if t.idle and t.next_ms <= now.mono_ms]
        effects: list[Effect] = []
        for target in sorted(due, key=lambda target: (target.next_ms, target.order)):
            if not self._may_dial():
                break
            address = target.next_address()
            if address is None or address in self._dials:
                target.pause(now.mono_ms, self._random)
                continue
            target.dialing, target.tried_ms = address, now.mono_ms
            key: _Key = target.node or address
            self._dials[address] = (key, now.mono_ms)
            effects.append(Connect(address, target.node or None))
        return effects

    def _dial_ended(self, address: Address) -> Target | None:
        key, _ = self._dials.pop(address, (address, 0))
        target = self._targets.get(key)
        if target is None or target.dialing != address:
            return None
        target.dialing = None
        return target

    def _dial_failed(self, address: Address, reason: str, now: Now) -> Target | None:
        target = self._dial_ended(address)
        # Where the peer's own dial came up meanwhile, nothing has failed.
        if target is not None and target.link is None:
            target.failed(reason, now.mono_ms, self._random)
        return target

    def _other_answered(self, address: Address, called: Target | None, now: Now) -> None:
        """Whom this node knows has moved, and another listens in its place: call that one."""
        others = (target for target in self._targets.values() if target is not called)
        here = [target for target in others if address in target.addresses]
        if not any(target.link is not None or target.refused for target in here):
            self._target(address).hinted(address, now.mono_ms)

    def _expire(self, now: Now) -> None:
        for address, (_, since) in list(self._dials.items()):
            if now.mono_ms >= since + DIAL_MS_MAX:
                self._dial_failed(address, "no answer", now)
