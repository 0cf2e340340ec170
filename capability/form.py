"""
Checks of form that every decoder of signed bytes is written with; each raises FormError only.

A check returns what it was given, with its type narrowed, so that a decoder reads like the
format's own line. `what` is the field's name in docs/formats.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import TypeVar

from capability.errors import FormError
from capability.limits import BODY_BYTES_MAX, DEPTH_MAX, INT_MAX
from crdt.codec import Value, decode, encode
from crdt.errors import CodecError

__all__ = [
    "Value",
    "array",
    "ascending",
    "binary",
    "close_body",
    "fixed",
    "open_body",
    "record",
    "text",
    "unsigned",
]


_Key = TypeVar("_Key", bytes, int, str, tuple[bytes, int])


def open_body(body: bytes, count: int | None, what: str) -> tuple[Value, ...]:
    """The *count* fields of a body, or its items if that is None; nothing of them is known yet."""
    try:
        value = decode(body, size_max=BODY_BYTES_MAX, depth_max=DEPTH_MAX)
    except CodecError as error:
        raise FormError(f"{what}: {error}") from error
    if count is None:
        return array(value, what, most=BODY_BYTES_MAX)
    return record(value, count, what)


def close_body(value: tuple[Value, ...], what: str) -> bytes:
    """The bytes of a body whose fields have been checked. Raises FormError if they are too many."""
    try:
        body = encode(value)
    except CodecError as error:
        raise FormError(f"{what}: {error}") from error
    if len(body) > BODY_BYTES_MAX:
        raise FormError(f"{what}: a body of {len(body)} bytes, at most {BODY_BYTES_MAX}")
    return body


def record(value: Value, count: int, what: str) -> tuple[Value, ...]:
    """An array of exactly *count* fields."""
    if not isinstance(value, tuple) or len(value) != count:
        raise FormError(f"{what}: expected an array of {count} fields, got {value!r:.80}")
    return value


def array(value: Value, what: str, *, most: int, least: int = 0) -> tuple[Value, ...]:
    """An array of at least *least* and at most *most* items of one kind."""
    if not isinstance(value, tuple) or not least <= len(value) <= most:
        raise FormError(f"{what}: expected an array of {least} to {most} items")
    return value


def unsigned(value: Value, what: str, *, most: int = INT_MAX, least: int = 0) -> int:
    """An integer of *least* to *most*; a bool is none."""
    if type(value) is not int or not least <= value <= most:
        raise FormError(f"{what}: expected an integer {least} to {most}, got {value!r:.80}")
    return value


def fixed(value: Value, size: int, what: str) -> bytes:
    """Exactly *size* bytes."""
    if not isinstance(value, bytes) or len(value) != size:
        raise FormError(f"{what}: expected {size} bytes, got {value!r:.80}")
    return value


def binary(value: Value, what: str, *, most: int) -> bytes:
    """At most *most* bytes."""
    if not isinstance(value, bytes) or len(value) > most:
        raise FormError(f"{what}: expected at most {most} bytes, got {value!r:.80}")
    return value


def text(value: Value, what: str, *, most: int) -> str:
    """A string of at most *most* bytes of UTF-8."""
    if not isinstance(value, str) or len(value) > most or len(value.encode()) > most:
        raise FormError(f"{what}: expected at most {most} bytes of text, got {value!r:.80}")
    return value


def ascending(keys: Iterable[_Key], what: str) -> None:
    """Refuse keys that are not strictly ascending: one set of rows has one encoding."""
    for before, after in pairwise(keys):
        if not before < after:
            raise FormError(f"{what}: rows are not strictly ascending")
