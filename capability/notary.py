"""
How a replica reads entries and checks signatures: each for itself, unless it is told otherwise.

A node reads and verifies everything that it is sent, with libsodium. A simulator hands all its
hosts one notary that does each entry once for all of them, and may have a declared stand-in for
the signatures. Nobody else has a reason to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import frozen

from capability.entry import Entry, SignedHeader, decode_entry, verify_entry
from capability.keys import Verify, verify


@frozen
class Notary:
    """*read* raises FormError; *verify* is whether a signature is by a key, and never raises."""

    read: Callable[[bytes], Entry] = decode_entry
    verify: Verify = verify

    def check(self, entry: Entry | SignedHeader, mesh_id: bytes) -> None:
        """Raise SignatureRefused unless the author signed this header in this mesh."""
        verify_entry(entry, mesh_id, by=self.verify)


#: The notary of every node.
ED25519: Final = Notary()
