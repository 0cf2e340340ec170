"""
Keys and signatures of a world, and the notary that reads each entry once for all hosts.

Two schemes. `Ed25519` is the real one; each signature is checked once, and what was found is
remembered for all hosts, as signatures do not change. `StandIn` signs with a keyed hash that it
alone can make, because it knows all seeds: 20 and 55 µs less for each entry. Nobody in it can
forge either; only outside the world would the difference matter.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Final, Protocol

from attrs import define, field, frozen

from capability.data_body import Data, parsed
from capability.entry import Entry, decode_entry
from capability.keys import SIGNATURE_BYTES, SeedSigner, Signer, verify
from capability.notary import Notary, data_of
from capability.ops import Op
from mesh.gossip.messages import Message
from mesh.wire import Unknown, decode_message

#: Decoded messages that are kept for the other receivers of the same bytes. A push goes to at most
#: as many links as a node has, at about the same time; a few of each host are enough.
MESSAGES_KEPT_MAX: Final = 4_096
#: Bytes above which a message is not kept: answers to one peer's question have one reader.
MESSAGE_KEPT_BYTES_MAX: Final = 16 * 1024


def tag_of(data: bytes) -> int:
    """The tag that a message begins with, for who need not read it; -1 if it has none."""
    return data[1] if len(data) > 1 and 0x90 <= data[0] < 0xA0 and data[1] < 0x80 else -1


def seed_of(world_seed: int, name: str) -> bytes:
    """The key seed of *name* in a world."""
    return hashlib.blake2b(f"{world_seed} {name}".encode(), digest_size=32).digest()


class Scheme(Protocol):
    """How hosts sign, and how everybody checks it."""

    def signer(self, seed: bytes) -> Signer:
        """The signer with this seed."""

    def verify(self, public: bytes, data: bytes, signature: bytes) -> bool:
        """Whether *signature* over *data* is by *public*."""


@define(eq=False)
class Ed25519:
    """Real signatures, each verified once."""

    _known: dict[tuple[bytes, bytes, bytes], bool] = field(factory=dict)

    def signer(self, seed: bytes) -> Signer:
        return SeedSigner(seed)

    def verify(self, public: bytes, data: bytes, signature: bytes) -> bool:
        key = (public, data, signature)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = verify(public, data, signature)
        return found


@frozen
class _StandInSigner:
    public: bytes
    _seed: bytes = field(repr=False)

    def sign(self, data: bytes) -> bytes:
        return _mac(self._seed, data)


def _mac(seed: bytes, data: bytes) -> bytes:
    return hashlib.blake2b(data, key=seed, digest_size=SIGNATURE_BYTES).digest()


@define(eq=False)
class StandIn:
    """A keyed hash in place of a signature. Keys that it did not make are checked as Ed25519's."""

    _seeds: dict[bytes, bytes] = field(factory=dict)

    def signer(self, seed: bytes) -> Signer:
        # The public key is the real one, so that ids and orders are those of the real scheme.
        public = SeedSigner(seed).public
        self._seeds[public] = seed
        return _StandInSigner(public, seed)

    def verify(self, public: bytes, data: bytes, signature: bytes) -> bool:
        seed = self._seeds.get(public)
        if seed is None:
            return verify(public, data, signature)
        return hmac.compare_digest(_mac(seed, data), signature)


SCHEMES: Final[dict[str, Callable[[], Scheme]]] = {"stand-in": StandIn, "ed25519": Ed25519}


@define(eq=False)
class Reading:
    """What hosts read is decoded once and shared: entries and messages are immutable."""

    scheme: Scheme
    _entries: dict[bytes, Entry] = field(factory=dict)
    _messages: dict[bytes, Message | Unknown] = field(factory=dict)
    _bodies: dict[bytes, Data | None] = field(factory=dict)

    @property
    def notary(self) -> Notary:
        """For every host of the world."""
        return Notary(self.entry, self.scheme.verify, self.data)

    def entry(self, data: bytes) -> Entry:
        """Decode an entry, or find it decoded. Raises FormError; failures are not remembered."""
        found = self._entries.get(data)
        if found is None:
            found = self._entries[data] = decode_entry(data)
        return found

    def operations(self, entry: Entry) -> tuple[Op | None, ...]:
        """What watchers read of a data entry's body: None where an operation is malformed."""
        data = self.data(entry)
        return () if data is None or data.parsed is None else data.parsed

    def data(self, entry: Entry) -> Data | None:
        """Decode a body and its operations, or find them decoded: its hash is in the id."""
        try:
            return self._bodies[entry.id]
        except KeyError:
            data = data_of(entry)
            found = self._bodies[entry.id] = None if data is None else parsed(data)
            return found

    def message(self, data: bytes, *, size_max: int) -> Message | Unknown:
        """Decode a message, or find it decoded. Raises ProtocolViolation."""
        if len(data) > min(size_max, MESSAGE_KEPT_BYTES_MAX):
            return decode_message(data, size_max=size_max)
        found = self._messages.get(data)
        if found is None:
            found = decode_message(data, size_max=size_max)
            if len(self._messages) >= MESSAGES_KEPT_MAX:
                self._messages.clear()
            self._messages[data] = found
        return found
