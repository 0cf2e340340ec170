"""
Signing again what the fuzzer changed, as a hostile member would.

A changed entry has a wrong hash and a wrong signature, and everything behind that check would stay
untried. A `Mender` finds entries and signed headers in a message by their shape, and makes hashes,
ids and signatures good again where it has the author's key.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from capability.entry import KIND_GENESIS
from capability.ids import DOMAIN_ENTRY, ZERO_ID, body_hash, entry_id
from capability.keys import SIGNATURE_BYTES, SeedSigner
from tests.fuzz.packed import pack, unpack

AUTHOR, KIND, BODY_LEN, BODY_HASH = 1, 6, 8, 9


class Mender:
    """Makes entries good again, one after the other: what names a mended one is mended, too."""

    def __init__(self, mesh_id: bytes, signers: Iterable[SeedSigner]) -> None:
        self.mesh_id = mesh_id
        self.signers = {signer.public: signer for signer in signers}
        #: Id before → id after.
        self.renamed: dict[bytes, bytes] = {}

    def mend(self, value: Any) -> Any:
        """*value*, as `unpack` gives it, with every entry in it signed by its author."""
        if not isinstance(value, list):
            return self.renamed.get(value, value) if isinstance(value, bytes) else value
        items = [self.mend(item) for item in value]
        if _is_signed(value):
            # What cannot be packed or hashed stays as it is.
            with suppress(ValueError, TypeError):
                items = self._signed(value[0], items)
        return type(value)(items)

    def _signed(self, before: list[Any], items: list[Any]) -> list[Any]:
        header = list(items[0])
        if len(items) == 3:
            body = items[2] if isinstance(items[2], bytes) else pack(list(items[2]))
            header[BODY_LEN], header[BODY_HASH] = len(body), body_hash(body)
            items = [*items[:2], body]
        signer = self.signers.get(header[AUTHOR])
        header_bytes, was = pack(header), entry_id(pack(list(before)))
        mesh_id = ZERO_ID if header[KIND] == KIND_GENESIS else self.mesh_id
        self.renamed[was] = entry_id(header_bytes)
        if signer is not None:
            items[1] = signer.sign(DOMAIN_ENTRY + mesh_id + header_bytes)
        return [header_bytes, *items[1:]]

    def message(self, value: Any) -> bytes:
        """The bytes of a mended message; ValueError if it has none."""
        return pack(self.mend(value))


def _is_signed(value: list[Any]) -> bool:
    if len(value) not in (2, 3) or not isinstance(value[0], list) or len(value[0]) != 10:
        return False
    author, signature = value[0][AUTHOR], value[1]
    signed = isinstance(signature, bytes) and len(signature) == SIGNATURE_BYTES
    return signed and isinstance(author, bytes)


def mended(data: bytes, mender: Mender) -> bytes:
    """*data* with every entry in it signed again; as it is, if it is no MessagePack."""
    try:
        return mender.message(unpack(data))
    except (ValueError, RecursionError):
        return data
