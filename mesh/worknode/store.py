"""
The fold: births, creates, cells and places of all Worknodes, from operations that count.

The store knows local dots, no entries and no authority: the replica decides what counts and calls
these joins, each operation once. Every join commutes with every other, so the state is a function
of the set of folded operations. Births are facts of the hash; which are known is the caller's.

Source: Almeida, Shoker, Baquero, "Delta state replicated data types", JPDC 2018; Kleppmann et al.,
"A highly-available move operation for replicated trees", TPDS 2021 (`crdt.tree`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from typing import Final

from attrs import define, field

from capability.columns import Registers
from crdt.codec import Value
from crdt.tree import MovableTree, Move
from mesh.worknode.births import Birth, Births
from mesh.worknode.cells import (
    DOT_INDEX_BITS,
    REGISTER,
    Cell,
    CellKey,
    CounterCell,
    Dot,
    DotCell,
    Order,
    RegisterCell,
    dot_entry,
    dot_index,
    new_cell,
)
from mesh.worknode.record import (
    Creation,
    Worknode,
    is_created,
    pack_record,
    unpack_creates,
    unpack_record,
)
from mesh.worknode.shelf import Shelf
from mesh.worknode.siblings import Siblings

__all__ = ["Birth", "Births", "Creation", "Store", "Worknode"]

#: Keys of cells that are shared; names come from peers, so there is a bound. A guess.
_KEYS_MAX: Final = 4_096
#: Births and moves that wait for the tree, so that one undo and redo serves them all. A guess.
_TREE_WAITING_MAX: Final = 4_096


@define
class Store:
    """The state of one replica. `order` and `dot_id` translate local dots for ties and hashes."""

    root: bytes
    order: Order
    dot_id: Callable[[Dot], bytes]
    births: dict[bytes, Birth] = field(factory=dict)
    worknodes: Shelf[Worknode] = field(factory=lambda: Shelf(pack_record, unpack_record))
    _tree: MovableTree = field(factory=MovableTree)
    dirty: set[bytes] = field(factory=set)
    #: How often births were forgotten: what is indexed by their order begins anew then.
    forgotten: int = 0
    _keys: dict[CellKey, CellKey] = field(factory=dict, repr=False)
    _births_due: list[tuple[bytes, bytes]] = field(factory=list, repr=False)
    _moves_due: list[Move] = field(factory=list, repr=False)
    _siblings: Siblings = field(factory=Siblings, repr=False, eq=False)

    @property
    def tree(self) -> MovableTree:
        """
        The tree, with all that was joined; what that moved is `dirty` from then on.

        A move stamped long ago undoes and redoes all later ones, and anybody may write such: they
        wait until somebody looks, and cost one redo for all.
        """
        if self._births_due or self._moves_due:
            births, self._births_due = self._births_due, []
            moves, self._moves_due = self._moves_due, []
            self._moved((*self._tree.births(births), *self._tree.apply(moves)))
        return self._tree

    def _moved(self, nodes: Iterable[bytes]) -> None:
        """The tree has put *nodes* where they are now."""
        for node in nodes:
            self.touch(node)
            self._siblings.touch(self._tree.parent(node), node)

    def _spare_tree(self) -> None:
        if len(self._births_due) + len(self._moves_due) >= _TREE_WAITING_MAX:
            self.tree  # noqa: B018 - looking at it is what brings it up to date

    # -- births ---------------------------------------------------------------------------------

    def birth(self, node: bytes, birth: Birth) -> bool:
        """Learn a birth; whether it was news. The caller has checked that the id commits to it."""
        if node in self.births:
            return False
        self.births[node] = birth
        self._births_due.append((node, birth.parent))
        self._spare_tree()
        return True

    def forget_births(self, gone: set[bytes]) -> set[bytes]:
        """
        Unlearn births; the Worknodes of which operations may have rested on them.

        Those born below, and those that were ever moved below. Cost: O(these + moves), but for
        the index of ids, which whoever reads next builds anew.
        """
        below = self.tree.born_below(gone)
        for node in gone:
            del self.births[node]
        self.forgotten += 1
        self._moved(self._tree.forget(gone))
        return below | {move.child for move in self._tree.moves() if move.parent in below}

    def judging_births(self, ahead: Mapping[bytes, Birth] | None = None) -> Births:
        """The births to judge by; *ahead* are those of creates that are only planned."""
        return Births(self.root, self.births, ahead or {})

    # -- joins ----------------------------------------------------------------------------------

    def touch(self, node: bytes) -> Worknode:
        """The Worknode's record, made if absent, marked to be hashed again."""
        record = self.worknodes.warm(node)
        if record is None:
            record = self.worknodes[node] = Worknode()
        self.dirty.add(node)
        return record

    def _stamp(self, node: bytes, hlc: int, at: Dot) -> Worknode:
        record = self.touch(node)
        record.updated = max(record.updated, (hlc, dot_entry(at)))
        return record

    def create(self, node: bytes, at: Dot, creation: Creation) -> None:
        """Join a counted create."""
        self._stamp(node, creation.hlc, at).creates[at] = creation
        # Siblings stand in the order of their creation, too.
        self._siblings.touch(self._tree.parent(node), node)

    def cell(self, node: bytes, key: CellKey) -> Cell | None:
        """A cell for reading, None when nothing was folded into it."""
        record = self.worknodes.get(node)
        return None if record is None else record.cells.get(key)

    def _cell(self, record: Worknode, key: CellKey) -> Cell:
        cell = record.cells.get(key)
        if cell is None:
            cell = record.cells[self.key(key)] = new_cell(key[2])
        return cell

    def put(self, node: bytes, key: CellKey, hlc: int, at: Dot, value: Value) -> None:
        """Join a register write."""
        cell = self._cell(self._stamp(node, hlc, at), key)
        assert isinstance(cell, RegisterCell)
        cell.put(hlc, at, value, self.order)

    def put_all(
        self, n: int, hlc: int, nodes: Sequence[bytes], names: Sequence[str], columns: Registers
    ) -> None:
        """
        Join the register writes of entry *n*: `put` for each of *columns*, without the calls.

        Args:
            n: The entry's local number.
            hlc: Its stamp; the writes are older by their ages.
            nodes: What the column of Worknodes indexes.
            names: What the column of names indexes.
            columns: The writes.
        """
        records = {at: self.touch(nodes[at]) for at in dict.fromkeys(columns.nodes)}
        pairs = set(zip(columns.spaces, columns.names, strict=True))
        keys: Iterable[CellKey]
        if len(pairs) == 1:
            ((ns, at),) = pairs
            keys = repeat(self.key((ns, names[at], REGISTER)), len(columns.names))
        else:
            fields = {(ns, at): self.key((ns, names[at], REGISTER)) for ns, at in pairs}
            keys = map(fields.__getitem__, zip(columns.spaces, columns.names, strict=True))
        base = n << DOT_INDEX_BITS
        rows = zip(columns.indexes, columns.nodes, columns.ages, keys, columns.values, strict=True)
        for index, at, age, key, value in rows:
            dot = base | index
            record = records[at]
            cells = record.cells
            stamp = hlc - age
            cell = cells.get(key)
            if cell is None:
                cells[key] = RegisterCell(stamp, dot, value)
            elif stamp > cell.hlc:  # type: ignore[union-attr]
                cell.hlc, cell.dot, cell.value = stamp, dot, value  # type: ignore[union-attr]
            else:
                cell.put(stamp, dot, value, self.order)  # type: ignore[union-attr,call-arg]
            if stamp >= record.updated[0]:
                record.updated = max(record.updated, (stamp, n))

    def key(self, key: CellKey) -> CellKey:
        """One object for all equal keys of cells: a million fields share a hundred of them."""
        if len(self._keys) >= _KEYS_MAX:
            self._keys.clear()
        return self._keys.setdefault(key, key)

    def add(self, node: bytes, key: CellKey, hlc: int, at: Dot, value: Value) -> None:
        """Join an add to a multi-value register, a set or an append log."""
        cell = self._cell(self._stamp(node, hlc, at), key)
        assert isinstance(cell, DotCell)
        cell.add(hlc, at, value, self.dot_id)

    def kill(
        self,
        node: bytes,
        key: CellKey,
        hlc: int,
        at: Dot,
        killed: Iterable[tuple[Dot | None, bytes]],
    ) -> None:
        """Join kills made by the operation *at*: (local dot if known, dot's id everywhere)."""
        cell = self._cell(self._stamp(node, hlc, at), key)
        assert isinstance(cell, DotCell)
        for target, target_id in killed:
            cell.kill(target, target_id)

    def increment(self, node: bytes, key: CellKey, hlc: int, at: Dot, amount: int) -> None:
        """Join a signed increment."""
        cell = self._cell(self._stamp(node, hlc, at), key)
        assert isinstance(cell, CounterCell)
        cell.put(amount)

    def move(self, moves: Iterable[tuple[Move, int, Dot]]) -> None:
        """Join moves, given with their stamps and dots."""
        for item, hlc, at in moves:
            self._stamp(item.child, hlc, at).moves[item.key] = item
            self._moves_due.append(item)
        self._spare_tree()

    # -- folding again --------------------------------------------------------------------------

    def clear(self, node: bytes) -> None:
        """Forget what was folded of *node*, so that its operations can be folded again."""
        self.clear_all((node,))

    def clear_all(self, nodes: Iterable[bytes]) -> None:
        """`clear` for several, with one undo and redo of moves."""
        moves: list[tuple[object, ...]] = []
        for node in nodes:
            record = self.worknodes.get(node)
            if record is not None:
                moves += record.moves
                self.worknodes[node] = Worknode()
                self.touch(node)
                self._siblings.touch(self._tree.parent(node), node)
        if moves:
            self._moved(self.tree.retract(moves))

    def replace_moves(self, renamed: Iterable[tuple[tuple[object, ...], Move, int, Dot]]) -> None:
        """Give provisional moves their final keys, once their entry has its id."""
        items = list(renamed)
        if not items:
            return
        for old, item, _, _ in items:
            record = self.worknodes.warm(item.child)
            if record is not None:
                record.moves.pop(old, None)
        self._moved(self.tree.retract([old for old, _, _, _ in items]))
        self.move((item, hlc, at) for _, item, hlc, at in items)

    # -- reading --------------------------------------------------------------------------------

    def exists(self, node: bytes) -> bool:
        """Whether a counted create is folded, or it is the root."""
        packed = self.worknodes.packed(node)
        if packed is not None:
            return node == self.root or is_created(packed)
        record = self.worknodes.get(node)
        return node == self.root or (record is not None and bool(record.creates))

    def creation(self, node: bytes) -> tuple[Dot, Creation] | None:
        """The create that decides the kind: of several, the one with the least id."""
        creates = self._creates(node)
        if len(creates) < 2:
            return next(iter(creates.items()), None)
        return min(creates.items(), key=lambda item: self.dot_id(item[0]))

    def _creates(self, node: bytes) -> Mapping[Dot, Creation]:
        record = self.worknodes.seen(node)
        if record is not None:
            return record.creates
        return self.worknodes.glance(node, unpack_creates) or {}

    def parent(self, node: bytes) -> bytes | None:
        """The place where it stands now; None for the root and for what was never born here."""
        return self.tree.parent(node)

    def position(self, node: bytes) -> bytes:
        """Its fractional position among its siblings."""
        moved = self.tree.position(node)
        if moved is not None:
            return moved
        creation = self.creation(node)
        return creation[1].position if creation else b""

    def siblings(self, parent: bytes) -> list[bytes]:
        """
        What stands under *parent*: by position, and in the order of creation where positions tie.

        Worknodes without a counted create are among them, so that what hangs below them is found.
        Not to be changed.
        """
        return self._siblings.of(parent, self.tree.family(parent), self._place)

    def _place(self, node: bytes) -> tuple[bytes, int, tuple[bytes, int, bytes], int, bytes]:
        creation = self.creation(node)
        if creation is None:
            return self.position(node), 0, (b"", 0, b""), 0, node
        at, created = creation
        order = self.order(dot_entry(at))
        return self.position(node), created.hlc, order, dot_index(at), node

    def count(self) -> int:
        """How many Worknodes exist besides the root. Cost: O(Worknodes), unpacking none."""
        return sum(map(self.exists, self.worknodes)) - (self.root in self.worknodes)
