"""
`open_node`: one running node, put together from its parts, and taken apart in order.

Doors and programs that embed a node use `Node`, and nothing below it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import trio
from attrs import define, field

from capability.keys import SeedSigner, self_test
from mesh.core.effects import Log
from mesh.core.errors import MeshError
from mesh.core.inputs import EVENTUAL, Address, Found, Input, IssueGrant, Now, Seal, Submit, SyncNow
from mesh.core.writes import Write
from mesh.node.clock import system_now
from mesh.node.parts import Options, Parts, assemble, open_log
from mesh.node.requests import REQUEST_S_MAX
from mesh.node.setup import META_TICKET_PEERS, read_addresses
from mesh.node.subscriptions import Subscription
from mesh.replica.founding import META_MESH
from mesh.replica.replica import Replica
from mesh.storage import Home, SqliteStore
from mesh.transport import tcp

#: Every interface, and a port that the system chooses.
LISTEN: Final = (("0.0.0.0", 0),)  # noqa: S104 - only members get past the first message
#: A stop waits this long for pending rows to be sealed; then the links are closed.
SEAL_S_MAX: Final = 5.0


@define(eq=False)
class Node:
    """A running node; `open_node` makes it."""

    _parts: Parts = field(repr=False)

    @property
    def home(self) -> Home:
        return self._parts.home

    @property
    def mesh_id(self) -> bytes:
        return self._parts.mesh_id

    @property
    def node_key(self) -> bytes:
        """The public key of this node: its identity."""
        return self._parts.signer.public

    @property
    def name(self) -> str:
        return self._parts.config.name

    @property
    def listen_addresses(self) -> tuple[Address, ...]:
        """Where it listens, with the ports that the system chose."""
        return self._parts.bound

    @property
    def advertised(self) -> tuple[Address, ...]:
        """Where others are told to dial it."""
        return self._parts.advertised()

    @property
    def replica(self) -> Replica:
        """What is held, for reading. Ask anew each time: it is replaced after a failed commit."""
        return self._parts.driver.engine.replica

    def log(self, line: Log) -> None:
        """Write a line to the node's log."""
        self._parts.log(line)

    def now(self) -> Now:
        """Both clocks, as the engine is told them."""
        return system_now()

    def status(self) -> dict[str, object]:
        """What is known now by measuring; nothing in it is a guess."""
        parts = self._parts
        failure = parts.driver.failure
        return {
            **parts.driver.engine.status(self.now()),
            "name": self.name,
            "running": True,
            "listen": [tcp.text_of(address) for address in self.listen_addresses],
            "advertised": [tcp.text_of(address) for address in self.advertised],
            "links": len(parts.links.open),
            "handshakes_dropped": parts.links.gate.dropped,
            "handshakes_refused": parts.links.pace.refused,
            "inputs_waiting": len(parts.driver.inbox),
            "requests_waiting": len(parts.driver.requests),
            "subscribers": len(parts.subscriptions),
            "writing": "ok" if failure is None else failure.message,
            "mdns": "off" if parts.discovery is None else parts.discovery.problem or "ok",
        }

    def peer_names(self) -> dict[bytes, str]:
        """What the known peers call themselves. Cost: O(peers), where `status` looks at all."""
        views = self._parts.driver.engine.membership.peers_view()
        return {view.node: view.name for view in views if view.node}

    def subscribe(self, after: int | None = None) -> Subscription:
        """Events after a cursor, or from now on; see `Subscriptions.subscribe`."""
        return self._parts.subscriptions.subscribe(after)

    async def request(
        self, make: Callable[[int], Input], *, timeout_s: float = REQUEST_S_MAX
    ) -> object:
        """
        Put an input that carries a request number, and wait for its reply.

        A caller that is cancelled while it waits does not know whether it happened.

        Raises:
            BackPressure: The node is too busy. Nothing happened.
            Unknown: It was taken, and no answer came in time.
            MeshError: What the engine or the disk answered.
        """
        return await self._parts.driver.request(make, timeout_s=timeout_s)

    async def submit(
        self, writes: Sequence[Write], *, session: str = "", level: str = EVENTUAL
    ) -> object:
        """Make all of *writes* or none; durable when it returns. Errors as for `request`."""
        return await self.request(lambda number: Submit(number, tuple(writes), level, session))

    async def issue_grant(
        self,
        audience: bytes,
        *,
        akind: int,
        scopes: Sequence[bytes],
        perms: int,
        max_depth: int,
        exp_ms: int,
        caveats: Sequence[tuple[int, object]] = (),
        label: str = "",
    ) -> object:
        """Grant *perms* over the Worknodes *scopes* to *audience*. Errors as for `request`."""
        return await self.request(
            lambda number: IssueGrant(
                number,
                audience,
                akind,
                tuple(scopes),
                perms,
                max_depth,
                exp_ms,
                tuple(caveats),
                label,
            )
        )

    async def settled(self) -> None:
        """Return when all that `replica` shows is on disk; see `Readers.settled`."""
        await self._parts.driver.readers.settled()

    def distrust(self, error: MeshError) -> None:
        """What `replica` shows cannot be read: have it folded again from the log."""
        self._parts.driver.distrust(error)

    async def sync_now(self) -> object:
        """Begin to compare with every connected peer; what comes of it is in `status`."""
        return await self.request(SyncNow)

    async def seal(self, *, timeout_s: float = REQUEST_S_MAX) -> object:
        """Seal all pending rows, so that they can spread."""
        return await self.request(Seal, timeout_s=timeout_s)

    async def find(self, address: Address, source: str, node: bytes | None = None) -> None:
        """Name an address where a member may listen."""
        await self._parts.driver.inbox.put(Found(address, source, node))

    async def find_all(self, addresses: Sequence[Address], source: str) -> None:
        """Name several."""
        for address in addresses:
            await self.find(address, source)


