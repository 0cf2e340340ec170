"""One push machine, told by hand what its links say."""

from __future__ import annotations

from collections.abc import Sequence

from capability.entry import Entry
from mesh.core.effects import Effect, Send
from mesh.core.inputs import Now
from mesh.core.limits import MESSAGE_BYTES_MAX
from mesh.gossip.broadcast import Broadcast, TreeMessage
from mesh.gossip.messages import Graft, Have, Held, Message, Missed, Push
from mesh.wire import Unknown, decode_message, encode_message
from tests.mesh.gossip.world import FakeReplica, chain, name

ME, A, B, C = (name(label) for label in ("me", "a", "b", "c"))


class Node:
    """One machine over a replica, with its clock; links 1, 2, … lead to peers of these names."""

    def __init__(self, *links: int) -> None:
        self.replica = FakeReplica()
        self.machine = Broadcast(ME, self.replica, encode_message)
        self.now_ms = 1_000
        for link in links:
            self.machine.opened(link)
            self.machine.ready(link, name(f"peer {link}"))

    @property
    def now(self) -> Now:
        return Now(self.now_ms, 0)

    def write(self, *entries: Entry) -> list[Effect]:
        """Own entries."""
        assert [self.replica.take(entry) for entry in entries] == ["held"] * len(entries)
        return self.machine.new_entries(entries, None, self.now)

    def take(self, link: int, *entries: Entry, hops: int = 0) -> list[Effect]:
        """A push, as the engine hands it on."""
        held, shown = [], []
        for entry in entries:
            header = entry.header
            place = (header.author, header.lane, header.seq)
            if self.replica.take(entry) == "held":
                held.append((entry, place))
            else:
                shown.append(place)
        effects: list[Effect] = []
        if held:
            new = [entry for entry, _ in held]
            there = [place for _, place in held] + shown
            effects = self.machine.new_entries(new, link, self.now, hops, there)
        return effects + self.machine.pushed(link, hops, [place for _, place in held], shown)

    def tell(self, link: int, message: TreeMessage) -> list[Effect]:
        return self.machine.handle(link, message, self.now)

    def wait(self, ms: int) -> list[Effect]:
        self.now_ms += ms
        return self.machine.tick(self.now)

    def wait_for_deadline(self) -> list[Effect]:
        due_ms = self.machine.deadline
        assert due_ms is not None
        return self.wait(max(due_ms - self.now_ms, 0))


def say(link: int, message: Message) -> Send:
    return Send(link, encode_message(message))


def push(link: int, *entries: Entry, hops: int = 0) -> Send:
    return say(link, Push(tuple(entry.encode() for entry in entries), hops))


def have(author: bytes, seq: int, hops: int = 0, *, number: int = 0, lane: int = 1) -> Have:
    """The announcement that gives the author his number."""
    return Have(number, (author,), (Held(number, lane, seq, hops),))


def graft(link: int, author: bytes, after: int, lane: int = 1) -> Send:
    return say(link, Graft((Missed(author, lane, after),)))


def said(effects: Sequence[Effect]) -> list[tuple[int, Message | Unknown]]:
    sends = [effect for effect in effects if isinstance(effect, Send)]
    assert len(sends) == len(effects)
    return [(e.link, decode_message(e.data, size_max=MESSAGE_BYTES_MAX)) for e in sends]


def known_by_push(*links: int) -> tuple[Node, list[Entry]]:
    """Entries of an author whose first came over link 1."""
    node, entries = Node(*links), chain(A, 5)
    node.take(1, entries[0], hops=2)
    return node, entries
