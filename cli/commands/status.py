"""`mesh status`, once or again and again."""

from __future__ import annotations

import shutil
import sys
import time
from typing import Any

import click

from cli import findings, interrupts, screen
from cli.app import App, command, printable
from cli.given import SecondsType
from mesh.core.errors import MeshError, Unavailable, Unknown

#: The quickest that is asked for; each time costs the node a millisecond or so.
INTERVAL_S_MIN = 0.1
_INTERVAL_S = 2.0
#: A node that does not answer for so long is said not to.
_ANSWER_S = 5.0


@command("status")
@click.option("--watch", is_flag=True, help="Again and again, until interrupted.")
@click.option(
    "--interval",
    type=SecondsType(INTERVAL_S_MIN),
    default=_INTERVAL_S,
    show_default=True,
    metavar="S",
    help="With --watch: how often.",
)
def status(app: App, *, watch: bool, interval: float) -> None:
    """What this node holds, and whom it is in touch with. Only what is measured is shown."""
    if not watch:
        data = app.call("status")
        app.done(data, screen.status(data, findings.space(app.home.path)))
        return
    app.home.open(app.home.path)
    with interrupts.ending(0):
        while True:
            began_s = time.monotonic()
            _show(app, interval)
            time.sleep(max(0.0, interval - (time.monotonic() - began_s)))


def _show(app: App, interval_s: float) -> None:
    """One look; that the node is away is an answer, too."""
    try:
        data = _ask(app)
    except MeshError as error:
        text = f"WRONG  {error.message}\n       → {error.hint}" if error.hint else error.message
        answer: Any = error
    else:
        text = screen.status(data, findings.space(app.home.path))
        answer = data
    if app.is_json or not sys.stdout.isatty():
        app.line(answer, f"{_now()}\n{text}\n")
    else:
        _redraw(app, f"{text}\n{_now()}, every {interval_s:g} s; Ctrl-C ends it")


def _ask(app: App) -> Any:
    from cli import client  # noqa: PLC0415 - 15 ms that `--help` saves

    # The home is never opened from here: that would keep a node from starting.
    socket_path = app.home.find_socket()
    try:
        if socket_path is not None:
            return client.call(socket_path, "status", {}, timeout_s=_ANSWER_S, warn=app.note)
    except client.NotRunning:
        pass
    except Unknown:
        raise Unavailable("the node does not answer", hint="wait, or see its log") from None
    raise Unavailable("the node is not running", hint="start it: mesh up; this goes on then")


def _now() -> str:
    return time.strftime("%H:%M:%S")


def _redraw(app: App, text: str) -> None:
    """Write over what is shown, line by line, so that nothing flickers."""
    columns, lines = shutil.get_terminal_size()
    shown = [line[:columns] for line in printable(text).split("\n")][:lines]
    app.raw("\x1b[H" + "\n".join(f"{line}\x1b[K" for line in shown) + "\x1b[J")
