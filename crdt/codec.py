"""
The one byte form of plain values: positional canonical MessagePack, bounded.

`decode(b)` succeeds exactly when `encode(decode(b)) == b`, so equal values have equal bytes and
a hash of the bytes is a hash of the value. There are no floats, maps, extensions or timestamps:
each of them has more than one way to say the same thing.

Memory on hostile input is O(len(data)). The C unpacker allocates every array at its declared
length when it meets the header, so a kilobyte of nested headers could claim gigabytes. Therefore
the declared lengths are summed first; only if that sum is suspicious are the headers walked in
Python (`_walk_headers`), which is exact and slower.

Source: MessagePack specification, https://github.com/msgpack/msgpack/blob/master/spec.md
"""

import re
from itertools import chain
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

import msgpack  # type: ignore[import-untyped]  # it ships no stubs; this module is its wrapper

from crdt.errors import CodecError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "DEPTH_MAX",
    "INT_MAX",
    "INT_MIN",
    "Value",
    "check",
    "decode",
    "encode",
    "encode_bytes",
    "first",
    "unpack",
]

Value: TypeAlias = "bool | int | str | bytes | tuple[Value, ...] | None"

# Symmetric, so that negation never leaves the range.
INT_MAX: Final = 2**63 - 1
INT_MIN: Final = -(2**63) + 1
DEPTH_MAX: Final = 16

# The C unpacker may allocate array slots for this many times len(data) before it meets the end.
# A guess: honest data has fewer slots than bytes, the rest is for hashes that look like headers.
_SLOTS_PER_BYTE_MAX: Final = 4
# So few bytes claim 170 KB at worst, which is no more than the unpacker's stack of short arrays.
_UNCOUNTED_BYTES_MAX: Final = 256

_SCALARS: Final = frozenset({type(None), bool, int, str, bytes})
_PLAIN: Final = _SCALARS | {tuple, list}
_NO_INTS: Final = frozenset({type(None), bool, str, bytes, tuple, list})
#: First byte and bytes of length of arrays that have more than 15 elements.
_LONG_ARRAYS: Final = ((b"\xdc", 2), (b"\xdd", 4))
# What only a float64, an int >= 2**63 or the int -2**63 can begin with; hashes may contain it too.
_UNFIT: Final = re.compile(rb"\xcb|\xcf[\x80-\xff]|\xd3\x80")

# One packer for the process: making one costs five times as much as packing a small op.
_packer: Final = msgpack.Packer(autoreset=True, use_bin_type=True)
_pack: "Final[Callable[[object], bytes]]" = _packer.pack


def encode(value: object, *, depth_max: int = DEPTH_MAX) -> bytes:
    """
    The canonical bytes of *value*.

    Args:
        value: None, bool, int, str, bytes, or tuples and lists of them.
        depth_max: Greatest nesting of tuples; a scalar has depth 0, `()` depth 1.

    Raises:
        CodecError: *value* contains another type, an int out of range, a lone surrogate, or
            nests too deeply.
    """
    data = _pack_checked(value)
    unfit = _UNFIT.search(data) is not None
    if unfit or type(value) not in _SCALARS:
        _check(value, depth_max, ranges=unfit)
    return data


def encode_bytes(*parts: bytes) -> bytes:
    """The canonical bytes of a tuple of binaries, whose types the caller vouches for."""
    return _pack_checked(parts)


def decode(data: bytes, *, size_max: int, depth_max: int = DEPTH_MAX) -> Value:
    """
    The value of which *data* is the canonical encoding; arrays become tuples.

    Args:
        data: Untrusted bytes.
        size_max: Greatest accepted len(data), in bytes.
        depth_max: Greatest nesting of arrays.

    Raises:
        CodecError: Anything else than the canonical bytes of one value within the bounds.
    """
    value = unpack(data, size_max=size_max, depth_max=depth_max)
    check(value, data, depth_max=depth_max)
    return value


def unpack(data: bytes, *, size_max: int, depth_max: int = DEPTH_MAX) -> Value:
    """
    `decode` but for `check`, for a caller who proves the same of a body's columns by itself.

    Raises:
        CodecError: Not the canonical bytes of one value of at most *size_max* bytes.
    """
    size = len(data)
    if size > size_max:
        raise CodecError(f"{size} bytes, at most {size_max} are accepted")
    if size > _UNCOUNTED_BYTES_MAX and _claims_beyond(data, _SLOTS_PER_BYTE_MAX * size):
        _walk_headers(data, depth_max)
    value = _unpack(data)
    if _pack_checked(value) != data:
        raise CodecError(f"{size} bytes are not in canonical form")
    return value


def first(data: bytes) -> Value:
    """
    The first item of the array that *data* are, which this program has encoded itself.

    Nothing else of them is looked at, and nothing is checked.

    Raises:
        CodecError: They are no array, or no MessagePack.
    """
    unpacker = msgpack.Unpacker(use_list=False, max_buffer_size=len(data))
    try:
        unpacker.feed(data)
        unpacker.read_array_header()
        value: Value = unpacker.unpack()
    except Exception as error:
        raise CodecError(f"{len(data)} bytes are no array: {type(error).__name__}") from error
    return value


def check(value: Value, data: bytes, *, depth_max: int = DEPTH_MAX) -> None:
    """
    Refuse what `unpack` lets through: floats, ints out of range, too deep a nesting.

    Raises:
        CodecError: *value*, of which *data* are the bytes, is not of the format.
    """
    unfit = _UNFIT.search(data) is not None
    if unfit or type(value) is tuple:
        _check(value, depth_max, ranges=unfit)


