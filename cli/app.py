"""
What every command shares: the global options, and the two ways of speaking.

One JSON document goes to standard output, or text for people. Errors, notes and progress go to
standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import click

from cli import interrupts
from mesh.api.version import SCHEMA_VERSION
from mesh.core.errors import MeshError
from mesh.storage.home import Home, default_home

#: Work that takes longer than this shows its progress, if standard error is a terminal.
PROGRESS_AFTER_S: Final = 1.0
#: C0 and C1 controls and DEL, but for the line's end; each shows as the replacement character.
_STEERING: Final = dict.fromkeys({*range(32), *range(127, 160)} - {ord("\n")}, "\ufffd")


class OutputClosed(Exception):
    """Whoever read standard output has seen enough, as in `mesh list | head`."""


class App:
    """The global options of one run of the command, and its output."""

    __slots__ = ("_began_s", "_home", "_width", "is_json", "session", "warned")

    def __init__(self) -> None:
        self._home: Path | None = None
        self.is_json = False
        self.session = os.environ.get("MESH_SESSION", "")
        self.warned: set[str] = set()
        self._width = 0
        self._began_s = time.monotonic()

    @property
    def home(self) -> Home:
        return Home(self._home if self._home is not None else default_home())

    def set_home(self, path: Path) -> None:
        """Use *path* instead of the default home."""
        self._home = path

    # -- speaking -------------------------------------------------------------------------------

    def done(self, data: object, text: str = "", *, code: int = 0) -> None:
        """Print the result: the envelope under --json, else *text*; *code* is how it will exit."""
        self.clear_progress()
        interrupts.answering()
        if self.is_json:
            _print_json({"schema_version": SCHEMA_VERSION, "data": data})
        elif text:
            _print(printable(text))
        interrupts.decided(code)

    def line(self, data: object, text: str) -> None:
        """Print one item of a stream; an error is one, too."""
        self.clear_progress()
        if not self.is_json:
            _print(printable(text))
        elif isinstance(data, MeshError):
            _print_json(_envelope(data))
        else:
            _print_json({"schema_version": SCHEMA_VERSION, "data": data})

    def raw(self, text: str) -> None:
        """Steer the terminal; *text* has been made printable where it is anybody's."""
        _print(text, end="")

    def note(self, text: str) -> None:
        """Say something beside the result, once."""
        if text not in self.warned:
            self.warned.add(text)
            self.clear_progress()
            print(text, file=sys.stderr, flush=True)

    def progress(self, text: str) -> None:
        """Replace the line of progress; none on quick work, or without a terminal."""
        is_long = time.monotonic() - self._began_s >= PROGRESS_AFTER_S
        if is_long and sys.stderr.isatty():
            print("\r" + text.ljust(self._width), end="", file=sys.stderr, flush=True)
            self._width = len(text)

    def clear_progress(self) -> None:
        """Remove the line of progress."""
        if self._width:
            print("\r" + " " * self._width + "\r", end="", file=sys.stderr, flush=True)
            self._width = 0

    # -- asking ---------------------------------------------------------------------------------

    def call(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        is_write: bool = False,
        timeout_s: float | None = None,
        told: Callable[[Any], None] | None = None,
    ) -> Any:
        """
        Do operation *name* on the running node, or on the home itself if none runs.

        Args:
            name: Of the operation.
            arguments: JSON values; those that are None are left out.
            is_write: Whether to say that it spreads later, when no node runs.
            timeout_s: How long to wait for the answer.
            told: Gets what the operation tells on its way.

        Raises:
            MeshError: What the operation answered.
        """
        from cli import door  # noqa: PLC0415 - `--help` needs no sockets

        given = {key: value for key, value in (arguments or {}).items() if value is not None}
        if self.session:
            given["session"] = self.session
        return door.call(self, name, given, is_write=is_write, timeout_s=timeout_s, told=told)


def printable(text: str) -> str:
    """*text* without what steers a terminal: titles and names may be anybody's."""
    return text.translate(_STEERING)


def _print_json(document: object) -> None:
    _print(_as_json(document))


def _as_json(document: object) -> str:
    return json.dumps(document, ensure_ascii=False)


def _print(text: str, *, end: str = "\n") -> None:
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        raise OutputClosed from None


def _envelope(error: MeshError) -> dict[str, Any]:
    described = {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "retryable": error.retryable,
    }
    return {"schema_version": SCHEMA_VERSION, "error": described}


def in_words(app: App, error: MeshError) -> tuple[str, str]:
    """People's text for standard error, and the envelope for standard output under --json."""
    text = f"mesh: {error.message}"
    if error.hint:
        text += f" — {error.hint}"
    return printable(" ".join(text.split())), _as_json(_envelope(error)) if app.is_json else ""


def print_error(app: App, error: MeshError) -> None:
    """Say *error* in both ways."""
    app.clear_progress()
    err, out = in_words(app, error)
    if out:
        _print(out)
    print(err, file=sys.stderr, flush=True)


pass_app: Final[Callable[[Callable[..., None]], Callable[..., None]]] = click.make_pass_decorator(
    App, ensure=True
)


def _on_home(context: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.ensure_object(App).set_home(value)


def _on_json(context: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001
    if value:
        context.ensure_object(App).is_json = True


def _on_session(context: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.ensure_object(App).session = value


def global_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that stand before and after the name of any command."""
    for option in (
        click.option(
            "--session",
            metavar="NAME",
            expose_value=False,
            callback=_on_session,
            help="Act as this session of the node (MESH_SESSION).",
        ),
        click.option(
            "--json",
            "is_json",
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_on_json,
            help="One JSON document on standard output, nothing else there.",
        ),
        click.option(
            "--home",
            # Whether it can be read is for the home to say, who knows the remedy.
            type=click.Path(path_type=Path, readable=False),
            metavar="DIR",
            expose_value=False,
            callback=_on_home,
            help="The node's folder (MESH_HOME).",
        ),
    ):
        command = option(command)
    return command


def command(name: str, **settings: Any) -> Callable[[Callable[..., None]], click.Command]:
    """A command with the global options; its function gets the `App` first."""

    def wrap(function: Callable[..., None]) -> click.Command:
        make: Callable[..., click.Command] = click.command(name, **settings)
        return make(global_options(pass_app(function)))

    return wrap
