"""`mesh up` and `mesh down`: the node's process."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from cli import interrupts
from cli.addresses import ADDRESS, LISTEN_DEFAULT, Address
from cli.app import App, command, in_words
from mesh.core.errors import LocalError, Unknown


def running_options(function: Any) -> Any:
    """The options of `up` that `join` has as well."""
    for option in (
        click.option("--foreground", is_flag=True, help="Stay in this terminal until interrupted."),
        click.option("--no-mdns", is_flag=True, help="Do not look for members in the network."),
        click.option(
            "--advertise",
            multiple=True,
            metavar="HOST:PORT",
            help="What others are told to dial instead (behind NAT); `none` tells them nothing.",
        ),
        click.option(
            "--peer",
            "peers",
            type=ADDRESS,
            multiple=True,
            metavar="HOST:PORT",
            help="Where a member listens; may be repeated.",
        ),
        click.option(
            "--listen",
            type=ADDRESS,
            multiple=True,
            metavar="HOST:PORT",
            help=f"Where to listen; port 0 takes any. Default: {LISTEN_DEFAULT}.",
        ),
    ):
        function = option(function)
    return function


def options_of(
    app: App,
    *,
    listen: tuple[Address, ...],
    peers: tuple[Address, ...],
    advertise: tuple[str, ...],
    no_mdns: bool,
    record: Path | None = None,
) -> Any:
    """The node's `Options` from those of the command."""
    from cli.noded import Options  # noqa: PLC0415 - beside its use

    told: tuple[Address, ...] | None = None
    if advertise == ("none",):
        told = ()
    elif advertise:
        told = tuple(ADDRESS.convert(text, None, None) for text in advertise)
    return Options(
        home=str(app.home.path),
        listen=listen or (ADDRESS.convert(LISTEN_DEFAULT, None, None),),
        peers=peers,
        advertise=told,
        mdns=not no_mdns,
        record="" if record is None else str(record.absolute()),
    )


@command("up")
@running_options
@click.option(
    "--record",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write all that the node is told into DIR, for a replay. As private as the home.",
)
def up(
    app: App,
    *,
    listen: tuple[Address, ...],
    peers: tuple[Address, ...],
    advertise: tuple[str, ...],
    no_mdns: bool,
    foreground: bool,
    record: Path | None,
) -> None:
    """Start the node in the background; `mesh down` stops it."""
    app.home.open(app.home.path)
    options = options_of(
        app, listen=listen, peers=peers, advertise=advertise, no_mdns=no_mdns, record=record
    )
    if foreground:
        run_here(app, options)
        return
    from cli import spawn  # noqa: PLC0415 - beside its use

    goes_on = LocalError(
        f"{interrupts.INTERRUPTED}; the node goes on starting in the background",
        hint="see `mesh status`, or stop it: mesh down",
    )
    with interrupts.ending(interrupts.FAILED, *in_words(app, goes_on)):
        data = spawn.start(options)
    app.done(data, f"✓ node {data['node_id'][:8]} is up at {', '.join(data['listen'])}")


def run_here(app: App, options: Any) -> None:
    """The node in this very process, until it is interrupted."""
    from cli import noded  # noqa: PLC0415 - beside its use

    def ready(data: Mapping[str, Any]) -> None:
        app.done(data, f"node {data['node_id'][:8]} is up at {', '.join(data['listen'])}")
        if sys.stdin.isatty():
            app.note("Ctrl-C stops it")

    noded.run(options, ready)


@command("down")
def down(app: App) -> None:
    """Stop the node; what waits is written first, nothing is lost."""
    from cli import client, spawn  # noqa: PLC0415 - beside their use

    home = app.home.open(app.home.path)
    socket_path = home.find_socket()
    data: dict[str, Any] = {"was_running": False}
    if socket_path is not None:
        with contextlib.suppress(client.NotRunning):
            data = client.call(socket_path, "down", {}, warn=app.note)
    if not spawn.wait_until_stopped(home):
        pid = home.lock_path.read_text().strip() or "(unknown)"
        raise Unknown(
            f"the node (process {pid}) has not stopped within {spawn.STOP_S_MAX:g} s",
            hint=f"wait, or end it: kill {pid}; what was acknowledged is safe",
        )
    app.done(data, "✓ the node is stopped" if data["was_running"] else "the node was not running")