def _pack_checked(value: object) -> bytes:
    try:
        return _pack(value)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        # The packer keeps what it wrote before it failed.
        _packer.reset()
        raise CodecError(f"cannot be encoded: {error}") from error


def _refuse(*_: object) -> NoReturn:
    raise CodecError("maps and extensions are not part of the format")


def _unpack(data: bytes) -> Value:
    try:
        value: Value = msgpack.unpackb(
            data,
            use_list=False,
            raw=False,
            strict_map_key=True,
            object_hook=_refuse,
            ext_hook=_refuse,
            max_array_len=len(data),
            max_map_len=0,
            max_ext_len=0,
        )
    except CodecError:
        raise
    except Exception as error:
        # Besides its own classes the C unpacker lets ValueError, UnicodeDecodeError,
        # OverflowError and RecursionError through; every one of them is the bytes' fault.
        reason = f"{type(error).__name__}: {error}"[:200]
        raise CodecError(f"{len(data)} bytes are not MessagePack: {reason}") from error
    return value


def _check(value: object, depth_max: int, *, ranges: bool) -> None:
    # Level by level, and each level by the set of its types: C loops, no recursion. Ints are
    # looked at only if the packed bytes hold a prefix that an int out of range would have.
    level: Sequence[object]
    # Nearly every value is a tuple: a level of this one thing alone would say nothing of it.
    level, levels = (value, depth_max) if type(value) is tuple else ((value,), depth_max + 1)
    for _ in range(levels):
        kinds = set(map(type, level))
        if not kinds <= _PLAIN:
            _check_kinds(level)
            arrays = [item for item in level if isinstance(item, (tuple, list))]
        elif kinds <= _SCALARS:
            arrays = []
        else:
            arrays = [item for item in level if type(item) is tuple or type(item) is list]
        if ranges and not kinds <= _NO_INTS:
            _check_ranges(level)
        if not arrays:
            return
        level = list(chain.from_iterable(arrays))
    raise CodecError(f"nested deeper than {depth_max}")


def _check_kinds(level: "Sequence[object]") -> None:
    # Enumerations and named tuples are welcome; the unpacker's ExtType is a named tuple too.
    for item in level:
        if isinstance(item, msgpack.ExtType) or not (
            item is None or isinstance(item, (int, str, bytes, tuple, list))
        ):
            raise CodecError(f"{type(item).__name__} is not part of the format")


def _check_ranges(level: "Sequence[object]") -> None:
    numbers = [item for item in level if isinstance(item, int)]
    if min(numbers, default=0) < INT_MIN or max(numbers, default=0) > INT_MAX:
        raise CodecError(f"an int of {numbers!r:.80} is outside {INT_MIN} .. {INT_MAX}")


def _claims_beyond(data: bytes, slots: int) -> bool:
    # Counts every byte that could be a long array's header, also inside strings, hence an upper
    # bound. Arrays of up to 15 need no counting: the unpacker's own stack bounds them. By `find`,
    # since a regular expression looks at each byte and this is the loop of every decode; and no
    # further than needed, since in a large frame of hashes every 128th byte looks like a header.
    size = len(data)
    for header, width in _LONG_ARRAYS:
        at = data.find(header)
        while at >= 0:
            declared = int.from_bytes(data[at + 1 : at + 1 + width], "big")
            if declared <= size:
                slots -= declared
                if slots < 0:
                    return True
            at = data.find(header, at + 1)
    return False


def _heads() -> dict[int, tuple[bool, int, int]]:
    # First byte -> (array?, bytes of length that follow, length if it is in the first byte).
    atoms = (*range(0x80), *range(0xE0, 0x100), 0xC0, 0xC2, 0xC3)
    heads = dict.fromkeys(atoms, (False, 0, 0))
    heads |= {0x90 + length: (True, 0, length) for length in range(16)}
    heads |= {0xA0 + length: (False, 0, length) for length in range(32)}
    heads |= {0xCC + power: (False, 0, 1 << power) for power in range(4)}
    heads |= {0xD0 + power: (False, 0, 1 << power) for power in range(4)}
    heads |= {0xC4 + power: (False, 1 << power, 0) for power in range(3)}
    heads |= {0xD9 + power: (False, 1 << power, 0) for power in range(3)}
    heads |= {0xDC: (True, 2, 0), 0xDD: (True, 4, 0)}
    return heads


_HEADS: Final = _heads()


def _walk_headers(data: bytes, depth_max: int) -> None:
    """Prove that every array of *data* has the elements that it declares, building nothing."""
    at = 0
    size = len(data)
    # For each open array, how many elements it still wants. At most depth_max + 1 long.
    wanted = [1]
    while wanted:
        if wanted[-1] == 0:
            wanted.pop()
            continue
        wanted[-1] -= 1
        head = _HEADS.get(data[at]) if at < size else None
        if head is None:
            raise CodecError(f"no value of the format begins at offset {at} of {size}")
        is_array, width, length = head
        at += 1 + width
        length += int.from_bytes(data[at - width : at], "big")
        if length > size - at:
            raise CodecError(f"length {length} before offset {at} of {size}")
        if not is_array:
            at += length
        elif len(wanted) > depth_max:
            raise CodecError(f"nested deeper than {depth_max} at offset {at} of {size}")
        else:
            wanted.append(length)
