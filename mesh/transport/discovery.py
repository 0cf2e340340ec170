"""
Finding members in the same network by mDNS. What it finds is a hint and nothing more.

Zeroconf runs in its own thread with its own loop. Everything of it that blocks is called in worker
threads; what it finds comes back through trio's `run_sync_soon`. Interfaces are always named, so
no multicast route is needed, and when they change everything is started anew. No network, a
refused socket or a hostile answer is logged and tried again, and never ends anything.

Registering and browsing go on side by side: a peer is found in about 1.2 s, and the probing of a
registration must not come before it.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import logging
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import define, field, frozen

from mesh.core.effects import Log
from mesh.core.inputs import MDNS, Address, Found
from mesh.transport.interfaces import own_addresses
from mesh.transport.tcp import is_loopback

if TYPE_CHECKING:
    from zeroconf import ServiceBrowser, ServiceInfo, Zeroconf

SERVICE: Final = "_worknode-mesh._tcp.local."
VERSION: Final = b"1"
#: Addresses that are remembered, so that a repeated announcement is not news. Source: security
#: review, "≤ 256 cached peers, never trusted".
FOUND_MAX: Final = 256
#: Names that wait to be resolved, and addresses that are believed of one name.
NAMES_WAITING_MAX: Final = 64
ADDRESSES_PER_NAME_MAX: Final = 8
#: How often the machine's addresses are looked at.
POLL_S: Final = 2.0
#: Wait after a failure; doubles up to the second.
RETRY_S_MIN: Final = 2.0
RETRY_S_MAX: Final = 60.0
#: Names that are asked about at once: one that never answers must not hold up the others.
RESOLVERS: Final = 4
#: One question for the details of a name.
RESOLVE_MS_MAX: Final = 3_000
#: Saying goodbye takes zeroconf about 0.4 s; a node that stops waits no longer than this.
CLOSE_S_MAX: Final = 2.0


def mesh_tag(mesh_id: bytes) -> str:
    """Eight bytes of a hash, in hex: tells meshes apart without naming them."""
    return hashlib.blake2b(mesh_id, digest_size=8).hexdigest()


@frozen
class Announcement:
    """What this node tells the network about itself."""

    mesh_id: bytes
    node_key: bytes
    addresses: tuple[Address, ...]

    @property
    def name(self) -> str:
        return f"{self.node_key.hex()[:16]}-{mesh_tag(self.mesh_id)[:8]}.{SERVICE}"

    def interfaces(self, own: Sequence[str]) -> tuple[str, ...]:
        """
        Where to speak: on loopback if the node listens there only, else on its networks.

        Addresses that the machine does not have (any more) are left out.
        """
        hosts = [host for host, _ in self.addresses]
        if hosts and all(is_loopback(host) for host in hosts):
            return tuple(host for host in own if is_loopback(host))
        return tuple(host for host in own if not is_loopback(host))

    def info(self, interfaces: Sequence[str]) -> ServiceInfo | None:
        """The record to register; None while nobody could reach this node."""
        from zeroconf import ServiceInfo  # noqa: PLC0415 - 85 ms that a node without mDNS saves

        here = [(host, port) for host, port in self.addresses if host in interfaces]
        if not here:
            return None
        # One record has one port; a node that listens on several announces the first.
        port = here[0][1]
        return ServiceInfo(
            SERVICE,
            self.name,
            addresses=[socket.inet_aton(host) for host, each in here if each == port],
            port=port,
            properties={
                b"mesh": mesh_tag(self.mesh_id).encode(),
                b"node": self.node_key.hex()[:16].encode(),
                b"v": VERSION,
            },
            server=f"{self.node_key.hex()[:16]}.local.",
        )


def read(info: ServiceInfo, announcement: Announcement) -> tuple[Address, ...]:
    """The addresses in somebody's record, if it is of this mesh and not this node's own."""
    properties = info.properties
    if properties.get(b"mesh") != mesh_tag(announcement.mesh_id).encode():
        return ()
    if properties.get(b"node") == announcement.node_key.hex()[:16].encode():
        return ()
    port = info.port
    if not isinstance(port, int) or not 0 < port < 65_536:
        return ()
    hosts = [str(ipaddress.ip_address(data)) for data in info.addresses if len(data) == 4]
    return tuple((host, port) for host in hosts[:ADDRESSES_PER_NAME_MAX])


@define(eq=False)
class Discovery:
    """
    Announces this node and reports others as `Found`.

    Attributes:
        found: Addresses seen, the least recently seen first.
        problem: Why it does not work now, None while it does.
    """

    _describe: Callable[[Sequence[str]], Announcement]
    _put: Callable[[Found], Awaitable[None]]
    _log: Callable[[Log], None]
    _own_addresses: Callable[[], tuple[str, ...]] = own_addresses
    found: OrderedDict[Address, None] = field(factory=OrderedDict)
    problem: str | None = None

    async def run(self) -> None:
        """Serve until cancelled; starts anew when addresses change and after failures."""
        retry_s = RETRY_S_MIN
        while True:
            started_s = trio.current_time()
            try:
                await self._session()
            except Exception as error:  # noqa: BLE001 - mDNS may not end a node
                self.problem = f"{type(error).__name__}: {error}"
                self._log(Log("warning", "mdns.failed", (("reason", self.problem),)))
                if trio.current_time() - started_s > RETRY_S_MAX:
                    retry_s = RETRY_S_MIN
                await trio.sleep(retry_s)
                retry_s = min(retry_s * 2, RETRY_S_MAX)

    async def _session(self) -> None:
        """Speak on the present addresses until they change."""
        own = await trio.to_thread.run_sync(self._own_addresses)
        announcement = self._describe(own)
        interfaces = announcement.interfaces(own)
        if not interfaces:
            self.problem = "this machine has no network"
            await self._until_changed(own)
            return
        zeroconf = await trio.to_thread.run_sync(_open, interfaces)
        self.problem = None
        failures: list[Exception] = []

        async def guarded(task: Callable[[], Awaitable[None]]) -> None:
            # Collected by hand: in a group with `Cancelled` a failure would outlive a node's end.
            try:
                await task()
            except Exception as error:  # noqa: BLE001 - raised again below
                failures.append(error)
                nursery.cancel_scope.cancel()

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(guarded, lambda: self._browse(zeroconf, announcement))
                nursery.start_soon(
                    guarded, lambda: _register(zeroconf, announcement.info(interfaces))
                )
                await guarded(lambda: self._until_changed(own))
                nursery.cancel_scope.cancel()
        finally:
            with trio.move_on_after(CLOSE_S_MAX, shield=True):
                await trio.to_thread.run_sync(_close, zeroconf, abandon_on_cancel=True)
        if failures:
            raise failures[0]

    async def _until_changed(self, own: tuple[str, ...]) -> None:
        while True:
            await trio.sleep(POLL_S)
            now = await trio.to_thread.run_sync(self._own_addresses)
            if now != own:
                self._log(Log("info", "mdns.addresses_changed", (("addresses", now),)))
                return

    async def _browse(self, zeroconf: Zeroconf, announcement: Announcement) -> None:
        send, receive = trio.open_memory_channel[str](NAMES_WAITING_MAX)
        token = trio.lowlevel.current_trio_token()

        def notice(name: str) -> None:
            # A flood of names loses some of them; they are announced again.
            try:
                send.send_nowait(name)
            except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
                return

        def on_change(name: str) -> None:
            try:
                token.run_sync_soon(notice, name)
            except trio.RunFinishedError:
                return

        browser = await trio.to_thread.run_sync(_browser, zeroconf, on_change)
        try:
            async with trio.open_nursery() as nursery:
                for _ in range(RESOLVERS):
                    nursery.start_soon(self._resolve, zeroconf, announcement, receive.clone())
        finally:
            receive.close()
            with trio.move_on_after(CLOSE_S_MAX, shield=True):
                await trio.to_thread.run_sync(browser.cancel, abandon_on_cancel=True)

    async def _resolve(
        self,
        zeroconf: Zeroconf,
        announcement: Announcement,
        names: trio.MemoryReceiveChannel[str],
    ) -> None:
        with names:
            async for name in names:
                info = await trio.to_thread.run_sync(
                    _details, zeroconf, name, abandon_on_cancel=True
                )
                for address in read(info, announcement) if info is not None else ():
                    await self._report(address)

    async def _report(self, address: Address) -> None:
        self.found.pop(address, None)
        self.found[address] = None
        if len(self.found) > FOUND_MAX:
            self.found.popitem(last=False)
        await self._put(Found(address, MDNS))


def _open(interfaces: Sequence[str]) -> Zeroconf:
    from zeroconf import IPVersion, Zeroconf  # noqa: PLC0415 - see `Announcement.info`

    # Its warnings about other programs' records would go to standard error.
    logging.getLogger("zeroconf").addHandler(logging.NullHandler())
    logging.getLogger("zeroconf").propagate = False
    return Zeroconf(interfaces=list(interfaces), ip_version=IPVersion.V4Only)


def _browser(zeroconf: Zeroconf, on_change: Callable[[str], None]) -> ServiceBrowser:
    from zeroconf import ServiceBrowser, ServiceStateChange  # noqa: PLC0415 - as above

    def handler(name: str, state_change: ServiceStateChange, **_: Any) -> None:
        if state_change is not ServiceStateChange.Removed:
            on_change(name)

    return ServiceBrowser(zeroconf, SERVICE, handlers=[handler])


def _details(zeroconf: Zeroconf, name: str) -> ServiceInfo | None:
    try:
        return zeroconf.get_service_info(SERVICE, name, RESOLVE_MS_MAX)
    except Exception:  # noqa: BLE001 - somebody's malformed name; ours is not affected
        return None


def _close(zeroconf: Zeroconf) -> None:
    # A network that went away lets the goodbye fail; the sockets are closed all the same.
    with contextlib.suppress(OSError):
        zeroconf.close()


async def _register(zeroconf: Zeroconf, info: ServiceInfo | None) -> None:
    if info is None:
        return

    def register() -> None:
        # The name holds the node's key, so nobody else has it, and probing for that would only
        # refuse a node that was restarted while its old record is in somebody's cache.
        zeroconf.register_service(info, cooperating_responders=True)

    await trio.to_thread.run_sync(register, abandon_on_cancel=True)