@asynccontextmanager
async def open_node(
    home: Path | str,
    *,
    listen: Sequence[Address] = LISTEN,
    peers: Sequence[Address] = (),
    mdns: bool = True,
    name: str | None = None,
    region: str = "",
    record: Path | None = None,
    advertise: Sequence[Address] | None = None,
    is_offline: bool = False,
) -> AsyncIterator[Node]:
    """
    Run the node in *home* for as long as the block lasts.

    However the block ends, by cancellation too, what waits to be sealed is sealed and the peers
    are told, within `SEAL_S_MAX` and the links' own bound.

    Args:
        home: A home made by `init_mesh` or `prepare_join`; locked meanwhile.
        listen: May be empty, for a node that only dials; port 0 lets the system choose.
        peers: Addresses where members may listen, besides those that are remembered.
        mdns: Whether to announce and to look for members in the same network.
        name: Instead of the home's, for this run.
        region: Where this node is; peers of the same region are preferred.
        record: A new folder for a recording of all inputs.
        advertise: What others are told to dial, if that is not where this listens.
        is_offline: Dial nobody, whoever is remembered; with nothing to listen on and no mDNS the
            network is not touched.

    Raises:
        NotFound: No home is there.
        Precondition: The home has no mesh yet, or is not private.
        Conflict: Another process runs on it, or listens at one of the addresses.
        StorageError: The disk refused or is damaged.
    """
    self_test()
    options = Options(mdns, name, region, record, advertise, is_offline)
    failure: Exception | None = None
    with ExitStack() as stack:
        place, store, log = _open_home(Path(home), stack)
        listeners = await tcp.bind(listen)
        # Closing a socket twice is no harm, and the links, which do it, may never be made.
        for listener in listeners:
            stack.callback(listener.socket.close)
        parts = await assemble(place, store, log, tcp.bound_addresses(listeners), options)
        stack.callback(parts.close)
        node = Node(parts)
        async with trio.open_nursery() as nursery:
            await nursery.start(parts.run, listeners)
            try:
                await node.find_all(read_addresses(store.meta(META_TICKET_PEERS)), "ticket")
                await node.find_all(peers, "user")
                yield node
            except Exception as error:  # noqa: BLE001 - raised below, outside of the group
                failure = error
            finally:
                await _stop(node, parts)
    if failure is not None:
        raise failure


def _open_home(path: Path, stack: ExitStack) -> tuple[Home, SqliteStore, Callable[[Log], None]]:
    home = Home.open(path)
    stack.enter_context(home.lock())
    store = stack.enter_context(SqliteStore(home.database_path))
    mesh_id = store.meta(META_MESH) or b""
    ids = {"mesh": mesh_id, "node": SeedSigner(home.seed()).public}
    return home, store, stack.enter_context(open_log(home, ids))


async def _stop(node: Node, parts: Parts) -> None:
    with trio.CancelScope(shield=True):
        try:
            await node.seal(timeout_s=SEAL_S_MAX)
        except MeshError as error:
            # The rows are on disk and are sealed when the node runs again.
            node.log(Log("warning", "node.not_sealed", (("error", str(error)),)))
        await parts.links.close_all("the node stops")
    node.log(Log("info", "node.stopped"))
    parts.scope.cancel()
