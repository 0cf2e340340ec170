"""
The Noise state machine for one suite, `Noise_XX_25519_ChaChaPoly_SHA256`, and no other.

One suite means that there is nothing to negotiate and nothing to downgrade. No primitive is made
here: X25519 and ChaCha20-Poly1305 are libsodium's, SHA-256 and HMAC are the standard library's.

    XX:  -> e          <- e, ee, s, es          -> s, se

After a `NoiseError` a state is spoiled and must be dropped, as the paper says.

Source: Trevor Perrin, "The Noise Protocol Framework", revision 34, 2018, sections 5 and 7,
    https://noiseprotocol.org/noise_rev34.html
Differs: a DH result of zero is refused. Section 12.1 allows it but advises against it, as variance
    between implementations; libsodium does so by itself, and a peer that sends such a key is no
    peer.
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final, Self

from attrs import define, field
from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
    crypto_scalarmult,
    crypto_scalarmult_base,
)
from nacl.exceptions import CryptoError
from nacl.exceptions import RuntimeError as SodiumRuntimeError

from mesh.channel.errors import NoiseError

# Exactly HASHLEN bytes long, so it is its own initial hash (section 5.2, InitializeSymmetric).
PROTOCOL_NAME: Final = b"Noise_XX_25519_ChaChaPoly_SHA256"
KEY_BYTES: Final = 32
TAG_BYTES: Final = 16
# Section 3: no Noise message is longer.
NOISE_MESSAGE_BYTES_MAX: Final = 65_535
# Section 5.1: 2^64-1 is reserved for rekey.
NONCE_MAX: Final = 2**64 - 2

_PATTERN: Final = (("e",), ("e", "ee", "s", "es"), ("s", "se"))
_REKEY_NONCE: Final = b"\0\0\0\0" + b"\xff" * 8


def static_public(private: bytes) -> bytes:
    """The X25519 public key of a 32-byte private key."""
    # The binding does not check lengths, and libsodium would read past the end of a short key.
    assert len(private) == KEY_BYTES, f"private key has {len(private)} bytes, expected {KEY_BYTES}"
    return crypto_scalarmult_base(private)


def _diffie_hellman(private: bytes, public: bytes) -> bytes:
    assert len(private) == KEY_BYTES and len(public) == KEY_BYTES
    try:
        return crypto_scalarmult(private, public)
    except SodiumRuntimeError as error:
        raise NoiseError("the peer's public key has small order") from error


def _derive(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    """HKDF of section 4.3 with two outputs, the only number that XX needs."""
    secret = hmac.digest(chaining_key, material, "sha256")
    first = hmac.digest(secret, b"\x01", "sha256")
    return first, hmac.digest(secret, first + b"\x02", "sha256")


@define(eq=False)
class CipherState:
    """One direction's key and counter (section 5.1); without a key it passes bytes through."""

    _key: bytes | None = field(default=None, repr=False)
    _nonce: int = 0

    @property
    def nonce(self) -> int:
        """Messages handled under this state so far; rekeying does not reset it."""
        return self._nonce

    def encrypt(self, associated: bytes, plaintext: bytes) -> bytes:
        """
        EncryptWithAd.

        Raises:
            NoiseError: All nonces are used up.
        """
        if self._key is None:
            return plaintext
        nonce = self._nonce_bytes()
        sealed = crypto_aead_chacha20poly1305_ietf_encrypt(plaintext, associated, nonce, self._key)
        self._nonce += 1
        return sealed

    def decrypt(self, associated: bytes, ciphertext: bytes) -> bytes:
        """
        DecryptWithAd; a failure does not advance the nonce.

        Raises:
            NoiseError: The tag is wrong or missing, or all nonces are used up.
        """
        if self._key is None:
            return ciphertext
        if len(ciphertext) < TAG_BYTES:
            raise NoiseError(f"{len(ciphertext)} bytes cannot hold a tag of {TAG_BYTES}")
        nonce = self._nonce_bytes()
        try:
            opened = crypto_aead_chacha20poly1305_ietf_decrypt(
                ciphertext, associated, nonce, self._key
            )
        except CryptoError as error:
            raise NoiseError(f"wrong tag on ciphertext {self._nonce}") from error
        self._nonce += 1
        return opened

    def rekey(self) -> None:
        """Replace the key by a one-way function of itself; the nonce goes on (section 4.2)."""
        assert self._key is not None, "rekey before a key exists"
        self._key = crypto_aead_chacha20poly1305_ietf_encrypt(
            bytes(KEY_BYTES), b"", _REKEY_NONCE, self._key
        )[:KEY_BYTES]

    def _nonce_bytes(self) -> bytes:
        if self._nonce > NONCE_MAX:
            raise NoiseError("all nonces of this key are used up")
        return b"\0\0\0\0" + self._nonce.to_bytes(8, "little")


