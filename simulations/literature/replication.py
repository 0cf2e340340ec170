"""
The algorithms compared: whole states, delta-groups in four variants, and Scuttlebutt.

Each is a machine of one replica: `update` joins a local delta, `synchronize` is called once in an
interval, `receive` for each message; the two latter return what is to be sent. Messages of one
link arrive in order, but may be lost: a delta-group is sent again until it is acknowledged.

Delta-groups wait in a buffer, each with its origin, the neighbour that sent it or this node itself.
- BP, *avoid back-propagation*: a group is not sent to its origin.
- RR, *remove redundant state*: of what is received only the least delta over the own state enters
  the buffer. Without it all of it does, if there was anything new in it.

Source: Enes et al., ICDE 2019, algorithms 1 and 2; the sequence numbers and acknowledgements that
    the paper leaves out are those of the authors' `ldb_delta_based_backend.erl`, and Scuttlebutt is
    their `ldb_scuttlebutt_backend.erl`, https://github.com/vitorenesduarte/ldb.
Differs: a group is not pruned before every neighbour has acknowledged it. The authors prune when
    those did that ever acknowledged anything, and send a whole state to one who lost by it.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias, assert_never

from attrs import define, field, frozen

from crdt.codec import encode
from simulations.literature.measure import array_bytes, elements, int_bytes, state_bytes
from simulations.literature.workloads import State, replica_of

__all__ = [
    "ALGORITHMS",
    "Ack",
    "Deltas",
    "Group",
    "Matrix",
    "Message",
    "Replica",
    "Send",
    "Whole",
    "message_bytes",
    "payload",
]

Dot: TypeAlias = tuple[int, int]
"""Node, number of its event."""


@frozen
class Whole:
    """A replica's state."""

    state: State


@frozen
class Group:
    """A delta-group: all that its sender has, up to *sequence*, for the receiver."""

    sequence: int
    state: State


@frozen
class Ack:
    """Groups below *sequence* have arrived."""

    sequence: int


@frozen
class Matrix:
    """Scuttlebutt's digest: for each node the vector that the sender knows it to have reached."""

    rows: tuple[tuple[int, ...], ...]


@frozen
class Deltas:
    """Scuttlebutt's answer: the deltas that the asker lacks, each by its dot."""

    deltas: tuple[tuple[Dot, State], ...]


Message: TypeAlias = Whole | Group | Ack | Matrix | Deltas
Send: TypeAlias = tuple[int, Message]
"""To which neighbour, what."""


def payload(message: Message) -> int:
    """Elements of state in a message."""
    match message:
        case Whole(state) | Group(_, state):
            return elements(state)
        case Deltas(deltas):
            return sum(elements(state) for _, state in deltas)
        case Ack() | Matrix():
            return 0
        case _:
            assert_never(message)


def message_bytes(message: Message) -> int:
    """The encoded size: an array of a tag and the fields, vectors and dots with names of nodes."""
    fields = array_bytes(2) + 1
    match message:
        case Whole(state):
            return fields + state_bytes(state)
        case Group(sequence, state):
            return fields + int_bytes(sequence) + state_bytes(state)
        case Ack(sequence):
            return fields + int_bytes(sequence)
        case Matrix(rows):
            named = tuple(
                (replica_of(node), tuple((replica_of(at), n) for at, n in enumerate(row) if n))
                for node, row in enumerate(rows)
                if any(row)
            )
            return fields + len(encode(named))
        case Deltas(deltas):
            return (
                fields
                + array_bytes(len(deltas))
                + sum(
                    array_bytes(3) + len(encode(replica_of(node))) + int_bytes(number)
                    + state_bytes(state)
                    for (node, number), state in deltas
                )
            )  # fmt: skip
        case _:
            assert_never(message)


class Replica(Protocol):
    """One node's machine."""

    state: State

    def update(self, delta: State) -> None:
        """Join what this node itself has done."""

    def synchronize(self) -> list[Send]:
        """The interval has passed."""

    def receive(self, sender: int, message: Message) -> list[Send]:
        """A neighbour's message."""

    def overhead(self) -> int:
        """Elements held beside the state, and entries of what is remembered of other nodes."""


@define
class WholeStates:
    """Every interval the whole state to every neighbour."""

    node: int
    neighbours: Sequence[int]
    state: State

    def update(self, delta: State) -> None:
        self.state = self.state.join(delta)

    def synchronize(self) -> list[Send]:
        message = Whole(self.state)
        return [(neighbour, message) for neighbour in self.neighbours]

    def receive(self, sender: int, message: Message) -> list[Send]:
        assert isinstance(message, Whole), (sender, message)
        self.state = self.state.join(message.state)
        return []

    def overhead(self) -> int:
        return 0


