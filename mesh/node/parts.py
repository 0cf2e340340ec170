"""
The parts of one node, made and connected.

This is where the outside enters: the key, the clocks, the sockets, and the seed of the engine's
random numbers. Everything below is handed what it needs.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import trio
from attrs import define, field, frozen

from capability.keys import SeedSigner
from mesh.core.effects import Log
from mesh.core.errors import Precondition
from mesh.core.inputs import Address, Now
from mesh.core.version import DISTRIBUTION, VERSION
from mesh.engine import Engine, EngineConfig
from mesh.node.clock import system_now
from mesh.node.driver import Driver
from mesh.node.handshake import ChannelKeys
from mesh.node.inbox import Inbox
from mesh.node.links import Links
from mesh.node.recorder import Recorder
from mesh.node.replay import ReplayResult, replay_with
from mesh.node.subscriptions import Subscriptions
from mesh.observe import LogLimiter
from mesh.observe.logs import NodeLog
from mesh.replica.founding import META_MESH, META_NAME
from mesh.storage import Home, SqliteStore
from mesh.transport.discovery import Announcement, Discovery
from mesh.transport.interfaces import own_addresses, reachable_at

_SEED_BYTES: Final = 7


@frozen
class Options:
    """How a node is to run; see `open_node`."""

    mdns: bool
    name: str | None
    region: str
    record: Path | None
    advertise: Sequence[Address] | None
    is_offline: bool = False


@define(eq=False)
class Parts:
    """Everything of one node that runs or has to be closed."""

    home: Home
    mesh_id: bytes
    signer: SeedSigner
    config: EngineConfig
    bound: tuple[Address, ...]
    log: Callable[[Log], None]
    driver: Driver[Engine]
    links: Links
    subscriptions: Subscriptions
    discovery: Discovery | None
    recorder: Recorder | None
    #: What others are told to dial, if somebody has said so; else it is where this listens.
    advertise: Sequence[Address] | None = None
    scope: trio.CancelScope = field(factory=trio.CancelScope)

    def advertised(self) -> tuple[Address, ...]:
        """What others are told to dial, by the addresses that the machine has now."""
        return _advertised(self.bound, own_addresses(), self.advertise)

    async def run(
        self,
        listeners: Sequence[trio.SocketListener],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """
        Run until `scope` is cancelled, and, once it has started, only then.

        Shielded from whoever cancels the node's user, so that links and engine are still there
        while the node says goodbye. One that is cancelled while it starts has nobody to say it to.
        """
        with self.scope:
            async with trio.open_nursery() as nursery:
                # What arrives before the engine has started waits in the inbox.
                await nursery.start(self.links.run, listeners)
                await nursery.start(self.driver.run)
                if self.discovery is not None:
                    nursery.start_soon(self.discovery.run)
                software = ("software", self.config.software)
                self.log(Log("info", "node.started", (("listen", self.bound), software)))
                # Whom nobody takes over would wait behind the shield for ever.
                await trio.lowlevel.checkpoint_if_cancelled()
                self.scope.shield = True
                task_status.started()

    def close(self) -> None:
        """End the recording; the rest is closed by whoever opened it."""
        if self.recorder is not None:
            self.recorder.close(self.driver.engine.replica.state_hash())


async def assemble(
    home: Home,
    store: SqliteStore,
    log: Callable[[Log], None],
    bound: Sequence[Address],
    options: Options,
) -> Parts:
    """
    Load the engine and connect the parts. Cost: that of reading the log.

    Raises:
        Precondition: The home has no mesh yet.
        StorageError: The disk refused or is damaged.
    """
    mesh_id = store.meta(META_MESH)
    if mesh_id is None:
        raise Precondition(
            f"{home.path} has an identity, but no mesh", hint="run `mesh init` or `mesh join`"
        )
    signer = SeedSigner(home.seed())
    config = await _config(store, bound, options)
    # Below 2**63, so that a recording can hold it. Jitter needs no better source than this.
    seed = int.from_bytes(os.urandom(_SEED_BYTES), "big")
    load = partial(_load, store, signer, random.Random(seed), config)  # noqa: S311
    engine = await trio.to_thread.run_sync(load, system_now())
    recorder = None
    if options.record is not None:
        recorder = Recorder.create(options.record, store, seed=seed, extra=_extra(config), log=log)
    subscriptions = Subscriptions(store)
    inbox = Inbox()
    keys = ChannelKeys.create(signer, mesh_id)
    listening = partial(_listening, tuple(bound), options.advertise)
    links = Links(keys, inbox.put, log, is_offline=options.is_offline, listening=listening)
    driver = Driver(
        engine,
        load=load,
        store=store,
        links=links,
        emit=subscriptions.publish,
        log=log,
        recorder=recorder,
        inbox=inbox,
    )
    describe = partial(_announcement, mesh_id, signer.public, tuple(bound))
    return Parts(
        home,
        mesh_id=mesh_id,
        signer=signer,
        config=config,
        bound=tuple(bound),
        log=log,
        driver=driver,
        links=links,
        subscriptions=subscriptions,
        discovery=Discovery(describe, inbox.put, log) if options.mdns else None,
        recorder=recorder,
        advertise=options.advertise,
    )


def _announcement(
    mesh_id: bytes, node_key: bytes, bound: Sequence[Address], own: Sequence[str]
) -> Announcement:
    return Announcement(mesh_id, node_key, reachable_at(bound, own))


def _advertised(
    bound: Sequence[Address], own: Sequence[str], advertise: Sequence[Address] | None
) -> tuple[Address, ...]:
    return reachable_at(bound, own) if advertise is None else tuple(advertise)


def _listening(
    bound: Sequence[Address], advertise: Sequence[Address] | None
) -> tuple[Address, ...] | None:
    """What a peer is told to dial by the addresses of this moment. Cost: 0.1 ms."""
    try:
        return _advertised(bound, own_addresses(), advertise)
    except OSError:
        # A machine that is changing its interfaces; what it had at the start is as good a guess.
        return None


async def _config(store: SqliteStore, bound: Sequence[Address], options: Options) -> EngineConfig:
    own = await trio.to_thread.run_sync(own_addresses)
    return EngineConfig(
        name=options.name or (store.meta(META_NAME) or b"").decode(),
        region=options.region,
        listen=_advertised(bound, own, options.advertise),
        software=f"{DISTRIBUTION}/{VERSION}",
    )


def _load(
    store: SqliteStore, signer: SeedSigner, rng: random.Random, config: EngineConfig, now: Now
) -> Engine:
    return Engine.load(store, signer=signer, rng=rng, config=config, now=now)


def _extra(config: EngineConfig) -> tuple[object, ...]:
    return (config.name, config.region, config.listen, config.software)


def replay(folder: Path, signer: SeedSigner) -> ReplayResult:
    """
    Replay a recording of the node whose key is *signer*'s.

    Raises:
        StorageError: It cannot be read, or is of another version.
    """
    rng = random.Random()  # noqa: S311 - seeded from the recording before its first use
    is_seeded = False

    def load(store: SqliteStore, extra: tuple[int, tuple[object, ...]], now: Now) -> Engine:
        nonlocal is_seeded
        seed, fields = extra
        if not is_seeded:
            rng.seed(seed)
            is_seeded = True
        return _load(store, signer, rng, EngineConfig(*fields), now)  # type: ignore[arg-type]

    return replay_with(
        folder,
        open_store=SqliteStore,
        load=load,
        state_hash=lambda engine: engine.replica.state_hash(),
    )


@contextmanager
def open_log(home: Home, ids: Mapping[str, bytes]) -> Iterator[Callable[[Log], None]]:
    """The home's log, with *ids* in each line, and a bound on how often one is written."""
    lines = NodeLog.at(home.log_path, ids=ids)
    limiter = LogLimiter()

    def write(line: Log) -> None:
        passed = limiter.pass_on(line, now_s=trio.current_time())
        if passed is not None:
            lines(passed)

    try:
        yield write
    finally:
        lines.close()
