"""
Mutations that keep MessagePack in shape, also where it is wrapped in binaries of itself.

Random changes of bytes rarely leave canonical MessagePack behind, so nearly all of them would end
in the codec. These change the value: an item goes, comes twice, changes places, is replaced by an
edge of its type or by something from elsewhere in the same input.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

import msgpack

Mutate = Callable[[bytes, int], bytes]

_INTS: Final = (0, 1, 2, 15, 16, 17, 64, 127, 128, 255, 256, 4095, 4096, 65535, 1 << 20, 1 << 31)
_EDGES: Final = (*_INTS, 2**53, 2**63 - 1, 2**63, 2**64 - 1, -1, -32, -128, -(2**31), -(2**63))
_LEAVES: Final = (None, True, False, b"", b"\0" * 16, b"\0" * 32, b"\xff" * 32, "", "title", [])
_ODD: Final = (1.0, float("nan"), {}, msgpack.ExtType(1, b"x"), "\u0000", "\U0001f600", b"x" * 64)
_ARRAYS: Final = (*range(0x90, 0xA0), 0xDC, 0xDD)


# One for all: each has a buffer of 256 KiB, which would drown what is measured.
_packer: Final = msgpack.Packer(autoreset=True, use_bin_type=True)


class Nested(list[Any]):
    """An array that stands inside a binary."""


def unpack(data: bytes) -> Any:
    """The value of *data*, with arrays in binaries opened; ValueError if it is none."""
    try:
        return _opened(msgpack.unpackb(data, strict_map_key=False, raw=False))
    except Exception as error:
        raise ValueError("not MessagePack") from error


def pack(value: Any) -> bytes:
    """The bytes of a value; ValueError if it has none."""
    try:
        packed: bytes = _packer.pack(_closed(value))
    except Exception as error:
        _packer.reset()
        raise ValueError("cannot be packed") from error
    return packed


def _opened(value: Any) -> Any:
    if isinstance(value, list):
        return [_opened(item) for item in value]
    if isinstance(value, bytes) and len(value) > 1 and value[0] in _ARRAYS:
        try:
            inner = msgpack.unpackb(value, strict_map_key=False, raw=False)
        except Exception:  # noqa: BLE001 - any bytes may look like an array
            return value
        return Nested(_opened(item) for item in inner)
    return value


def _closed(value: Any) -> Any:
    if isinstance(value, Nested):
        return pack(list(value))
    if isinstance(value, list | tuple):
        return [_closed(item) for item in value]
    return value


def mutate(data: bytes, size_max: int, seed: int, plain: Mutate, *, prefix: int = 0) -> bytes:
    """*data* with a few changes; *plain* is the fuzzer's own mutation, of bytes."""
    random = Random(seed)
    if random.random() < 0.15:
        return plain(data, size_max)
    head, data = data[:prefix], data[prefix:]
    if head and random.random() < 0.05:
        head = bytes((random.choice((0, 1, head[0] + 1, random.randrange(256))) % 256,)) + head[1:]
    return head + _mutate(data, size_max - len(head), random, plain)


def _mutate(data: bytes, size_max: int, random: Random, plain: Mutate) -> bytes:
    try:
        value = [unpack(data)]
        for _ in range(random.choice((1, 1, 1, 2, 3, 5))):
            _change(value, random, plain)
        found = pack(value[0])
    except (ValueError, IndexError, RecursionError):
        return plain(data, size_max)
    return found if len(found) <= size_max else plain(data, size_max)


def cross(one: bytes, two: bytes, size_max: int, seed: int, *, prefix: int = 0) -> bytes:
    """*one* with a part of *two* in it."""
    random = Random(seed)
    try:
        value, other = [unpack(one[prefix:])], [unpack(two[prefix:])]
        where, there = random.choice(_arrays(value)), random.choice(_arrays(other))
        part = random.choice(there) if there else None
        if where is value or (where and random.random() < 0.5):
            where[random.randrange(len(where))] = part
        else:
            where.insert(random.randint(0, len(where)), part)
        found = one[:prefix] + pack(value[0])
    except (ValueError, RecursionError):
        return one
    return found if len(found) <= size_max else one


def _arrays(value: list[Any]) -> list[list[Any]]:
    found = [value]
    for item in value:
        if isinstance(item, list):
            found += _arrays(item)
    return found


def _change(value: list[Any], random: Random, plain: Mutate) -> None:
    """One change somewhere below *value*, whose one item is the whole."""
    arrays = _arrays(value)
    where = random.choice(arrays)
    if where is value or not where:
        where = random.choice(arrays)
    whole = where is value
    at = random.randrange(len(where)) if where else 0
    what = random.randrange(10)
    if not where or (what == 0 and not whole):
        where.insert(at, _any_leaf(random))
    elif what == 1 and not whole:
        del where[at]
    elif what == 2 and not whole:
        where.insert(at, _copied(where[at]))
    elif what == 3 and not whole:
        to = random.randrange(len(where))
        where[at], where[to] = where[to], where[at]
    elif what == 4:
        donor = random.choice(arrays)
        where[at] = _copied(random.choice(donor)) if donor else None
    elif what == 5 and random.random() < 0.3:
        where[at] = [_copied(where[at])]
    else:
        where[at] = _leaf(where[at], random, plain)


def _copied(value: Any) -> Any:
    # The same list in two places would be changed in both, or hold itself.
    if isinstance(value, list):
        return type(value)(_copied(item) for item in value)
    return value


def _any_leaf(random: Random) -> Any:
    pool = random.choice((_EDGES, _EDGES, _LEAVES, _LEAVES, _ODD))
    return random.choice(pool)


def _leaf(value: Any, random: Random, plain: Mutate) -> Any:
    if random.random() < 0.15:
        return _any_leaf(random)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        near = value + random.choice((-1, 1, -2, 2, 16, -16))
        return random.choice((near, near, -value, random.choice(_EDGES)))
    if isinstance(value, bytes):
        if random.random() < 0.3:
            return value[:-1] if random.random() < 0.5 else value + b"\0"
        return plain(value, len(value) + 8) if value else b"\1"
    if isinstance(value, str):
        changed = plain(value.encode(errors="replace"), len(value) + 8) if value else b"x"
        return changed.decode(errors="replace")
    if isinstance(value, list):
        random.shuffle(value)
        return value
    return _any_leaf(random)
