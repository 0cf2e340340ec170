"""
Every hash that names something, each under a domain of its own.

An id of one use can never be taken for one of another, because the domain string is hashed first.
"""

from __future__ import annotations

import hashlib
from typing import Final

_PREFIX: Final = b"worknode-mesh/v1"
DOMAIN_ENTRY: Final = _PREFIX + b"/entry\0"
DOMAIN_BODY: Final = _PREFIX + b"/body\0"
DOMAIN_WORKNODE: Final = _PREFIX + b"/worknode\0"
DOMAIN_ROOT: Final = _PREFIX + b"/root-worknode\0"
DOMAIN_JOIN: Final = _PREFIX + b"/join\0"
DOMAIN_TICKET: Final = _PREFIX + b"/ticket\0"
DOMAIN_SESSION: Final = _PREFIX + b"/session\0"
DOMAIN_STATE: Final = _PREFIX + b"/state\0"
DOMAIN_FRONTIER: Final = _PREFIX + b"/frontier\0"
DOMAIN_PROOF: Final = _PREFIX + b"/fork-proof\0"
DOMAIN_RECOVERY: Final = _PREFIX + b"/recovery\0"

ID_BYTES: Final = 32
WORKNODE_BYTES: Final = 16
NONCE_BYTES: Final = 16
ZERO_ID: Final = bytes(ID_BYTES)
#: Where archived Worknodes are moved to; no hash can be it but by chance (2**-128).
TRASH: Final = b"\xff" * WORKNODE_BYTES

#: Key classes of a Worknode: a key that names its author, and one that anybody may compute.
CLASS_OWN: Final = 0
CLASS_SHARED: Final = 1


def digest(domain: bytes, data: bytes, size: int = ID_BYTES) -> bytes:
    """BLAKE2b of *size* bytes over domain ‖ data."""
    return hashlib.blake2b(domain + data, digest_size=size).digest()


def entry_id(header: bytes) -> bytes:
    """The id of the entry whose encoded header this is; the signature is not part of it."""
    return digest(DOMAIN_ENTRY, header)


def body_hash(body: bytes) -> bytes:
    """What a header commits to of its body."""
    return digest(DOMAIN_BODY, body)


def worknode_id(parent: bytes, key_class: int, key: bytes) -> bytes:
    """The 16-byte id that a Worknode born under *parent* with this key has, and no other."""
    return digest(DOMAIN_WORKNODE, parent + bytes((key_class,)) + key, WORKNODE_BYTES)


def root_worknode(mesh_id: bytes) -> bytes:
    """The Worknode that every other one of the mesh is born under; it needs no create."""
    # A domain of its own: under that of births, one mesh id in 128 reads as parent ‖ class ‖ key,
    # and its root could be created as a child.
    return digest(DOMAIN_ROOT, mesh_id, WORKNODE_BYTES)


def own_key(author: bytes, nonce: bytes) -> bytes:
    """The key of class own that *author* alone may create with: author ‖ nonce."""
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"a nonce has {NONCE_BYTES} bytes, got {len(nonce)}")
    return author + nonce


def names_author(key_class: int, key: bytes, author: bytes) -> bool:
    """Whether a birth key is of class own and names *author*."""
    return key_class == CLASS_OWN and len(key) == 32 + NONCE_BYTES and key.startswith(author)


def session_id(name: str) -> bytes:
    """The 16-byte id of a local session; the empty name is the node's default session."""
    return digest(DOMAIN_SESSION, name.encode(), WORKNODE_BYTES) if name else b""
