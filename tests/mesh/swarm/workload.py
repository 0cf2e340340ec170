"""Random local writes of every kind, on whatever a host knows at the moment."""

from __future__ import annotations

from random import Random

from capability.ids import TRASH
from mesh.core.effects import Reply
from mesh.core.errors import LocalError, StorageError
from mesh.core.inputs import EVENTUAL, LOCAL
from mesh.core.writes import (
    AddToSet,
    Append,
    Create,
    Increment,
    Move,
    RemoveFromSet,
    SetMulti,
    SetRegister,
    Write,
)
from mesh.worknode.cells import LOG, CellKey
from tests.mesh.swarm.host import Host

KINDS = ("own", "shared", "move", "archive", "register", "multi", "add", "remove", "count", "log")
NOTES: CellKey = (0, "notes", LOG)


def nodes_of(host: Host) -> list[bytes]:
    worknodes = host.engine.replica.store.worknodes
    return sorted(node for node, record in worknodes.items() if record.creates)


def random_write(host: Host, random: Random) -> Write:
    """Names few fields and values, so that hosts meet in the same cells."""
    nodes = nodes_of(host)
    root = host.engine.replica.store.root
    kind = random.choice(KINDS) if nodes else "own"
    parent = random.choice([root, *nodes])
    node = random.choice(nodes) if nodes else root
    name, value = random.choice("abc"), random.randint(0, 3)
    match kind:
        case "own":
            return Create(parent, "task", nonce=random.randbytes(16))
        case "shared":
            return Create(root, "task", shared_key=random.choice((b"one", b"two", b"three")))
        case "move":
            return Move(node, parent, random.randbytes(2))
        case "archive":
            return Move(node, TRASH)
        case "register":
            return SetRegister(node, 0, name, value)
        case "multi":
            return SetMulti(node, 0, name, value)
        case "add":
            return AddToSet(node, 0, name, value)
        case "remove":
            return RemoveFromSet(node, 0, name, value)
        case "count":
            return Increment(node, 0, name, value - 2)
        case _:
            return Append(node, 0, name, random.randint(0, 1 << 30))


def write_at_random(host: Host, random: Random) -> Reply:
    """One submit of one to three writes; a refusal by the state of things is no failure."""
    writes = tuple(random_write(host, random) for _ in range(random.randint(1, 3)))
    is_local = all(isinstance(w, SetRegister | Increment | Append) for w in writes)
    level = LOCAL if is_local and random.random() < 0.5 else EVENTUAL
    reply = host.write(*writes, level=level, session=random.choice(("", "", "agent")))
    assert reply.error is None or isinstance(reply.error, LocalError | StorageError), reply.error
    return reply


def note(host: Host, node: bytes, text: str, *, level: str = LOCAL) -> bool:
    """Append *text* to the Worknode's notes; whether it was acknowledged."""
    return host.write(Append(node, 0, "notes", text), level=level).error is None


def notes_on(host: Host, node: bytes) -> list[object]:
    cell = host.engine.replica.store.cell(node, NOTES)
    return sorted(value for _, value in cell.dots.values()) if cell is not None else []
