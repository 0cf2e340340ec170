"""
Whom to dial: a known peer, or a bare address behind which a member may listen.

What is remembered of a peer goes to disk as [1, name, last_seen_ms, [[host, port, success_ms]…]],
and nothing in it is trusted: addresses are hints, and only the channel says who answers.
"""

from __future__ import annotations

from random import Random
from typing import Final

from attrs import define, field, frozen

from capability.errors import FormError
from capability.form import array, record, text, unsigned
from crdt.codec import decode, encode
from crdt.errors import CodecError
from mesh.core.inputs import Address
from mesh.core.limits import ADDRESSES_MAX, REDIAL_MS_MAX, REDIAL_MS_MIN
from mesh.gossip.limits import HOST_BYTES_MAX, PEER_BYTES_MAX, TEXT_BYTES_MAX

_FORMAT: Final = 1


@frozen
class PeerView:
    """One line of `status`: what is known of a peer, or of an address if `node` is empty."""

    node: bytes
    name: str
    addresses: tuple[Address, ...]
    #: connected (its hello is accepted), dialing (or shaking hands), waiting
    state: str
    link: int | None
    #: Monotonic ms of the next attempt, None while connected or dialing.
    next_ms: int | None
    last_error: str
    last_seen_ms: int


@define
class Target:
    """One peer or address, and where its redialling stands."""

    node: bytes
    #: Order of arrival: breaks ties among targets that are due at once.
    order: int
    name: str = ""
    last_seen_ms: int = 0
    #: Address → wall ms of its last success, 0 for none. At most ADDRESSES_MAX.
    addresses: dict[Address, int] = field(factory=dict)
    #: Those that a person or a ticket named, and not a stranger or a peer.
    named: set[Address] = field(factory=set)
    #: On disk, and not only heard of.
    remembered: bool = False
    link: int | None = None
    accepted: bool = False
    #: One side ended the last link for what the other is, and none has gone well since.
    refused: bool = False
    dialing: Address | None = None
    #: Addresses that this round has still to try.
    round: list[Address] = field(factory=list)
    next_ms: int = 0
    tried_ms: int | None = None
    failures: int = 0
    last_error: str = ""

    @property
    def idle(self) -> bool:
        return self.link is None and self.dialing is None and bool(self.addresses)

    def add(self, address: Address, success_ms: int = 0) -> None:
        """
        Learn an address; when there are too many, the one that worked longest ago goes.

        What a person named stays: peers can tell of any number.
        """
        self.addresses[address] = max(success_ms, self.addresses.get(address, 0))
        if len(self.addresses) > ADDRESSES_MAX:
            rank = {
                known: (known in self.named, known == address, worked_ms)
                for known, worked_ms in self.addresses.items()
            }
            self.drop(min(rank, key=rank.__getitem__))

    def drop(self, address: Address) -> None:
        """Forget an address, if it is known."""
        self.addresses.pop(address, None)
        self.named.discard(address)

    def next_address(self) -> Address | None:
        """The next address of this round, the one that worked last first; None: it has none."""
        if not self.round:
            ranked = sorted(self.addresses, key=lambda known: -self.addresses[known])
            self.round = ranked
        return self.round.pop(0) if self.round else None

    def failed(self, reason: str, now_ms: int, random: Random) -> None:
        """An attempt came to nothing: the next address at once, or a pause after the last one."""
        self.last_error = reason
        self.dialing = None
        if self.round:
            self.next_ms = now_ms
            return
        self.failures += 1
        self.pause(now_ms, random)

    def pause(self, now_ms: int, random: Random) -> None:
        """Wait, twice as long after each failure, ±25 % so that nodes do not dial in step."""
        doubled = REDIAL_MS_MIN << min(max(self.failures - 1, 0), 16)
        self.next_ms = now_ms + int(min(doubled, REDIAL_MS_MAX) * (0.75 + random.random() / 2))

    def hinted(self, address: Address, now_ms: int) -> None:
        """
        Somebody says that it is there: dial soon, but not in a burst if many say so.

        That it is where it refused is no news. Every dial of such a node lets others tell of it,
        so that their word would end the back-off of all for ever.
        """
        is_news = not self.refused or address not in self.addresses
        self.add(address)
        if is_news:
            self._wake(now_ms)

    def _wake(self, now_ms: int) -> None:
        soonest = now_ms if self.tried_ms is None else max(now_ms, self.tried_ms + REDIAL_MS_MIN)
        self.failures = 0
        self.next_ms = min(self.next_ms, soonest)

    def encode(self) -> bytes:
        """What is remembered on disk."""
        addresses = tuple((host, port, at) for (host, port), at in sorted(self.addresses.items()))
        return encode((_FORMAT, self.name, self.last_seen_ms, addresses))

    def view(self) -> PeerView:
        waiting = self.link is None and self.dialing is None
        return PeerView(
            node=self.node,
            name=self.name,
            addresses=tuple(sorted(self.addresses)),
            state="connected" if self.accepted else "waiting" if waiting else "dialing",
            link=self.link,
            next_ms=self.next_ms if waiting and self.addresses else None,
            last_error=self.last_error,
            last_seen_ms=self.last_seen_ms,
        )


def decode_target(node: bytes, data: bytes, order: int) -> Target | None:
    """The remembered peer; None if the bytes are of another format or damaged."""
    try:
        value = decode(data, size_max=PEER_BYTES_MAX)
        version, name, last_seen, addresses = record(value, 4, "peer")
        unsigned(version, "version", least=_FORMAT, most=_FORMAT)
        target = Target(node, order, text(name, "name", most=TEXT_BYTES_MAX), remembered=True)
        target.last_seen_ms = unsigned(last_seen, "last seen")
        for item in array(addresses, "addresses", most=ADDRESSES_MAX):
            host, port, at = record(item, 3, "address")
            where = (text(host, "host", most=HOST_BYTES_MAX), unsigned(port, "port", most=65_535))
            target.add(where, unsigned(at, "success"))
    except (CodecError, FormError):
        return None
    return target
