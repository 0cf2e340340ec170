"""
How a replica reads entries and checks signatures: each for itself, unless it is told otherwise.

A node reads and verifies everything that it is sent, with libsodium. A simulator hands all its
hosts one notary that does each entry, and each body, once for all of them, and may have a declared
stand-in for the signatures. Nobody else has a reason to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import frozen

from capability.data_body import Data, decode_data
from capability.entry import KIND_DATA, Entry, SignedHeader, decode_entry, verify_entry
from capability.errors import FormError
from capability.keys import Verify, verify


def data_of(entry: Entry) -> Data | None:
    """The body of a data entry, None when it is of another kind or malformed: held and inert."""
    if entry.header.kind != KIND_DATA:
        return None
    try:
        return decode_data(entry.body)
    except FormError:
        return None


@frozen
class Notary:
    """
    *read* raises FormError; *verify* is whether a signature is by a key, and never raises.

    *data* is `data_of`, or what gives the same.
    """

    read: Callable[[bytes], Entry] = decode_entry
    verify: Verify = verify
    data: Callable[[Entry], Data | None] = data_of

    def check(self, entry: Entry | SignedHeader, mesh_id: bytes) -> None:
        """Raise SignatureRefused unless the author signed this header in this mesh."""
        verify_entry(entry, mesh_id, by=self.verify)


#: The notary of every node.
ED25519: Final = Notary()