@define(eq=False)
class SymmetricState:
    """The chaining key and the transcript hash (section 5.2)."""

    _hash: bytes = PROTOCOL_NAME
    _chaining_key: bytes = field(default=PROTOCOL_NAME, repr=False)
    _cipher: CipherState = field(factory=CipherState)

    @property
    def handshake_hash(self) -> bytes:
        """The hash of all that was sent so far, 32 bytes."""
        return self._hash

    def mix_hash(self, data: bytes) -> None:
        """Add *data* to the transcript."""
        self._hash = hashlib.sha256(self._hash + data).digest()

    def mix_key(self, material: bytes) -> None:
        """Add a DH result to the chaining key and start a fresh cipher."""
        self._chaining_key, key = _derive(self._chaining_key, material)
        self._cipher = CipherState(key)

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        """Encrypt under the transcript so far, then add the result to it."""
        ciphertext = self._cipher.encrypt(self._hash, plaintext)
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        """
        Decrypt under the transcript so far, then add the ciphertext to it.

        Raises:
            NoiseError: The tag is wrong or missing.
        """
        plaintext = self._cipher.decrypt(self._hash, ciphertext)
        self.mix_hash(ciphertext)
        return plaintext

    def split(self) -> tuple[CipherState, CipherState]:
        """The transport ciphers: first the initiator's sending one, then the responder's."""
        first, second = _derive(self._chaining_key, b"")
        return CipherState(first), CipherState(second)


@define(eq=False)
class HandshakeState:
    """
    One side of the three messages of XX (section 5.3); messages are written and read in turn.

    Attributes:
        step: Index of the next message, 3 when the handshake is over.
        remote_static: The peer's static public key once it has been received, else empty.
    """

    _is_initiator: bool
    _static_key: bytes = field(repr=False)
    _ephemeral_key: bytes = field(repr=False)
    _symmetric: SymmetricState
    _remote_ephemeral: bytes = b""
    remote_static: bytes = b""
    step: int = 0

    @classmethod
    def start(
        cls, *, is_initiator: bool, prologue: bytes, static_key: bytes, ephemeral_key: bytes
    ) -> Self:
        """
        The state before the first message.

        Args:
            is_initiator: Whether this side writes the first message.
            prologue: What both sides must already agree on; a difference fails the handshake.
            static_key: X25519 private key, 32 bytes.
            ephemeral_key: X25519 private key, 32 bytes. Use each one for one handshake only.
        """
        assert len(static_key) == KEY_BYTES, f"static key has {len(static_key)} bytes"
        assert len(ephemeral_key) == KEY_BYTES, f"ephemeral key has {len(ephemeral_key)} bytes"
        symmetric = SymmetricState()
        symmetric.mix_hash(prologue)
        return cls(is_initiator, static_key, ephemeral_key, symmetric)

    @property
    def handshake_hash(self) -> bytes:
        """Names this connection once `step` is 3; equal on both sides."""
        return self._symmetric.handshake_hash

    @property
    def my_turn(self) -> bool:
        """Whether the next message is to be written here; means nothing after the handshake."""
        return self._is_initiator == (self.step % 2 == 0)

    def write_message(self, payload: bytes) -> bytes:
        """The next message, carrying *payload*; in message 1 that is in the clear."""
        message = b""
        for token in self._next_tokens(writing=True):
            match token:
                case "e":
                    public = static_public(self._ephemeral_key)
                    self._symmetric.mix_hash(public)
                    message += public
                case "s":
                    message += self._symmetric.encrypt_and_hash(static_public(self._static_key))
                case _:
                    self._mix(token)
        message += self._symmetric.encrypt_and_hash(payload)
        assert len(message) <= NOISE_MESSAGE_BYTES_MAX, f"message of {len(message)} bytes"
        self.step += 1
        return message

    def read_message(self, message: bytes) -> bytes:
        """
        Take the peer's next message.

        Returns:
            Its payload.

        Raises:
            NoiseError: Too short or long, a small-order key, or a wrong tag. Drop this state.
        """
        if len(message) > NOISE_MESSAGE_BYTES_MAX:
            raise NoiseError(f"message of {len(message)} bytes, limit {NOISE_MESSAGE_BYTES_MAX}")
        rest = message
        for token in self._next_tokens(writing=False):
            match token:
                case "e":
                    self._remote_ephemeral, rest = _cut(rest, KEY_BYTES)
                    self._symmetric.mix_hash(self._remote_ephemeral)
                case "s":
                    sealed, rest = _cut(rest, KEY_BYTES + TAG_BYTES)
                    self.remote_static = self._symmetric.decrypt_and_hash(sealed)
                case _:
                    self._mix(token)
        payload = self._symmetric.decrypt_and_hash(rest)
        self.step += 1
        return payload

    def split(self) -> tuple[CipherState, CipherState]:
        """The transport ciphers of this side: for sending, for receiving."""
        assert self.step == len(_PATTERN), f"split after {self.step} messages"
        initiators, responders = self._symmetric.split()
        return (initiators, responders) if self._is_initiator else (responders, initiators)

    def _next_tokens(self, *, writing: bool) -> Sequence[str]:
        assert self.step < len(_PATTERN), "the handshake is over"
        assert self.my_turn == writing, f"message {self.step + 1} goes the other way"
        return _PATTERN[self.step]

    def _mix(self, token: str) -> None:
        # The letters are initiator's key, then responder's: "es" is my e with their s on one side,
        # and my s with their e on the other.
        mine, theirs = (token[0], token[1]) if self._is_initiator else (token[1], token[0])
        private = self._ephemeral_key if mine == "e" else self._static_key
        public = self._remote_ephemeral if theirs == "e" else self.remote_static
        self._symmetric.mix_key(_diffie_hellman(private, public))


def _cut(data: bytes, size: int) -> tuple[bytes, bytes]:
    if len(data) < size:
        raise NoiseError(f"{len(data)} bytes where a key needs {size}")
    return data[:size], data[size:]
