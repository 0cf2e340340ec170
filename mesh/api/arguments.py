"""What an operation may be given, and the check of it, the same behind every door."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, cast

from attrs import frozen

from mesh.core.errors import UsageError
from mesh.core.limits import TEXT_BYTES_MAX

ArgumentType: TypeAlias = Literal["text", "int", "number", "flag", "texts", "pairs"]

#: Items of one list argument.
ITEMS_MAX: Final = 1_000
#: Levels of lists and objects inside of a field's value.
VALUE_DEPTH_MAX: Final = 16


@frozen
class Argument:
    """
    One named argument of an operation.

    `texts` is a list of texts; `pairs` is a list of [name, value], where a value is any JSON value.
    `most` and `least` bound a number; a text is bounded by `bytes_max`.
    """

    name: str
    type: ArgumentType = "text"
    required: bool = False
    default: Any = None
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    bytes_max: int = TEXT_BYTES_MAX

    def check(self, value: object) -> Any:
        """*value* if it fits. Raises UsageError, which says what was expected."""
        return _CHECKS[self.type](self, value)

    def refuse(self, value: object, expected: str) -> UsageError:
        shown = repr(value)
        shown = shown if len(shown) <= 60 else shown[:60] + "…"
        return UsageError(f"{self.name} is {shown}", hint=f"it must be {expected}")


#: What every operation takes besides its own.
SESSION: Final = Argument("session", bytes_max=64)


def check(arguments: Sequence[Argument], given: object) -> dict[str, Any]:
    """
    All *arguments*, from what was *given* or with their defaults.

    Raises:
        UsageError: One is missing, unknown or of the wrong form; the first of them is named.
    """
    if not isinstance(given, Mapping):
        raise UsageError("arguments are no JSON object", hint='give one, such as {"node": "/"}')
    every = (*arguments, SESSION)
    names = {argument.name for argument in every}
    for name in given:
        if name not in names:
            known = ", ".join(sorted(names))
            raise UsageError(f"no argument {name!r:.60}", hint=f"there are: {known}")
    found = {}
    for argument in every:
        value = given.get(argument.name)
        if value is None:
            if argument.required:
                raise UsageError(f"{argument.name} is missing", hint="it is required")
            found[argument.name] = argument.default
        else:
            found[argument.name] = argument.check(value)
    return found


def _too_many(argument: Argument, count: str, most: int) -> UsageError:
    return UsageError(f"{argument.name} has {count}", hint=f"it may have at most {most}")


def _text(argument: Argument, value: object) -> str:
    if not isinstance(value, str):
        raise argument.refuse(value, "a text")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise argument.refuse(value, "a text of Unicode characters") from None
    if size > argument.bytes_max:
        raise _too_many(argument, f"{size} bytes", argument.bytes_max)
    if argument.choices and value not in argument.choices:
        raise argument.refuse(value, "one of " + ", ".join(argument.choices))
    return value


def _number(argument: Argument, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise argument.refuse(value, "a number")
    # A whole number may be too great to be compared as a float; JSON has NaN and infinities.
    if isinstance(value, float) and not math.isfinite(value):
        raise argument.refuse(value, "a number")
    low, high = argument.least, argument.most
    if (low is not None and value < low) or (high is not None and value > high):
        until = "any" if high is None else f"{high:g}"
        raise argument.refuse(value, f"{0 if low is None else low:g} to {until}")
    return value


def _int(argument: Argument, value: object) -> int:
    if not isinstance(value, int):
        raise argument.refuse(value, "a whole number")
    return cast("int", _number(argument, value))


def _flag(argument: Argument, value: object) -> bool:
    if not isinstance(value, bool):
        raise argument.refuse(value, "true or false")
    return value


def _list(argument: Argument, value: object) -> list[Any]:
    if not isinstance(value, list):
        raise argument.refuse(value, "a list")
    if len(value) > ITEMS_MAX:
        raise _too_many(argument, f"{len(value)} items", ITEMS_MAX)
    return value


def _texts(argument: Argument, value: object) -> tuple[str, ...]:
    return tuple(_text(argument, item) for item in _list(argument, value))


def _pairs(argument: Argument, value: object) -> tuple[tuple[str, Any], ...]:
    found = []
    for item in _list(argument, value):
        if not isinstance(item, list) or len(item) != 2:
            raise argument.refuse(item, "[name, value]")
        _refuse_deep(argument, item[1], VALUE_DEPTH_MAX)
        found.append((_text(argument, item[0]), item[1]))
    return tuple(found)


def _refuse_deep(argument: Argument, value: object, levels: int) -> None:
    if not isinstance(value, list | dict):
        return
    if levels == 0:
        raise _too_many(argument, "a value that nests deeper", VALUE_DEPTH_MAX)
    for item in value.values() if isinstance(value, dict) else value:
        _refuse_deep(argument, item, levels - 1)


_CHECKS: Final[Mapping[ArgumentType, Callable[[Argument, object], Any]]] = {
    "text": _text,
    "int": _int,
    "number": _number,
    "flag": _flag,
    "texts": _texts,
    "pairs": _pairs,
}
