"""
What a local session asks to be written, before it is authorised, stamped and signed.

Fields carry their namespace and type, so that no schema is needed to fold them; doors fill these in
from the kind's schema. Values follow the value grammar of docs/formats.md.
"""

from __future__ import annotations

from attrs import frozen

from crdt.codec import Value


@frozen
class Create:
    """
    A Worknode born under *parent*.

    With a *shared_key* the same parent and key always give the same Worknode; without one, the
    *nonce* (16 random bytes, drawn by the caller) makes it this author's own.
    """

    parent: bytes
    kind: str
    shared_key: bytes | None = None
    nonce: bytes | None = None
    schema: int = 1
    position: bytes = b""


@frozen
class Move:
    """Put *node* under *parent* (TRASH to archive) at a fractional *position*."""

    node: bytes
    parent: bytes
    position: bytes = b""


@frozen
class SetRegister:
    """The last writer's value stands; nil unsets."""

    node: bytes
    ns: int
    name: str
    value: Value


@frozen
class SetMulti:
    """Replaces the values seen; concurrent ones all stay."""

    node: bytes
    ns: int
    name: str
    value: Value


@frozen
class AddToSet:
    """An add wins over a concurrent remove."""

    node: bytes
    ns: int
    name: str
    value: Value


@frozen
class RemoveFromSet:
    """Removes the adds of *value* that this node has seen, no others."""

    node: bytes
    ns: int
    name: str
    value: Value


@frozen
class Increment:
    """Adds a signed amount to a counter."""

    node: bytes
    ns: int
    name: str
    amount: int


@frozen
class Append:
    """Adds one record to an append-only log."""

    node: bytes
    ns: int
    name: str
    value: Value


Write = Create | Move | SetRegister | SetMulti | AddToSet | RemoveFromSet | Increment | Append
