"""
Ed25519 keys: one implementation (libsodium through PyNaCl), one way to sign, one to verify.

Two Ed25519 libraries disagree on crafted signatures, and a mesh whose nodes disagree on one
signature is split for ever. So nothing else in the project verifies entries, and `self_test`
refuses to run on a library that answers the known edge cases differently.

Source: Chalkias, Garillot, Nikolaenko, "Taming the many EdDSAs", 2020, table 6c (edge cases).
"""

from __future__ import annotations

from typing import Final, Protocol

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import CryptoError

from capability.errors import CapabilityError

PUBLIC_BYTES: Final = 32
SEED_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64


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
