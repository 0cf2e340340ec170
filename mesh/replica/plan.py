"""
From a local session's writes to operations: what they name must exist, what they do must count.

A plan is made before anything changes, so that a submit is applied whole or not at all, and "this
will not count" is said at the door and not discovered by the peers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from attrs import define, field

from capability import ops
from capability.errors import FormError
from capability.ids import CLASS_OWN, CLASS_SHARED, TRASH, own_key, worknode_id
from capability.limits import KEY_BYTES_MAX, KILLS_MAX, NAME_BYTES_MAX, POSITION_BYTES_MAX
from capability.ops import NS_CONFIG, NS_PLAIN, Op, WireDot
from capability.values import check_value
from crdt.codec import INT_MAX, Value, encode
from crdt.errors import CodecError
from mesh.core.errors import BackPressure, NotFound, Precondition, UsageError
from mesh.core.limits import TEXT_BYTES_MAX, TREE_DEPTH_MAX
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
from mesh.worknode.cells import MULTI, SET, CellKey, Dot, DotCell, dot_entry
from mesh.worknode.store import Birth, Store

#: Gives local dots as they will stand on the wire, ascending.
Citer = Callable[[Sequence[Dot]], tuple[WireDot, ...]]


#: Encoded: [r, index], and an id among the references.
_DOT_BYTES: Final = 7
_REFERENCE_BYTES: Final = 34


def check_text(what: str, text: str, *, least: int = 1) -> None:
    """Raises UsageError unless *text* is valid and of *least* to `NAME_BYTES_MAX` bytes."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise UsageError(f"{what} {text!r:.80} is not valid text") from error
    if not least <= size <= NAME_BYTES_MAX:
        raise UsageError(f"{what} {text!r:.80} must have {least} to {NAME_BYTES_MAX} bytes")


def _bounded(what: str, value: bytes, most: int) -> None:
    if len(value) > most:
        raise UsageError(f"{what} of {len(value)} bytes is longer than {most}")


def _checked_value(name: str, value: Value) -> None:
    try:
        check_value(value)
        size = len(encode(value))
    except (FormError, CodecError, ValueError) as error:
        raise UsageError(f"field {name!r}: {error}") from error
    if size > TEXT_BYTES_MAX:
        raise UsageError(
            f"field {name!r}: a value of {size} bytes is longer than {TEXT_BYTES_MAX}",
            hint="put long text into a document of its own, or attach a file",
        )


