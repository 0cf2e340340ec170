"""
The engine: the machines of one node, and nothing but the routes between them.

`handle(input, now) -> effects`. Local writes go to the replica's pen; what peers send is decoded
here, shown to the replica if it is entries or proofs, and to reconciliation and push otherwise.
What the replica has newly taken in is pushed on. An input that is not a local write first seals
the open group, so that nothing is ever folded between a group's opening and its seal.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from typing import Final

from attrs import define, field

from capability.entry import LANE_AUTHORITY
from capability.keys import Signer
from capability.notary import ED25519, Notary
from crdt.codec import encode
from mesh import acquaint, greeting
from mesh.core.effects import Disconnect, Effect, Log, Persist, Reply, Send
from mesh.core.errors import LocalError, ProtocolViolation
from mesh.core.inputs import (
    DialFailed,
    Found,
    Input,
    IssueGrant,
    LinkClosed,
    LinkOpened,
    Measured,
    Now,
    OutboxDrained,
    OutboxFull,
    Received,
    Seal,
    Submit,
    SyncNow,
    Tick,
)
from mesh.core.limits import MESSAGE_BYTES_MAX
from mesh.core.ports import LogReader
from mesh.core.records import PutMeta
from mesh.gossip.broadcast import Broadcast, TreeMessage
from mesh.gossip.limits import HELLO_BYTES_MAX
from mesh.gossip.membership import Membership
from mesh.gossip.messages import Entries, Goodbye, GoodbyeCode, Hello, Message, Peers, Push, Rows
from mesh.gossip.reconcile import ForkFound, Reconcile
from mesh.greeting import EngineConfig, Refused
from mesh.replica.admission import Outcome
from mesh.replica.replica import Replica
from mesh.status import LinkState, status_of
from mesh.wire import Unknown, decode_message, encode_message

#: Goodbyes of peers that `status` still shows.
_FAREWELLS_MAX: Final = 16


@define
class Engine:
    """All machines of one node."""

    replica: Replica
    config: EngineConfig
    membership: Membership
    broadcast: Broadcast
    reconcile: Reconcile
    reader: LogReader
    links: dict[int, LinkState] = field(factory=dict)
    unheard: greeting.Unheard = field(factory=greeting.Unheard)
    #: (peer, code, text) of the last goodbyes of peers whose hello was accepted.
    farewells: list[tuple[bytes, int, str]] = field(factory=list)
    sent: tuple[int, int] = (0, 0)
    #: The frontier's version at the last flush.
    version: int = 0
    decode: Callable[..., Message | Unknown] = decode_message

    @classmethod
    def load(
        cls,
        reader: LogReader,
        *,
        signer: Signer,
        rng: random.Random,
        config: EngineConfig,
        now: Now,
        notary: Notary = ED25519,
    ) -> Engine:
        """
        Build a node's machines from its disk.

        Raises:
            StorageError: The home holds no mesh, or its log is damaged.
        """
        replica = Replica.load(reader, signer=signer, now=now, notary=notary)
        return cls(
            replica=replica,
            config=config,
            membership=Membership(signer.public, reader.peers(), rng),
            broadcast=Broadcast(signer.public, replica.port, encode_message),
            reconcile=Reconcile(signer.public, replica.port, encode_message),
            reader=reader,
        )

    def start(self, now: Now) -> list[Effect]:
        """What is to be done first, once after `load`."""
        effects = self._take_in(greeting.chain_of(self.replica, self.reader)[1:], now, None)[1]
        return effects + self.membership.handle(Tick(), now) + self._push(now)

    # -- the step -------------------------------------------------------------------------------

    def handle(self, input: Input, now: Now) -> list[Effect]:  # noqa: A002 - the field's word
        """One input. A LocalError is the reply to its request; nothing has changed then."""
        if isinstance(input, Submit):
            try:
                return self.replica.submit(input, now)
            except LocalError as error:
                return [Reply(input.request, error=error)]
        return self.replica.seal() + self._mark_sent() + self._route(input, now)

    def _route(self, item: Input, now: Now) -> list[Effect]:
        match item:
            case LinkOpened():
                return self._opened(item, now)
            case LinkClosed():
                return self._closed(item, now)
            case Received(link, data):
                return self._received(link, data, now)
            case Measured(link, rtt_ms):
                return self._measured(link, rtt_ms, now)
            case OutboxFull() | OutboxDrained():
                return self._outbox(item, now)
            case DialFailed() | Found():
                return self.membership.handle(item, now)
            case Tick():
                return self._tick(now)
            case IssueGrant() | SyncNow() | Seal():
                return self._request(item, now)
            case Submit():
                raise AssertionError("a submit is not routed")

    def _request(self, item: IssueGrant | SyncNow | Seal, now: Now) -> list[Effect]:
        match item:
            case IssueGrant():
                try:
                    effects, grant_id = self.replica.issue_grant(item, now)
                except LocalError as error:
                    return [Reply(item.request, error=error)]
                return [*effects, Reply(item.request, grant_id)]
            case SyncNow(request):
                return [*self.reconcile.sync_now(now), Reply(request)]
            case Seal(request):
                return [*self.replica.seal_pending(now), *self.replica.snapshot(), Reply(request)]

    def flush(self, now: Now) -> list[Effect]:
        """The end of a batch: seal the open group, push what is new, compare when it is quiet."""
        again = self.replica.say_again(self.reconcile.equal_peers, now)
        effects = self.replica.seal() + again + self._push(now)
        self.replica.look_at_clocks(now)
        for link in self.unheard.overdue(now):
            self._forget(link)
            effects.append(Disconnect(link, greeting.NO_HELLO))
        if self.version != self.replica.port.version:
            self.version = self.replica.port.version
            self.reconcile.moved(now)
            effects += acquaint.recall(self.links, self.membership, self.replica, now)
        return effects

    def committed(self) -> None:
        """The records of the batch are on disk."""
        self.replica.held.committed()

    @property
    def deadline(self) -> int | None:
        """When a `Tick` is due, in monotonic ms."""
        dues = (
            self.membership.deadline,
            self.broadcast.deadline,
            self.reconcile.deadline,
            self.replica.pending.due_ms,
            self.replica.wake_mono_ms,
            self.unheard.deadline,
        )
        return min([due for due in dues if due is not None], default=None)

    def _tick(self, now: Now) -> list[Effect]:
        effects = self.membership.handle(Tick(), now)
        effects += acquaint.recall(self.links, self.membership, self.replica, now)
        effects += self._let_go((), now) + self.broadcast.tick(now) + self.reconcile.tick(now)
        due = self.replica.pending.due_ms
        if due is not None and due <= now.mono_ms:
            effects += self.replica.seal_pending(now)
        return effects + self.replica.wake(now)

    def status(self, now: Now) -> dict[str, object]:
        """What is known now by measuring."""
        return status_of(
            self.replica,
            links=self.links,
            syncs={sync.link: sync for sync in self.reconcile.status()},
            peers=self.membership.peers_view(),
            farewells=self.farewells,
            now=now,
        )

    # -- links ----------------------------------------------------------------------------------

    def _opened(self, item: LinkOpened, now: Now) -> list[Effect]:
        state = LinkState(item.peer, item.outbound, item.address, item.handshake_hash)
        state.heard_ms, self.links[item.link] = now.mono_ms, state
        self.unheard.opened(item.link, now)
        self.broadcast.opened(item.link)
        effects = self.membership.handle(item, now)
        for gone in [effect.link for effect in effects if isinstance(effect, Disconnect)]:
            self._forget(gone)
        if not self.membership.holds(item.link):
            return effects
        caller = greeting.Caller(item.peer, item.handshake_hash)
        config = self.config.moved_to(item.listen)
        hello = greeting.say(self.replica, self.reader, caller=caller, config=config, now=now)
        return [*effects, Send(item.link, encode_message(hello))]

    def _outbox(self, item: OutboxFull | OutboxDrained, now: Now) -> list[Effect]:
        if isinstance(item, OutboxFull):
            self.broadcast.blocked(item.link)
            self.reconcile.blocked(item.link)
            return []
        self.broadcast.drained(item.link, now)
        return self.reconcile.drained(item.link, now)

    def _forget(self, link: int) -> None:
        """A link that is on its way out: nothing that still comes on it is looked at."""
        self.links.pop(link, None)
        self.unheard.heard(link)
        self.broadcast.closed(link)

    def _closed(self, item: LinkClosed, now: Now) -> list[Effect]:
        self._forget(item.link)
        return self.membership.handle(item, now) + self.reconcile.link_closed(item.link, now)

    def _measured(self, link: int, rtt_ms: float, now: Now) -> list[Effect]:
        if (state := self.links.get(link)) is not None:
            state.rtt_ms, state.heard_ms = rtt_ms, now.mono_ms
        return []

    def _refuse(self, link: int, code: GoodbyeCode, text: str) -> list[Effect]:
        names = self.links[link].names() if link in self.links else ()
        self._forget(link)
        self.membership.refused(link)
        fields = (*names, ("code", int(code)), ("reason", text))
        return [
            Send(link, encode_message(Goodbye(code, text[:200]))),
            Disconnect(link, text[:200]),
            Log("warning", "peer.refused", fields),
        ]

    # -- messages -------------------------------------------------------------------------------

    def _received(self, link: int, data: bytes, now: Now) -> list[Effect]:
        if (state := self.links.get(link)) is None:
            return []
        state.heard_ms = now.mono_ms
        size_max = HELLO_BYTES_MAX if state.hello is None else MESSAGE_BYTES_MAX
        try:
            message = self.decode(data, size_max=size_max)
        except ProtocolViolation as error:
            return self._refuse(link, GoodbyeCode.PROTOCOL_VIOLATION, error.message)
        if isinstance(message, Goodbye):
            return self._goodbye(link, state, message)
        if isinstance(message, Unknown):
            return []
        if state.hello is None or isinstance(message, Hello):
            if state.hello is not None or not isinstance(message, Hello):
                return self._refuse(link, GoodbyeCode.PROTOCOL_VIOLATION, "hello comes first, once")
            return self._hello(link, state, message, now)
        return self._message(link, message, now)

    def _goodbye(self, link: int, state: LinkState, message: Goodbye) -> list[Effect]:
        self._forget(link)
        if message.code != GoodbyeCode.SHUTTING_DOWN:
            self.membership.refused(link)
        if state.hello is not None:  # Who knows the mesh's id may call; a member is believed.
            said = (state.peer, message.code, message.text)
            self.farewells = [*self.farewells, said][-_FAREWELLS_MAX:]
        fields = (*state.names(), ("code", message.code), ("reason", message.text))
        return [Disconnect(link, "goodbye"), Log("warning", "peer.goodbye", fields)]

    def _hello(self, link: int, state: LinkState, hello: Hello, now: Now) -> list[Effect]:
        caller = greeting.Caller(state.peer, state.handshake_hash)
        self.unheard.heard(link)
        effects: list[Effect] = []
        try:
            chain = greeting.check(hello, replica=self.replica, caller=caller, now=now)
            greeting.check_heads(hello, self.replica, caller.key)
            if chain:
                effects = self._take_in(chain, now, link)[1]
                if link not in self.links:
                    return effects
                # Only now that it is held can it show that the log of its join key has forked.
                greeting.check(hello, replica=self.replica, caller=caller, now=now)
        except Refused as refused:
            return effects + self._refuse(link, refused.code, refused.text)
        state.hello = hello
        state.skew_ms = hello.wall_ms - now.wall_ms
        effects += greeting.warn_of_clock(state.peer, state.skew_ms)
        effects += self.membership.accepted(link, hello.addresses, hello.name, now)
        effects += self._mark_sent()
        self.broadcast.ready(link, state.peer)
        effects += acquaint.introduce(link, self.links, encode_message)
        roots = (hello.auth_root, hello.data_root)
        return effects + self.reconcile.link_ready(link, state.peer, *roots, now)

    def _message(self, link: int, message: Message, now: Now) -> list[Effect]:
        if isinstance(message, Push):
            return self._entries(link, message, message.entries, now)
        if isinstance(message, TreeMessage):
            return self.broadcast.handle(link, message, now)
        if isinstance(message, Peers):
            return acquaint.hear(message, self.links[link], self.membership, self.replica, now)
        result = self.reconcile.handle(link, message, now)
        effects = result.effects
        if isinstance(message, Entries):
            effects += self._entries(link, message, result.entries, now)
        elif isinstance(message, Rows):
            self.broadcast.heard(link, [(r.author, r.lane, r.seq) for r in message.rows])
        if result.forks:
            effects += self._forks(link, result.forks, now)
        return effects

    def _entries(
        self, link: int, message: Entries | Push, entries: Sequence[bytes], now: Now
    ) -> list[Effect]:
        hops = message.hops if isinstance(message, Push) else None
        outcome, effects = self._take_in(entries, now, link, hops)
        if link not in self.links:
            return effects
        places = [(e.header.author, e.header.lane, e.header.seq) for e in outcome.held]
        effects += self.reconcile.entries_done(link, message, places, outcome.parted, now)
        if isinstance(message, Push):
            effects += self.broadcast.pushed(link, message.hops, places, outcome.shown)
            for author, lane in sorted(outcome.gaps):
                seq = self.replica.lowest_deferred(author, lane)
                effects += self.reconcile.gap(link, author, lane, seq, now)
        return effects

    def _forks(self, link: int, forks: Sequence[ForkFound], now: Now) -> list[Effect]:
        effects: list[Effect] = []
        settled: set[tuple[bytes, int]] = set()
        parted: list[tuple[tuple[int, bytes], int]] = []
        for fork in forks:
            outcome, more, offence = self.replica.receive_proof(fork.first, fork.second, now)
            effects += more
            settled |= outcome.settled
            parted += outcome.parted
            if offence:
                effects += self._refuse(link, GoodbyeCode.PROTOCOL_VIOLATION, offence)
        effects += self.reconcile.forks_done(link, sorted(settled), now, mismatches=parted)
        return effects + self._let_go(settled, now)

    def _take_in(
        self, batch: Sequence[bytes], now: Now, link: int | None, hops: int | None = None
    ) -> tuple[Outcome, list[Effect]]:
        """Show entries to the replica and push on what it took."""
        outcome, effects, offence = self.replica.receive(batch, now)
        if outcome.held or outcome.brought:
            # Own ones come back to a home that was put back: how far they had left it says anew.
            effects += self._mark_sent() if outcome.own_branch else []
            effects += self.broadcast.new_entries(outcome.held, link, now, hops, outcome.brought)
        for author, lane in sorted(outcome.settled):
            effects += self.reconcile.proof_held(author, lane)
        if offence and link is not None:
            effects += self._refuse(link, GoodbyeCode.PROTOCOL_VIOLATION, offence)
        return outcome, effects + self._let_go(outcome.settled, now)

    def _let_go(self, settled: Collection[tuple[bytes, int]], now: Now) -> list[Effect]:
        """A fork of an authority log, or time, has ended memberships: refuse who has none."""
        effects: list[Effect] = []
        at_once = any(lane == LANE_AUTHORITY for _, lane in settled)
        for link, void in acquaint.departed(self.links, self.replica, now, at_once=at_once):
            effects += self._refuse(link, GoodbyeCode.NOT_A_MEMBER, void)
        return effects

    def _push(self, now: Now) -> list[Effect]:
        fresh = self.replica.take_fresh()
        # A home that peers know to be behind would spread the fork that a new key can still avoid.
        if not fresh or self.replica.writer.blocked:
            return []
        return self._mark_sent() + self.broadcast.new_entries(fresh, None, now)

    def _mark_sent(self) -> list[Effect]:
        """Before an own entry may leave: how far it may have left is on disk."""
        heads = self.replica.port.own_heads(self.replica.author)
        if heads == self.sent or not any(state.hello for state in self.links.values()):
            return []
        self.sent = heads
        return [Persist((PutMeta("sent", encode(heads)),))]


__all__ = ["Engine", "EngineConfig", "LinkState"]
