"""
The values that fields, set elements, log items and events hold: one grammar, no floats.

    value   nil | bool | i | str | bin | [tag, …]
    tags    [0, v…] list · [1, [key str, v]…] pairs · [2, b16] node · [3, str] decimal
            [4, i] instant in ms since 1970 · [5, b32, size u, media str] attachment

Source: docs/formats.md §Values.
"""

from __future__ import annotations

import re
from typing import Final

from capability.errors import FormError
from capability.form import Value, ascending, fixed, record, text, unsigned
from capability.ids import ID_BYTES, WORKNODE_BYTES
from capability.limits import DECIMAL_BYTES_MAX, MEDIA_BYTES_MAX, VALUE_DEPTH_MAX

__all__ = [
    "TAG_ATTACHMENT",
    "TAG_DECIMAL",
    "TAG_INSTANT",
    "TAG_LIST",
    "TAG_NODE",
    "TAG_PAIRS",
    "Value",
    "check_value",
]

TAG_LIST: Final = 0
TAG_PAIRS: Final = 1
TAG_NODE: Final = 2
TAG_DECIMAL: Final = 3
TAG_INSTANT: Final = 4
TAG_ATTACHMENT: Final = 5

_SCALARS: Final = frozenset({type(None), bool, int, str, bytes})
# One number has one spelling: no plus, no leading or trailing zeros, no exponent, no minus zero.
_DECIMAL: Final = re.compile(r"(?!-0\Z)-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?\Z")


def check_value(value: Value) -> None:
    """
    Refuse what is not a value, or nests deeper than `VALUE_DEPTH_MAX`.

    The bounds of integers and the validity of text are the codec's.

    Raises:
        FormError: What is wrong, and where the grammar expected what.
    """
    _check(value, VALUE_DEPTH_MAX)


def _check(value: Value, depth: int) -> None:
    if type(value) in _SCALARS:
        return
    if not isinstance(value, tuple) or not value:
        raise FormError(f"value: {value!r:.80} is neither a scalar nor [tag, …]")
    if depth == 0:
        raise FormError(f"value: nests deeper than {VALUE_DEPTH_MAX}")
    tag = value[0]
    if type(tag) is not int:
        raise FormError(f"value: tag {tag!r:.80} is not an integer")
    if tag == TAG_LIST:
        for item in value[1:]:
            _check(item, depth - 1)
    elif tag == TAG_PAIRS:
        _check_pairs(value[1:], depth - 1)
    else:
        _check_leaf(tag, value)


def _check_pairs(pairs: tuple[Value, ...], depth: int) -> None:
    if pairs and depth == 0:
        raise FormError(f"value: nests deeper than {VALUE_DEPTH_MAX}")
    keys: list[str] = []
    for pair in pairs:
        key, item = record(pair, 2, "value pair")
        if not isinstance(key, str):
            raise FormError(f"value: the key {key!r:.80} of a pair is not text")
        keys.append(key)
        _check(item, depth - 1)
    ascending(keys, "value pairs")


def _check_leaf(tag: int, value: tuple[Value, ...]) -> None:
    if tag == TAG_NODE:
        fixed(record(value, 2, "value node")[1], WORKNODE_BYTES, "value node")
    elif tag == TAG_DECIMAL:
        digits = text(record(value, 2, "value decimal")[1], "decimal", most=DECIMAL_BYTES_MAX)
        if _DECIMAL.match(digits) is None:
            raise FormError(f"value: {digits!r} is not a decimal in its one spelling")
    elif tag == TAG_INSTANT:
        if type(record(value, 2, "value instant")[1]) is not int:
            raise FormError(f"value: instant {value[1]!r:.80} is not an integer of ms")
    elif tag == TAG_ATTACHMENT:
        _, digest, size, media = record(value, 4, "value attachment")
        fixed(digest, ID_BYTES, "attachment hash")
        unsigned(size, "attachment size")
        text(media, "attachment media type", most=MEDIA_BYTES_MAX)
    else:
        raise FormError(f"value: tag {tag} is not known")
