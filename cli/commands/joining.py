"""`mesh join`: enter a mesh with a ticket, and wait for the first full copy."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli import interrupts, render
from cli.addresses import Address
from cli.app import App, command, in_words
from cli.commands.founding import host_name
from cli.commands.running import options_of, run_here, running_options
from cli.given import SecondsType, read_text
from mesh.core.errors import Denied, LocalError, MeshError, Precondition, Unavailable, UsageError

if TYPE_CHECKING:
    from cli.noded import Options

TIMEOUT_S_DEFAULT: Final = 60.0
_POLL_S: Final = 0.1
#: So long one member's refusal is not taken for that of all while others are being dialled.
_REFUSED_S_MIN: Final = 4.0
#: What a member says to a ticket that it does not accept (codes 1 to 4 of the goodbye).
_REFUSALS: Final = frozenset({1, 2, 3, 4})
_STDIN: Final = "-"
#: What is read of a file or of standard input; a ticket is shorter.
_TICKET_CHARACTERS_MAX: Final = 64 * 1024


@command("join")
@click.argument("ticket", required=False)
@click.option("--ticket-file", type=click.File("r"), help="Read the ticket from this file.")
@click.option("--name", metavar="NAME", help="Of this node. Default: the host's.")
@running_options
@click.option(
    "--timeout",
    type=SecondsType(0.1),
    default=TIMEOUT_S_DEFAULT,
    show_default=True,
    metavar="S",
    help="How long to wait for the first full copy.",
)
def join(
    app: App,
    *,
    ticket: str | None,
    ticket_file: Any,
    name: str | None,
    listen: tuple[Address, ...],
    peers: tuple[Address, ...],
    advertise: tuple[str, ...],
    no_mdns: bool,
    foreground: bool,
    timeout: float,
) -> None:
    """
    Enter a mesh with a TICKET, and copy it whole.

    The ticket may also come from standard input (TICKET is -), a file, or MESH_TICKET, so that it
    stays out of the shell's history. Returns when this node holds what a member holds; the node
    goes on running in the background.
    """
    text = _ticket(ticket, ticket_file)
    from capability.errors import CapabilityError  # noqa: PLC0415 - the formats and their keys
    from mesh.node.setup import prepare_join  # noqa: PLC0415 - as above

    home = app.home
    was_there = home.exists
    try:
        prepare_join(home.path, text, name or host_name(), time.time_ns() // 1_000_000)
    except (CapabilityError, Denied, Precondition):
        if not was_there:
            _undo(home.path)
        raise
    options = options_of(app, listen=listen, peers=peers, advertise=advertise, no_mdns=no_mdns)
    try:
        (_join_here if foreground else _join_behind)(app, options, timeout)
    except Denied:
        if not was_there:
            _undo(home.path)
        raise


def _join_here(app: App, options: Options, timeout_s: float) -> None:
    """The node takes the process; whoever waits for the copy is beside it."""
    watch = _Watch(app, timeout_s)
    watch.start()
    run_here(_Quiet(app), options)
    if watch.refusal is not None:
        raise watch.refusal
    with watch.saying:
        if watch.code is None:
            raise LocalError("stopped before the first copy was whole", hint="go on: mesh up")
    if watch.code:
        raise click.exceptions.Exit(watch.code)


def _join_behind(app: App, options: Options, timeout_s: float) -> None:
    """The node gets a process of its own, which goes on whatever becomes of this one."""
    from cli import spawn  # noqa: PLC0415 - beside its use

    goes_on = LocalError(
        f"{interrupts.INTERRUPTED}; the node goes on joining in the background",
        hint="see `mesh status`, or stop it: mesh down",
    )
    try:
        with interrupts.ending(interrupts.FAILED, *in_words(app, goes_on)):
            spawn.start(options)
            data = wait_for_copy(app, timeout_s)
    except Denied:
        _stop(app)
        raise
    app.done(data, _welcome(data))


def _ticket(ticket: str | None, ticket_file: Any) -> str:
    if ticket == _STDIN:
        ticket = read_text(sys.stdin, characters_max=_TICKET_CHARACTERS_MAX)
    elif ticket is None and ticket_file is not None:
        ticket = read_text(ticket_file, characters_max=_TICKET_CHARACTERS_MAX)
    ticket = ticket or os.environ.get("MESH_TICKET", "")
    if not ticket.strip():
        raise UsageError(
            "no ticket: joining without one is not in this version",
            hint="ask a member for the output of `mesh invite`, then: mesh join TICKET",
        )
    return ticket


def wait_for_copy(app: App, timeout_s: float, *, began_s: float | None = None) -> dict[str, Any]:
    """
    Wait until a member has said that this node holds what it holds.

    Args:
        app: Of the command.
        timeout_s: How long; whether it is so is asked once at least.
        began_s: Since when, by the monotonic clock; by default, since now.

    Raises:
        Denied: The members do not accept the ticket.
        Unavailable: Nobody could be reached in time; the node goes on trying.
    """
    began_s = time.monotonic() if began_s is None else began_s
    while True:
        status = app.call("status")
        if any(peer["in_sync"] for peer in status["peers"]):
            keys = ("mesh_id", "node_id", "entries", "worknodes", "state_hash")
            return {key: status[key] for key in keys}
        waited_s = time.monotonic() - began_s
        _raise_refusal(status, waited_s)
        if waited_s >= timeout_s:
            raise _not_in_time(status, timeout_s)
        app.progress(render.join_progress(status, waited_s))
        time.sleep(_POLL_S)


def _raise_refusal(status: dict[str, Any], waited_s: float) -> None:
    tried = (*status["peers"], *(status.get("dials") or ()))
    if any(each["state"] == "connected" for each in tried):
        return
    # One member may be wrong, by its clock for one: the others are given the time of a dial.
    if waited_s < _REFUSED_S_MIN and any(each["state"] == "dialing" for each in tried):
        return
    for goodbye in status.get("goodbyes") or ():
        if goodbye["code"] in _REFUSALS:
            raise Denied(
                f"a member refuses this node: {goodbye['text']}",
                hint="a member makes new tickets: mesh invite",
            )


def _not_in_time(status: dict[str, Any], timeout_s: float) -> MeshError:
    hint = "the node goes on trying in the background: see `mesh status`; another way: --peer"
    if any(peer["state"] == "connected" for peer in status["peers"]):
        return Unavailable(f"the first copy is not whole after {timeout_s:g} s", hint=hint)
    tried = [
        f"{peer['address']} ({peer['last_error']})"
        for peer in (*status["peers"], *(status.get("dials") or ()))
        if peer.get("last_error") and peer.get("address")
    ]
    whom = f": {'; '.join(tried[:3])}" if tried else ""
    return Unavailable(f"no member could be reached within {timeout_s:g} s{whom}", hint=hint)


def _welcome(data: dict[str, Any]) -> str:
    return (
        f"✓ joined mesh {data['mesh_id'][:8]} as node {data['node_id'][:8]}: "
        f"{data['worknodes']} Worknodes, {data['entries']} entries\n"
        f"  state {data['state_hash'][:16]}, equal with a member"
    )


def _stop(app: App) -> None:
    from cli import spawn  # noqa: PLC0415 - beside its use

    app.call("down")
    spawn.wait_until_stopped(app.home)


def _undo(path: Path) -> None:
    """Take away the home that this command made, so that a better ticket finds a free place."""
    # The key last but for the lock: with another one what stands in the database would be strange.
    names = ("node.log", "mesh.db-shm", "mesh.db-wal", "mesh.db", "identity.key", "node.lock")
    with interrupts.held():
        for name in names:
            (path / name).unlink(missing_ok=True)
    for folder in (path / "run", path):
        # It may be absent, and what somebody else keeps in it stays.
        with suppress(OSError):
            folder.rmdir()


class _Quiet(App):
    """In the foreground the result is the copy, not that the process runs."""

    def __init__(self, app: App) -> None:
        super().__init__()
        self.set_home(app.home.path)

    def done(self, data: object, text: str = "", *, code: int = 0) -> None: ...


class _Watch(threading.Thread):
    """
    Waits for the copy while the node has the main thread.

    Attributes:
        refusal: Why the members do not let this node in; the node is asked to stop then.
        saying: Held while what came of it is being said.
        code: The exit code of that, once it has been said.
    """

    def __init__(self, app: App, timeout_s: float) -> None:
        super().__init__(daemon=True)
        self._app = app
        self._timeout_s = timeout_s
        self.refusal: Denied | None = None
        self.saying = threading.Lock()
        self.code: int | None = None

    def run(self) -> None:
        from cli.app import print_error  # noqa: PLC0415 - beside its use

        began_s = time.monotonic()
        until_s = began_s + self._timeout_s
        while self._app.home.find_socket() is None and time.monotonic() < until_s:
            time.sleep(_POLL_S)
        try:
            data = wait_for_copy(self._app, self._timeout_s, began_s=began_s)
        except Denied as refusal:
            self.refusal = refusal
            # It may be on its way down already.
            with suppress(MeshError):
                self._app.call("down")
        except Unavailable as error:
            # The node goes on trying.
            with self.saying:
                print_error(self._app, error)
                self.code = error.exit_code
        except MeshError:
            # The node stops, and the command says so.
            return
        else:
            with self.saying:
                self._app.done(data, _welcome(data))
                self.code = 0
