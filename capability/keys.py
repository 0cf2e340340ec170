"""
Ed25519 keys: one implementation (libsodium through PyNaCl), one way to sign, one to verify.

Two Ed25519 libraries disagree on crafted signatures, and a mesh whose nodes disagree on one
signature is split for ever. So nothing else in the project verifies entries, and `self_test`
refuses to run on a library that answers the known edge cases differently.

The cases and their source are in `capability.edge_cases`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import CryptoError

from capability.edge_cases import EDGE_CASES
from capability.errors import CapabilityError

PUBLIC_BYTES: Final = 32
SEED_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

# RFC 8032, section 7.1, test 1: the signature of the empty message.
_RFC_SEED: Final = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
_RFC_PUBLIC: Final = bytes.fromhex(
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
)
_RFC_SIGNATURE: Final = bytes.fromhex(
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
    "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
)


#: Whether the third is the signature of the first, a public key, over the second.
Verify: TypeAlias = Callable[[bytes, bytes, bytes], bool]


class Signer(Protocol):
    """Whoever can sign as one identity; the simulator's stand-in is one too."""

    @property
    def public(self) -> bytes:
        """The 32-byte public key: the identity itself."""

    def sign(self, data: bytes) -> bytes:
        """A 64-byte signature over *data*."""


class SeedSigner:
    """Signs with the Ed25519 key that a 32-byte seed gives. Cost: 20 µs per signature."""

    __slots__ = ("_secret", "public")

    public: bytes

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise CapabilityError(f"an Ed25519 seed has {SEED_BYTES} bytes, got {len(seed)}")
        self.public, self._secret = crypto_sign_seed_keypair(seed)

    def __repr__(self) -> str:
        return f"SeedSigner({self.public.hex()[:8]}…)"

    def sign(self, data: bytes) -> bytes:
        return crypto_sign(data, self._secret)[:SIGNATURE_BYTES]


def verify(public: bytes, data: bytes, signature: bytes) -> bool:
    """Whether *signature* over *data* is by *public*. Never raises. Cost: 55 µs."""
    if len(public) != PUBLIC_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        crypto_sign_open(signature + data, public)
    except (CryptoError, ValueError):
        return False
    return True


def self_test() -> None:
    """
    Refuse an Ed25519 library that does not sign and verify as every other node's does.

    A node calls this once, before it reads or writes an entry. Cost: 1 ms.

    Raises:
        CapabilityError: Names the case and both verdicts; the remedy is another PyNaCl.
    """
    for number, case in enumerate(EDGE_CASES):
        message, public, signature = map(bytes.fromhex, (case.message, case.public, case.signature))
        verdict = verify(public, message, signature)
        if verdict != case.accepted:
            raise CapabilityError(
                f"the Ed25519 library {'accepts' if verdict else 'refuses'} edge case {number} "
                f"({case.tries}), every other node does the opposite; install PyNaCl's own wheel"
            )
    signer = SeedSigner(_RFC_SEED)
    if signer.public != _RFC_PUBLIC or signer.sign(b"") != _RFC_SIGNATURE:
        raise CapabilityError("the Ed25519 library does not sign as RFC 8032, test 1, says")
