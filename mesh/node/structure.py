"""
Inputs and effects as plain values, so that a recording holds them and a digest covers them.

    scalar                itself
    tuple or list         ["t", item…]
    float                 ["f", hexadecimal text]
    attrs instance        ["@", name of the class, field…]

For digests alone, which nobody reads back: an error is its class and words, a mapping its pairs in
order, and anything else the name of its type.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any, Final

import attrs

from crdt.codec import Value, decode, encode
from crdt.errors import CodecError
from mesh.core import inputs, writes
from mesh.core.errors import StorageError

#: A recorded input nests a write's value (16) inside of tuples and classes, each one level more.
DEPTH_MAX: Final = 64
DIGEST_BYTES: Final = 16


def _classes(*modules: ModuleType) -> dict[str, type]:
    return {
        name: thing
        for module in modules
        for name, thing in vars(module).items()
        if isinstance(thing, type) and attrs.has(thing)
    }


#: What may stand in a recording.
KNOWN: Final[Mapping[str, type]] = _classes(inputs, writes)


def structure(thing: object) -> Value:
    """*thing* in the value grammar of the codec."""
    if thing is None or isinstance(thing, bool | int | str | bytes):
        return thing
    if isinstance(thing, float):
        return ("f", thing.hex())
    if isinstance(thing, tuple | list):
        return ("t", *map(structure, thing))
    kind = type(thing)
    if attrs.has(kind):
        values = (getattr(thing, a.name) for a in attrs.fields(kind))
        return ("@", kind.__name__, *map(structure, values))
    if isinstance(thing, BaseException):
        return ("!", type(thing).__name__, str(thing))
    if isinstance(thing, Mapping):
        pairs = sorted((str(key), structure(value)) for key, value in thing.items())
        return ("m", *(item for pair in pairs for item in pair))
    return ("?", type(thing).__name__)


def restore(value: Value, known: Mapping[str, type] = KNOWN) -> Any:
    """
    The thing of which *value* is the structure.

    Raises:
        StorageError: It is none of a known class: the recording is of another version.
    """
    match value:
        case None | bool() | int() | str() | bytes():
            return value
        case ("f", str(text)):
            return float.fromhex(text)
        case ("t", *items):
            return tuple(restore(item, known) for item in items)
        case ("@", str(name), *fields) if name in known:
            try:
                return known[name](*(restore(item, known) for item in fields))
            except TypeError as error:
                raise _foreign(value) from error
        case _:
            raise _foreign(value)


def _foreign(value: Value) -> StorageError:
    return StorageError(f"a recording of another version: {str(value)[:80]}")


def pack(thing: object) -> bytes:
    """The bytes of *thing*'s structure."""
    return encode(structure(thing), depth_max=DEPTH_MAX)


def unpack(data: bytes) -> Any:
    """The thing in *data*. Raises StorageError."""
    try:
        return restore(decode(data, size_max=len(data), depth_max=DEPTH_MAX))
    except CodecError as error:
        raise StorageError(f"a recording is damaged: {error}") from error


def digest(things: Iterable[object]) -> bytes:
    """A hash of *things* in their order; what cannot be packed counts by its type."""
    hashed = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for thing in things:
        try:
            data = pack(thing)
        except CodecError:
            data = type(thing).__name__.encode()
        hashed.update(len(data).to_bytes(4, "big") + data)
    return hashed.digest()
