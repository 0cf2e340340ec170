"""Commands on the mesh that the running node answers: invite, status, sync, peers."""

from __future__ import annotations

from typing import Any

import click

from cli import render
from cli.app import App, command
from cli.findings import peer_name
from cli.given import SecondsType
from mesh.core.errors import Unavailable

#: The answer to `sync --wait` may take so much longer than the wait itself.
_SLACK_S = 5.0


@command("invite")
@click.option("--role", default=None, help="What the ticket allows; `member` is the only role yet.")
@click.option("--under", metavar="NODE", help="Allow it below this Worknode only. Default: all.")
@click.option("--ttl", default="1h", show_default=True, help="How long it may be used: 30m, 2d.")
@click.option(
    "--uses", type=int, default=1, show_default=True, help="How many tickets; each is for one node."
)
@click.option("--no-address", is_flag=True, help="Leave out where this node listens.")
def invite(
    app: App,
    *,
    role: str | None,
    under: str | None,
    ttl: str,
    uses: int,
    no_address: bool,
) -> None:
    """
    Print a ticket that lets another node in, or several, one on each line.

    Whoever holds the ticket may use it, so hand it over as you would a password. It names the
    mesh, this node and where it listens.
    """
    arguments = {"role": role, "under": under, "ttl": ttl, "uses": uses, "no_address": no_address}
    data = app.call("invite", arguments, is_write=True)
    app.done(data, "\n".join(data["tickets"]))
    if not app.is_json:
        app.note(f"valid until {data['expires_at']}, once each: mesh join TICKET")


@command("sync")
@click.option("--wait", is_flag=True, help="Return when the digests agree with every peer.")
@click.option(
    "--timeout",
    type=SecondsType(0.0),
    default=30.0,
    show_default=True,
    metavar="S",
    help="How long to --wait.",
)
def sync(app: App, *, wait: bool, timeout: float) -> None:
    """Compare with all connected peers now. "In sync" means that digests were exchanged."""

    def told(progress: dict[str, Any]) -> None:
        app.progress(f"in sync with {progress['in_sync']} of {progress['peers']} peers")

    arguments = {"wait": wait, "timeout": timeout}
    data = app.call("sync", arguments, timeout_s=timeout + _SLACK_S, told=told if wait else None)
    if wait and not data["in_sync"]:
        raise _not_in_sync(data["peers"], timeout)
    app.done(data, render.sync(data))


def _not_in_sync(peers: list[dict[str, Any]], timeout_s: float) -> Unavailable:
    if not peers:
        return Unavailable(
            f"no peer is connected after {timeout_s:g} s; what is written here stays here for now",
            hint="`mesh peers` says what stands in the way",
        )
    late = ", ".join(peer_name(peer) for peer in peers if not peer["in_sync"])
    return Unavailable(
        f"not in sync with {late} after {timeout_s:g} s; it goes on in the background",
        hint="wait longer: --timeout",
    )


@command("peers")
def peers(app: App) -> None:
    """Who is known, where, and how the connection stands."""
    data = app.call("peers")
    app.done(data, render.peers(data))