@define
class DeltaGroups:
    """Every interval to every neighbour the join of what the buffer has for it."""

    node: int
    neighbours: Sequence[int]
    state: State
    avoid_back_propagation: bool = False
    remove_redundant: bool = False
    sequence: int = 0
    #: Sequence → origin, delta.
    buffer: dict[int, tuple[int, State]] = field(factory=dict)
    #: Neighbour → below which sequence it has everything.
    acked: dict[int, int] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.acked = dict.fromkeys(self.neighbours, 0)

    def update(self, delta: State) -> None:
        self.state = self.state.join(delta)
        self._store(self.node, delta)

    def _store(self, origin: int, delta: State) -> None:
        self.buffer[self.sequence] = (origin, delta)
        self.sequence += 1

    def synchronize(self) -> list[Send]:
        sends: list[Send] = []
        # Neighbours that lack the same groups get the same message.
        messages: dict[tuple[int, ...], Group] = {}
        for neighbour in self.neighbours:
            lacking = tuple(
                sequence
                for sequence, (origin, _) in self.buffer.items()
                if sequence >= self.acked[neighbour]
                and not (self.avoid_back_propagation and origin == neighbour)
            )
            if lacking and lacking not in messages:
                messages[lacking] = Group(self.sequence, self._join(lacking))
            if lacking:
                sends.append((neighbour, messages[lacking]))
        return sends

    def _join(self, sequences: tuple[int, ...]) -> State:
        state = self.state.bottom()
        for sequence in sequences:
            state = state.join(self.buffer[sequence][1])
        return state

    def receive(self, sender: int, message: Message) -> list[Send]:
        match message:
            case Group(sequence, state):
                if not state.leq(self.state):
                    news = state.delta_since(self.state) if self.remove_redundant else state
                    self.state = self.state.join(state)
                    self._store(sender, news)
                return [(sender, Ack(sequence))]
            case Ack(sequence):
                self.acked[sender] = max(self.acked[sender], sequence)
                everybody = min(self.acked.values())
                for old in [old for old in self.buffer if old < everybody]:
                    del self.buffer[old]
                return []
            case _:
                raise TypeError(f"{type(message).__name__} from {sender}")

    def overhead(self) -> int:
        return sum(elements(delta) for _, delta in self.buffer.values()) + len(self.acked)


@define
class Scuttlebutt:
    """Every interval a digest to every neighbour, which answers with what the sender lacks."""

    node: int
    neighbours: Sequence[int]
    state: State
    nodes: int
    #: For each node how many events of each node it is known to have; the own row is exact.
    rows: list[list[int]] = field(factory=list)
    #: Those that some node is not known to have.
    deltas: dict[Dot, State] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.rows = [[0] * self.nodes for _ in range(self.nodes)]

    def update(self, delta: State) -> None:
        self._learn((self.node, self.rows[self.node][self.node] + 1), delta)

    def _learn(self, dot: Dot, delta: State) -> None:
        (node, number), seen = dot, self.rows[self.node]
        if number <= seen[node]:
            return
        # Links keep the order, and neither vectors nor what is kept beyond them have gaps.
        assert number == seen[node] + 1, (dot, seen)
        seen[node] = number
        self.deltas[dot] = delta
        self.state = self.state.join(delta)

    def synchronize(self) -> list[Send]:
        if not self.deltas:
            return []
        digest = Matrix(tuple(tuple(row) for row in self.rows))
        return [(neighbour, digest) for neighbour in self.neighbours]

    def receive(self, sender: int, message: Message) -> list[Send]:
        match message:
            case Matrix(rows):
                theirs = rows[sender]
                for node, row in enumerate(rows):
                    if node != self.node:
                        self.rows[node] = list(map(max, self.rows[node], row))
                self._prune()
                lacking = tuple(
                    (dot, delta) for dot, delta in self.deltas.items() if dot[1] > theirs[dot[0]]
                )
                return [(sender, Deltas(lacking))]
            case Deltas(deltas):
                for dot, delta in deltas:
                    self._learn(dot, delta)
                return []
            case _:
                raise TypeError(f"{type(message).__name__} from {sender}")

    def _prune(self) -> None:
        everybody = [min(column) for column in zip(*self.rows, strict=True)]
        for dot in [dot for dot in self.deltas if dot[1] <= everybody[dot[0]]]:
            del self.deltas[dot]

    def overhead(self) -> int:
        held = sum(1 + elements(delta) for delta in self.deltas.values())
        return held + sum(1 + sum(n > 0 for n in row) for row in self.rows if any(row))


Make: TypeAlias = Callable[[int, Sequence[int], State, int], Replica]
"""Node, its neighbours, bottom, number of nodes."""


def _groups(*, back_propagation: bool, redundant: bool) -> Make:
    return lambda node, neighbours, bottom, _: DeltaGroups(
        node, neighbours, bottom, not back_propagation, not redundant
    )


ALGORITHMS: Final[dict[str, Make]] = {
    "state": lambda node, neighbours, bottom, _: WholeStates(node, neighbours, bottom),
    "delta": _groups(back_propagation=True, redundant=True),
    "BP": _groups(back_propagation=False, redundant=True),
    "RR": _groups(back_propagation=True, redundant=False),
    "BP+RR": _groups(back_propagation=False, redundant=False),
    "scuttlebutt": Scuttlebutt,
}
