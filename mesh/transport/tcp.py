"""
TCP as the links need it: bind, accept within bounds, dial with a time-out.

Everything before authentication is bounded here: how many connections may be in their handshake,
in all and from one host. Beyond a bound the oldest of them is dropped rather than the newest
refused, so that a flood which never finishes its handshakes cannot lock out a peer which does.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

import trio
from attrs import define, field

from mesh.core.errors import Conflict, UsageError
from mesh.core.inputs import Address

#: Connections whose peer is not authenticated yet, in all, from one host, and from this machine.
#: Source: the common practice of servers with a bounded accept backlog; numbers are a guess.
HANDSHAKES_MAX: Final = 64
HANDSHAKES_PER_HOST_MAX: Final = 4
HANDSHAKES_LOOPBACK_MAX: Final = 32
#: How long a connection may take to open. A host in the same network answers in milliseconds.
DIAL_S_MAX: Final = 3.0
PORT_MAX: Final = 65_535
#: The kernel gives a connection up when sent bytes stay unacknowledged for this long. The
#: heart-beat of the links is faster; this frees what a stuck process would keep.
USER_TIMEOUT_MS: Final = 30_000


class AddressInUse(Conflict):
    """Another program listens there already."""

    code = "address_in_use"
    exit_code = 1


class AddressUnusable(UsageError):
    """No interface of this machine has that address, or it is not an address."""

    code = "address_unusable"


class DialError(Exception):
    """Nobody answered, or nobody can be reached there now. The message says why."""


def text_of(address: Address) -> str:
    """HOST:PORT as people write it; IPv6 hosts in brackets."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_address(text: str) -> Address:
    """
    The address in HOST:PORT; IPv6 hosts stand in brackets.

    Raises:
        UsageError: It has another form.
    """
    host, colon, port = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    is_number = port.isascii() and port.isdigit() and int(port) <= PORT_MAX
    if not colon or not host or not is_number or (":" in host and not bracketed):
        raise UsageError(f"{text!r} is no address", hint="write HOST:PORT, such as 192.0.2.7:7340")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether *host* is this machine itself; a name counts only if it is `localhost`."""
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host == "localhost"
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


async def bind(addresses: Sequence[Address]) -> list[trio.SocketListener]:
    """
    Listen on all of *addresses*, or on none.

    Args:
        addresses: A host that resolves to several addresses gives several listeners; port 0 lets
            the system choose.

    Raises:
        AddressInUse: One of them is taken.
        AddressUnusable: One of them is not this machine's, or does not resolve.
    """
    listeners: list[trio.SocketListener] = []
    try:
        for address in addresses:
            listeners += await _bind_one(address)
    except BaseException:
        for listener in listeners:
            listener.socket.close()
        raise
    return listeners


async def _bind_one(address: Address) -> list[trio.SocketListener]:
    host, port = address
    where = text_of(address)
    # The resolver would take a greater one modulo 65,536.
    if not 0 <= port <= PORT_MAX:
        raise AddressUnusable(f"cannot listen on {where}: a port is in 0 .. {PORT_MAX}")
    try:
        return await trio.open_tcp_listeners(port, host=host)
    except socket.gaierror as error:
        raise AddressUnusable(
            f"cannot listen on {where}: the host does not resolve ({error.strerror})",
            hint="give an address of this machine, such as 127.0.0.1:0 or 0.0.0.0:7340",
        ) from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(
                f"cannot listen on {where}: another program listens there already",
                hint="stop it (`ss -ltnp` names it), or choose another port with --listen",
            ) from error
        raise AddressUnusable(
            f"cannot listen on {where}: {describe(error)}",
            hint="give an address of this machine and a free port, such as 127.0.0.1:0",
        ) from error


def bound_addresses(listeners: Sequence[trio.SocketListener]) -> list[Address]:
    """Where the listeners really listen, with the ports that the system chose."""
    names = [listener.socket.getsockname() for listener in listeners]
    return [(str(name[0]), int(name[1])) for name in names]


async def dial(address: Address) -> trio.SocketStream:
    """
    Connect within `DIAL_S_MAX`.

    Raises:
        DialError: Refused, unreachable, unresolvable or too slow. Trying again later is right.
    """
    host, port = address
    if not 0 < port <= PORT_MAX:
        raise DialError(f"a port is in 1 .. {PORT_MAX}")
    try:
        with trio.fail_after(DIAL_S_MAX):
            stream = await trio.open_tcp_stream(host, port)
    except trio.TooSlowError as error:
        raise DialError(f"no answer within {DIAL_S_MAX:g} s") from error
    except (OSError, ValueError) as error:
        raise DialError(describe(error)) from error
    tune(stream)
    return stream


def tune(stream: trio.SocketStream) -> None:
    """Small messages at once, and a kernel that notices a dead peer. Failure is no harm."""
    with contextlib.suppress(OSError):
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # Linux only; elsewhere the heart-beat alone must do.
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is not None:
            stream.setsockopt(socket.IPPROTO_TCP, option, USER_TIMEOUT_MS)


def peer_address(stream: trio.SocketStream) -> Address:
    """The other end; an empty host if it is gone already."""
    try:
        name = stream.socket.getpeername()
    except OSError:
        return ("", 0)
    return (str(name[0]), int(name[1]))


def describe(error: BaseException) -> str:
    """What the system said, in its own words and without our stack."""
    # Trio wraps the attempts of a host with several addresses into a group.
    while isinstance(error.__cause__, (OSError, BaseExceptionGroup)):
        error = error.__cause__
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


async def serve(
    listeners: Sequence[trio.SocketListener],
    handle: Callable[[trio.SocketStream], Awaitable[object]],
    nursery: trio.Nursery,
) -> None:
    """Accept for ever; *handle* runs in *nursery*. A full table of files makes it wait, not end."""
    await trio.serve_listeners(handle, list(listeners), handler_nursery=nursery)


@define(eq=False)
class HandshakeGate:
    """Counts connections in their handshake, and drops the oldest beyond a bound."""

    total_max: int = HANDSHAKES_MAX
    per_host_max: int = HANDSHAKES_PER_HOST_MAX
    loopback_max: int = HANDSHAKES_LOOPBACK_MAX
    dropped: int = 0
    _inside: OrderedDict[trio.CancelScope, str] = field(factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._inside)

    @contextlib.contextmanager
    def enter(self, host: str) -> Iterator[trio.CancelScope]:
        """The time of one handshake. The scope is cancelled when another needs its place."""
        self._make_room(host)
        with trio.CancelScope() as scope:
            self._inside[scope] = host
            try:
                yield scope
            finally:
                self._inside.pop(scope, None)

    def _make_room(self, host: str) -> None:
        host_max = self.loopback_max if is_loopback(host) else self.per_host_max
        same = [scope for scope, inside in self._inside.items() if inside == host]
        if len(same) >= host_max:
            self._drop(same[0])
        elif len(self._inside) >= self.total_max:
            self._drop(next(iter(self._inside)))

    def _drop(self, scope: trio.CancelScope) -> None:
        # Removed at once: its task runs only later, and the count must hold meanwhile.
        del self._inside[scope]
        self.dropped += 1
        scope.cancel()