@define
class Planner:
    """Turns the writes of one submit into operations against the store as it is now."""

    store: Store
    author: bytes
    created: list[bytes] = field(factory=list)
    #: Births that this submit will make.
    fresh: dict[bytes, Birth] = field(factory=dict)

    def check(self, writes: Sequence[Write]) -> None:
        """
        Whether the writes can be made at all; nothing has changed when it raises.

        Raises:
            UsageError: A name, key, position or value is out of its bounds.
            NotFound: One names a Worknode that does not exist here.
            Precondition: A move of the root, or of a Worknode under itself.
            BackPressure: The tree would be deeper than `TREE_DEPTH_MAX`.
        """
        for write in writes:
            match write:
                case Create():
                    self._check_create(write)
                case Move():
                    self._check_move(write)
                case Increment(amount=amount):
                    self._check_field(write.node, write.ns, write.name)
                    if type(amount) is not int or abs(amount) >= 1 << 63:
                        raise UsageError(f"increment {amount!r} is not an integer below 2**63")
                case _:
                    self._check_field(write.node, write.ns, write.name)
                    _checked_value(write.name, write.value)

    def draft(self, writes: Sequence[Write]) -> tuple[list[Op], int]:
        """
        What checked writes amount to now, without citations, and how many bytes those will take.

        A dot is killed once at most, so the citations of all the writes are bounded by the dots
        that are live now and one per write.
        """
        cited: set[Dot] = set()

        def collect(dots: Sequence[Dot]) -> tuple[WireDot, ...]:
            cited.update(dots)
            return ()

        found = [op for op in (self.operation(write, collect) for write in writes) if op]
        entries = {dot_entry(at) for at in cited}
        return found, _DOT_BYTES * (len(cited) + len(writes)) + _REFERENCE_BYTES * len(entries)

    def birth(self, node: bytes) -> Birth | None:
        """Where *node* was born, or will be by this submit."""
        return self.fresh.get(node) or self.store.births.get(node)

    def _check_create(self, write: Create) -> None:
        self._exists(write.parent)
        _bounded("position", write.position, POSITION_BYTES_MAX)
        check_text("kind", write.kind)
        if not 0 <= write.schema <= INT_MAX:
            raise UsageError(f"schema version {write.schema} is not in 0 … 2**63 - 1")
        if write.shared_key is not None:
            _bounded("key", write.shared_key, KEY_BYTES_MAX)
        depth, node = 1, write.parent
        while node != self.store.root:
            depth += 1
            birth = self.birth(node)
            if birth is None or depth > TREE_DEPTH_MAX:
                raise BackPressure(
                    f"max_depth_exceeded: the tree is deeper than {TREE_DEPTH_MAX} here",
                    hint="create it nearer to the root, or flatten the tree",
                )
            node = birth.parent
        node, birth = self.identify(write)
        self.fresh[node] = birth

    def _check_move(self, write: Move) -> None:
        node, parent = write.node, write.parent
        self._exists(node)
        _bounded("position", write.position, POSITION_BYTES_MAX)
        if node == self.store.root:
            raise Precondition("the root Worknode cannot be moved")
        if parent == TRASH:
            return
        self._exists(parent)
        if parent == node or self.store.tree.is_ancestor(node, parent):
            raise Precondition("a Worknode cannot be moved under itself or its own descendants")

    def _check_field(self, node: bytes, ns: int, name: str) -> None:
        self._exists(node)
        check_text("field name", name)
        if not NS_PLAIN <= ns <= NS_CONFIG:
            raise UsageError(f"field {name!r}: there is no namespace {ns}")

    def _exists(self, node: bytes) -> None:
        if not (self.store.exists(node) or node in self.fresh):
            raise NotFound(f"no Worknode {node.hex()[:8]}…", hint="`mesh list` shows what there is")

    def identify(self, write: Create) -> tuple[bytes, Birth]:
        """The id and birth that a create has."""
        if write.shared_key is not None:
            birth = Birth(write.parent, CLASS_SHARED, write.shared_key)
        else:
            assert write.nonce is not None, "a create has a shared key or a nonce"
            birth = Birth(write.parent, CLASS_OWN, own_key(self.author, write.nonce))
        return worknode_id(birth.parent, birth.key_class, birth.key), birth

    def operation(self, write: Write, cite: Citer) -> Op | None:
        """The operation of a checked write; None when it would change nothing."""
        match write:
            case Create():
                return self._create(write)
            case Move(node=node, parent=parent, position=position):
                return Op(ops.OP_MOVE, 0, node, (), ops.Move(parent, position))
            case SetRegister(node=node, ns=ns, name=name, value=value):
                return Op(ops.OP_REGISTER, 0, node, (), ops.Register(ns, name, value))
            case SetMulti(node=node, ns=ns, name=name, value=value):
                kills = cite([at for at, _ in self._live(node, (ns, name, MULTI))])
                return Op(ops.OP_MULTI_VALUE, 0, node, (), ops.MultiValue(ns, name, value, kills))
            case AddToSet(node=node, ns=ns, name=name, value=value):
                kills = cite(self._live_of(node, (ns, name, SET), value))
                return Op(ops.OP_ADD, 0, node, (), ops.SetAdd(ns, name, value, kills))
            case RemoveFromSet(node=node, ns=ns, name=name, value=value):
                live = self._live_of(node, (ns, name, SET), value)
                if not live:
                    return None
                return Op(ops.OP_REMOVE, 0, node, (), ops.SetRemove(ns, name, cite(live)))
            case Increment(node=node, ns=ns, name=name, amount=amount):
                return Op(ops.OP_INCREMENT, 0, node, (), ops.Increment(ns, name, amount))
            case Append(node=node, ns=ns, name=name, value=value):
                return Op(ops.OP_APPEND, 0, node, (), ops.Append(ns, name, value))

    def _create(self, write: Create) -> Op | None:
        node, birth = self.identify(write)
        self.created.append(node)
        if self.store.exists(node):
            return None
        payload = ops.Create(
            birth.parent,
            birth.key_class,
            birth.key,
            write.kind,
            write.schema,
            ops.MODE_AP,
            write.position,
        )
        return Op(ops.OP_CREATE, 0, node, (), payload)

    def _live(self, node: bytes, key: CellKey) -> list[tuple[Dot, Value]]:
        cell = self.store.cell(node, key)
        if not isinstance(cell, DotCell):
            return []
        # The oldest first; of more than an op may kill, the rest stays for a later one.
        return [(at, value) for at, (_, value) in sorted(cell.dots.items())][:KILLS_MAX]

    def _live_of(self, node: bytes, key: CellKey, value: Value) -> list[Dot]:
        # Compared as bytes: in Python True == 1.
        wanted = encode(value)
        return [at for at, held in self._live(node, key) if encode(held) == wanted]
