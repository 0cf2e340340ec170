"""Operations on the mesh and this node: status, sync, peers, invite, down."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final, cast

import trio

from capability import permissions
from capability.bodies import CAVEAT_GRANTS, CAVEAT_ISSUE_BEFORE, JOIN
from capability.keys import SEED_BYTES, SeedSigner
from capability.limits import CHAIN_DEPTH_MAX, NEVER_MS, TICKET_ADDRESSES_MAX
from capability.ticket import Ticket
from mesh.api.arguments import Argument
from mesh.api.context import Context, Operation
from mesh.api.version import VERSION
from mesh.core.errors import Precondition, UsageError
from mesh.core.inputs import Address
from mesh.transport.tcp import is_loopback
from mesh.worknode.resolve import resolve
from mesh.worknode.text import iso, parse_duration

#: How often `sync --wait` looks whether the digests agree.
SYNC_POLL_S: Final = 0.05
SYNC_S_DEFAULT: Final = 30.0
SYNC_S_MAX: Final = 3_600.0
#: How long a chain that goes through the new member may be. It takes two links to admit a member
#: and one for a session, so that three generations may invite and open sessions.
INVITE_DEPTH: Final = CHAIN_DEPTH_MAX
TTL_DEFAULT: Final = "1h"
USES_MAX: Final = 1_000
ROLES: Final[Mapping[str, int]] = {"member": permissions.MEMBER}

#: Keys that `status` always has; what is not measured is null.
_STATUS_KEYS: Final = (
    "mesh_id",
    "node_id",
    "name",
    "running",
    "listen",
    "state_hash",
    "worknodes",
    "entries",
    "frontier_hash",
    "peers",
    "clock",
    "deferred",
    "parked",
)
_PEER_KEYS: Final = (
    "node_id",
    "name",
    "address",
    "state",
    "region",
    "rtt_ms",
    "in_sync",
    "last_heard_s",
)


def _plain(value: object) -> Any:
    """What JSON can hold: bytes as hexadecimal digits, tuples as lists."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def status_of(context: Context) -> dict[str, Any]:
    """The status as a JSON object; without a running node nothing of the network is claimed."""
    found = cast("dict[str, Any]", _plain(context.node.status()))
    for key in _STATUS_KEYS:
        found.setdefault(key, None)
    found["running"] = context.is_running
    found["version"] = VERSION
    if not context.is_running:
        found.update(listen=[], peers=[], clock={**found["clock"], "skew_ms": None}, mdns="off")
    for peer in found["peers"] or ():
        for key in _PEER_KEYS:
            peer.setdefault(key, None)
    return found


async def _status(context: Context, _: dict[str, Any]) -> Any:
    return status_of(context)


async def _peers(context: Context, _: dict[str, Any]) -> Any:
    found = _plain(context.node.status()).get("peers") or []
    for peer in found:
        for key in _PEER_KEYS:
            peer.setdefault(key, None)
        if not context.is_running:
            peer.update(state="unknown", rtt_ms=None, in_sync=None, last_heard_s=None)
    return found


async def _sync(context: Context, given: dict[str, Any]) -> Any:
    if not context.is_running:
        raise Precondition(
            "the node is not running, so it is in touch with nobody", hint="start it: mesh up"
        )
    await context.node.seal()
    await context.node.sync_now()
    if given["wait"]:
        with trio.move_on_after(given["timeout"]):
            while not _is_in_sync(peers := _connected(context)):
                await context.tell({"peers": len(peers), "in_sync": _agreeing(peers)})
                await trio.sleep(SYNC_POLL_S)
    peers = _connected(context)
    return {"in_sync": _is_in_sync(peers), "peers": peers}


def _connected(context: Context) -> list[dict[str, Any]]:
    return [peer for peer in status_of(context)["peers"] if peer["state"] == "connected"]


def _agreeing(peers: list[dict[str, Any]]) -> int:
    return sum(1 for peer in peers if peer["in_sync"])


def _is_in_sync(peers: list[dict[str, Any]]) -> bool:
    """Whether digests were exchanged with all who are connected, and agreed; not for nobody."""
    return bool(peers) and _agreeing(peers) == len(peers)


async def _invite(context: Context, given: dict[str, Any]) -> Any:
    node = context.node
    replica = node.replica
    under = resolve(replica, given["under"]) if given["under"] else replica.store.root
    ttl_ms = parse_duration(given["ttl"]) * 1_000
    if ttl_ms == 0:
        raise UsageError("ttl is 0: nobody could use the ticket")
    exp_ms = node.now().wall_ms + ttl_ms
    addresses = () if given["no_address"] else _addresses(context)
    tickets = [
        await _ticket(context, under=under, role=given["role"], exp_ms=exp_ms, addresses=addresses)
        for _ in range(given["uses"])
    ]
    return {
        "ticket": tickets[0],
        "tickets": tickets,
        "expires_at": iso(exp_ms),
        "role": given["role"],
    }


async def _ticket(
    context: Context, *, under: bytes, role: str, exp_ms: int, addresses: tuple[Address, ...]
) -> str:
    """One ticket for one use: two uses of one join key would fork its log."""
    node = context.node
    seed = os.urandom(SEED_BYTES)
    grant = await node.issue_grant(
        SeedSigner(seed).public,
        akind=JOIN,
        scopes=(under,),
        perms=ROLES[role],
        max_depth=INVITE_DEPTH,
        exp_ms=NEVER_MS,
        caveats=((CAVEAT_GRANTS, 1), (CAVEAT_ISSUE_BEFORE, exp_ms)),
        label=role,
    )
    assert isinstance(grant, bytes)
    # Asked anew after the wait: the replica is replaced when a commit fails.
    replica = node.replica
    ticket = Ticket(
        mesh=replica.mesh_id,
        inviter=replica.author,
        grant=grant,
        seed=seed,
        exp_ms=exp_ms,
        addresses=addresses,
        name=replica.name,
        chain=replica.port.chain_of(grant),
    )
    return ticket.encode()


def _addresses(context: Context) -> tuple[tuple[str, int], ...]:
    found = context.node.advertised
    if not context.is_running or not found:
        raise Precondition(
            "the node is not running, so a ticket cannot say where it listens",
            hint="start it (`mesh up`), or give a ticket without addresses: --no-address",
        )
    # One that others can dial comes before this machine's own.
    ranked = sorted(found, key=lambda address: is_loopback(address[0]))
    return tuple(ranked[:TICKET_ADDRESSES_MAX])


async def _down(context: Context, _: dict[str, Any]) -> Any:
    if not context.is_running:
        return {"node_id": context.node.node_key.hex(), "was_running": False}
    context.stop()
    return {"node_id": context.node.node_key.hex(), "was_running": True}


OPERATIONS: Final = (
    Operation("status", _status),
    Operation("peers", _peers),
    Operation(
        "sync",
        _sync,
        (
            Argument("wait", "flag", default=False),
            Argument("timeout", "number", default=SYNC_S_DEFAULT, least=0, most=SYNC_S_MAX),
        ),
    ),
    Operation(
        "invite",
        _invite,
        (
            Argument("role", default="member", choices=tuple(ROLES)),
            Argument("under"),
            Argument("ttl", default=TTL_DEFAULT, bytes_max=64),
            Argument("uses", "int", default=1, least=1, most=USES_MAX),
            Argument("no_address", "flag", default=False),
        ),
    ),
    Operation("down", _down),
)
