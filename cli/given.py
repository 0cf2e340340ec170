"""What several commands are given in one form: spans of seconds, and texts from files."""

from __future__ import annotations

import math
from typing import IO

import click

from mesh.core.errors import UsageError


class SecondsType(click.ParamType[float]):
    """A finite number of seconds, *least* or more."""

    name = "S"

    def __init__(self, least: float) -> None:
        self._least = least

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            seconds = float(str(value))
        except ValueError:
            seconds = math.nan
        if not (math.isfinite(seconds) and seconds >= self._least):
            expected = f"a number of seconds, {self._least:g} or more"
            self.fail(f"{str(value)!r:.60} is not {expected}", param, ctx)
        return seconds


def read_text(file: IO[str], *, characters_max: int) -> str:
    """
    What stands in *file*.

    Raises:
        UsageError: It is no text, or too long.
    """
    try:
        text = file.read(characters_max + 1)
    except UnicodeDecodeError:
        raise UsageError(f"{file.name} is not UTF-8", hint="give a file of plain text") from None
    if len(text) > characters_max:
        raise UsageError(
            f"{file.name} has more than {characters_max} characters", hint="give a shorter one"
        )
    return text
