"""
How fast strangers may ask for handshakes: a token bucket for all, and one for each address.

A handshake costs this node some 0.2 ms of computing before it knows who calls. `HandshakeGate`
bounds how many are under way; this bounds how many begin. A connection for which there is no token
is closed before a byte of it is read; an honest node dials again, 0.5 s to 5 s later.

The table of addresses never forgets anything that matters: an address is entered only when it is
let in, and by the time that enough others were to push it out, its bucket is full again.

Source: token bucket as in RFC 2697; the rates are those of the security design, bursts are a guess.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from attrs import define, field

from mesh.transport.tcp import is_loopback

#: Handshakes in a second, and at once after a pause: all together, from one host, and from this
#: machine. Many nodes on this machine are no attack, but they leave half of it to the others.
HANDSHAKE_RATE_MAX: Final = 200
HANDSHAKE_BURST_MAX: Final = 200
HANDSHAKE_RATE_PER_HOST_MAX: Final = 10
HANDSHAKE_BURST_PER_HOST_MAX: Final = 20
HANDSHAKE_RATE_LOOPBACK_MAX: Final = 100
HANDSHAKE_BURST_LOOPBACK_MAX: Final = 100
#: Hosts whose bucket is remembered. At most burst + rate × 2 s = 600 others are let in while a
#: bucket of 20 fills up at 10 a second; with more room than that nothing is gained by filling it.
HANDSHAKE_HOSTS_MAX: Final = 1_024


@define
class TokenBucket:
    """So many at once, and so many a second from then on; it begins full. Times in s ascend."""

    rate: float
    burst: float
    _tokens: float = field(init=False)
    _told_s: float = field(init=False, default=float("-inf"))

    def __attrs_post_init__(self) -> None:
        self._tokens = self.burst

    def has_one(self, now_s: float) -> bool:
        """Whether a token may be taken now."""
        if now_s > self._told_s:
            gained = (now_s - self._told_s) * self.rate
            self._tokens = min(self.burst, self._tokens + gained)
            self._told_s = now_s
        return self._tokens >= 1

    def take(self) -> None:
        """Take the token that `has_one` has found."""
        assert self._tokens >= 1, "no token was left"
        self._tokens -= 1


def _overall() -> TokenBucket:
    return TokenBucket(HANDSHAKE_RATE_MAX, HANDSHAKE_BURST_MAX)


@define(eq=False)
class HandshakePace:
    """Says of each connection that was accepted whether it may begin a handshake."""

    now_s: Callable[[], float]
    refused: int = 0
    _all: TokenBucket = field(factory=_overall)
    _hosts: OrderedDict[str, TokenBucket] = field(factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._hosts)

    def admits(self, host: str) -> bool:
        """Take a token for *host*, or count a refusal, which costs nobody a token. Cost: O(1)."""
        now_s = self.now_s()
        # All of 127.0.0.0/8 is one machine: this one.
        name = "loopback" if is_loopback(host) else host
        bucket = self._hosts.get(name) or _bucket_of(name)
        if not bucket.has_one(now_s) or not self._all.has_one(now_s):
            self.refused += 1
            return False
        bucket.take()
        self._all.take()
        self._hosts[name] = bucket
        self._hosts.move_to_end(name)
        if len(self._hosts) > HANDSHAKE_HOSTS_MAX:
            self._hosts.popitem(last=False)
        return True


def _bucket_of(name: str) -> TokenBucket:
    if name == "loopback":
        return TokenBucket(HANDSHAKE_RATE_LOOPBACK_MAX, HANDSHAKE_BURST_LOOPBACK_MAX)
    return TokenBucket(HANDSHAKE_RATE_PER_HOST_MAX, HANDSHAKE_BURST_PER_HOST_MAX)
