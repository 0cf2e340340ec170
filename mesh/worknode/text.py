"""
Between values and text: how ids, instants, durations and decimals are written for people and JSON.

Only forms are known here. What a field allows is in `mesh.worknode.compose`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeAlias

from capability.ids import TRASH, WORKNODE_BYTES
from capability.values import (
    TAG_DECIMAL,
    TAG_INSTANT,
    TAG_LIST,
    TAG_NODE,
    TAG_PAIRS,
    Value,
)
from mesh.core.errors import UsageError

#: What `json.dumps` takes. A precise type would make every reader of a view cast.
Json: TypeAlias = Any

#: Characters of a whole Worknode id, and of the short form where that is enough.
ID_CHARACTERS: Final = 26
SHORT_CHARACTERS: Final = 8
TRASH_NAME: Final = ".trash"

_DIGITS: Final = "abcdefghijklmnopqrstuvwxyz234567"
#: Two characters for each ten bits, and where each ten of an id's 128 bits and two zeros begin.
_PAIRS: Final = tuple(a + b for a in _DIGITS for b in _DIGITS)
_SHIFTS: Final = tuple(range(120, -1, -10))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FRACTION: Final = re.compile(r"[.,](\d+)")
_DURATION: Final = re.compile(r"(\d+)\s*(s|m|h|d|w)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
#: A hundred years: what a duration may be at most.
_SECONDS_MAX: Final = 100 * 366 * 86_400
_JSON_DEPTH_MAX: Final = 12


def id_text(node: bytes) -> str:
    """The whole id of a Worknode: 26 characters of lower-case base32."""
    if len(node) != WORKNODE_BYTES:
        return base64.b32encode(node).decode().rstrip("=").lower()
    # A view has half a dozen ids; the library's own loop takes three times as long.
    bits = int.from_bytes(node, "big") << 2
    return "".join([_PAIRS[bits >> shift & 1023] for shift in _SHIFTS])


def id_bytes(text: str) -> bytes | None:
    """The Worknode of a whole id, None when *text* is not one."""
    if len(text) != ID_CHARACTERS:
        return None
    try:
        node = base64.b32decode(text.upper() + "======")
    except ValueError:
        return None
    return node if len(node) == WORKNODE_BYTES and id_text(node) == text.lower() else None


# -- times --------------------------------------------------------------------------------------


def iso(ms: int) -> str:
    """An instant as ISO-8601 in UTC; what is beyond the year 9999 is shown as its milliseconds."""
    try:
        return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds")[:-6] + "Z"
    except OverflowError:
        return f"{ms}ms"


def parse_nanoseconds(text: str) -> int:
    """
    The nanoseconds since 1970 of an ISO-8601 instant with its zone.

    Raises:
        ValueError: It is not one, or names no zone.
    """
    fraction = _FRACTION.search(text)
    moment = datetime.fromisoformat(_FRACTION.sub("", text, count=1))
    if moment.tzinfo is None:
        raise ValueError("it names no zone")
    span = moment - _EPOCH
    digits = fraction[1][:9].ljust(9, "0") if fraction else "0"
    return (span.days * 86_400 + span.seconds) * 1_000_000_000 + int(digits)


def parse_instant(text: str, now_ms: int) -> int:
    """
    Milliseconds since 1970 of an ISO-8601 instant, or of a span such as `2h` from *now_ms* on.

    Raises:
        UsageError: It is neither.
    """
    if _DURATION.match(text):
        return now_ms + 1_000 * parse_duration(text)
    try:
        return parse_nanoseconds(text) // 1_000_000
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{text!r:.80} is not an instant: {error}",
            hint="write 2025-12-31T18:00:00Z, 2025-12-31T18:00+01:00, or a span from now: 2h, 30m",
        ) from error


def parse_duration(text: str) -> int:
    """
    The seconds of `2h`, `1h 30m`, `45s`, `3d`, `1w`.

    Raises:
        UsageError: It is not such a span, or longer than a century.
    """
    rest = _DURATION.sub("", text).strip()
    seconds = sum(int(count) * _SECONDS[unit] for count, unit in _DURATION.findall(text))
    if rest or not _DURATION.match(text) or seconds > _SECONDS_MAX:
        raise UsageError(f"{text!r:.80} is not a span of time", hint="write 2h, 30m, 1h 30m or 3d")
    return seconds


# -- decimals -----------------------------------------------------------------------------------


def parse_decimal(text: str) -> Value:
    """
    The decimal value of a number as people write it, in its one spelling.

    Raises:
        UsageError: It is not a finite number of at most 64 characters.
    """
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number.adjusted()) > 60:
        raise UsageError(f"{text!r:.80} is not a number", hint="write it like 12.50")
    digits = format(number, "f")
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    digits = "0" if digits in {"-0", ""} else digits
    if len(digits) > 64:
        raise UsageError(f"{text!r:.80} has more digits than 64 characters hold")
    return (TAG_DECIMAL, digits)


# -- JSON ---------------------------------------------------------------------------------------


def to_json(value: Value) -> Json:
    """
    A value for a JSON document.

    A node becomes its id, an instant ISO-8601 text, a decimal its digits as text, a list an array,
    pairs an object; bytes and attachments become objects that say what they are.
    """
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if not isinstance(value, tuple):
        return value
    match value:
        case (0, *items):
            return [to_json(item) for item in items]
        case (1, *pairs):
            return {pair[0]: to_json(pair[1]) for pair in pairs if isinstance(pair, tuple)}
        case (2, bytes() as node):
            return TRASH_NAME if node == TRASH else id_text(node)
        case (3, str() as digits):
            return digits
        case (4, int() as ms):
            return iso(ms)
        case (5, bytes() as digest, size, media):
            return {"attachment": digest.hex(), "media": media, "size": size}
    # A tag of a later version: shown as it stands.
    return [to_json(item) for item in value]


def from_json(document: Json, *, depth: int = _JSON_DEPTH_MAX) -> Value:
    """
    A JSON document as a value: arrays become lists, objects pairs, fractions decimals.

    Raises:
        UsageError: It nests too deep, or a key of it is not text.
    """
    if isinstance(document, list | tuple | Mapping) and depth == 0:
        raise UsageError(f"a value nests deeper than {_JSON_DEPTH_MAX}")
    match document:
        case None | bool() | int() | str():
            return document
        case float():
            return parse_decimal(repr(document))
        case Mapping():
            rows = sorted(document.items(), key=lambda pair: str(pair[0]))
            return (
                TAG_PAIRS,
                *((str(key), from_json(item, depth=depth - 1)) for key, item in rows),
            )
        case list() | tuple():
            return (TAG_LIST, *(from_json(item, depth=depth - 1) for item in document))
    raise UsageError(
        f"{document!r:.80} is not a value", hint="give text, numbers, lists or objects"
    )


def node_value(node: bytes) -> Value:
    """The value that names a Worknode."""
    return (TAG_NODE, node)


def instant_value(ms: int) -> Value:
    """The value of an instant."""
    return (TAG_INSTANT, ms)


__all__ = [
    "ID_CHARACTERS",
    "SHORT_CHARACTERS",
    "TRASH_NAME",
    "Json",
    "from_json",
    "id_bytes",
    "id_text",
    "instant_value",
    "iso",
    "node_value",
    "parse_decimal",
    "parse_duration",
    "parse_instant",
    "parse_nanoseconds",
    "to_json",
]
