"""
P6: "in sync with X" is said only of the very digests that X has told on that link.

Exactly: whenever a host says of a link that it is in sync, its frontier roots are then roots that
the peer at the other end has sent on this link, in `Roots` or `RootsReply`; and what an honest peer
sends as its roots are those that it has at that time. So it is never said when either side has
moved since, beyond what the host cannot know yet.
"""

# ruff: noqa: SLF001 - a watcher reads what it is not told

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

from attrs import define, field

from mesh.core.effects import Persist, Send
from mesh.core.errors import ProtocolViolation
from mesh.core.inputs import Received
from mesh.core.limits import MESSAGE_BYTES_MAX
from mesh.core.records import PutEntry, PutProof, Record
from mesh.gossip.messages import Roots, RootsReply
from mesh.wire import TAGS
from simulations.checkers.checker import Checker
from simulations.identity import tag_of

if TYPE_CHECKING:
    from mesh.core.effects import Effect
    from mesh.core.inputs import Input
    from simulations.host import Host
    from simulations.pipe import End

_Pair: TypeAlias = tuple[bytes, bytes]
#: Roots told on one link that are remembered; an answer is under way for a few comparisons at most.
TOLD_MAX: Final = 64
_ROOTS_TAGS: Final = frozenset({TAGS[Roots], TAGS[RootsReply]})


@define(eq=False)
class InSync(Checker):
    """Looks whenever roots have come, since only then can the answer change to yes."""

    NAME: ClassVar[str] = "in sync"

    #: By the link of the one who was told: roots that came on it.
    _told: dict[int, deque[_Pair]] = field(factory=dict)
    #: Hosts whose last batch was one message, and nothing more was held after they spoke: the roots
    #: that they send were theirs at its end. (A tick asks before it seals rows, and a home that
    #: recovers asks the last peer it waited for, and then lets in what it had set aside.)
    _plain: dict[int, bool] = field(factory=dict)

    def sent(self, host: Host, end: End, data: bytes) -> None:
        message = self._read(data)
        if message is None:
            return
        roots = (message.auth_root, message.data_root)
        if end.far is not None:
            told = self._told.setdefault(end.far.link, deque(maxlen=TOLD_MAX))
            told.append(roots)
        if host.is_honest and self._plain.get(host.number):
            self.checks += 1
            if roots != host.running.replica.port.roots():
                self.object(host, "tells roots that are not its own")

    def stepped(self, host: Host, inputs: Sequence[Input], effects: Sequence[Effect]) -> None:
        if not host.is_honest:
            return
        is_plain = len(inputs) == 1 and type(inputs[0]) is Received
        self._plain[host.number] = is_plain and not _moves_after_speaking(effects)
        for item in inputs:
            if type(item) is Received and self._read(item.data) is not None:
                self._look(host, item.link)

    def _read(self, data: bytes) -> Roots | RootsReply | None:
        """Roots that are told; None for all else, also for no message, as a liar may send."""
        if tag_of(data) not in _ROOTS_TAGS:
            return None
        try:
            found = self.world.reading.message(data, size_max=MESSAGE_BYTES_MAX)
        except ProtocolViolation:
            return None
        return found if isinstance(found, Roots | RootsReply) else None

    def _look(self, host: Host, link: int) -> None:
        replica, session = host.running.replica, host.running.reconcile._sessions.get(link)
        # Its line alone: the status of all links would cost as much as the step.
        if session is None or not session.status(replica.port.version).in_sync:
            return
        self.checks += 1
        if replica.port.roots() not in self._told.get(link, ()):
            self.object(host, f"says that it is in sync on link {link}, with other roots")

    def quiesced(self) -> None:
        for host in self.world.honest:
            for sync in host.running.reconcile.status():
                self._look(host, sync.link)


def _moves_after_speaking(effects: Sequence[Effect]) -> bool:
    """Whether something is held, or proved, after the first message that tells roots."""
    has_spoken = False
    for effect in effects:
        if type(effect) is Send:
            has_spoken = has_spoken or tag_of(effect.data) in _ROOTS_TAGS
        elif has_spoken and type(effect) is Persist and any(map(_is_held, effect.records)):
            return True
    return False


def _is_held(record: Record) -> bool:
    return isinstance(record, PutEntry | PutProof)
