"""
Single writes of agents, by kind: what a session might do with Worknodes that it sees.

Few Worknodes and few names, and the oldest Worknodes are the most popular (Zipf), so that hosts
meet in the same cells. Values are numbered: no register is given the same value twice, so that what
is read tells which write it came from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from random import Random
from typing import Final

from attrs import define, field

from capability.ids import CLASS_SHARED, TRASH, worknode_id
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

#: Elements of sets that come and go; others are added once and stay.
TAGS: Final = 16
#: Worknodes of one bulk import; three writes each, below `mesh.core.limits.GROUP_OPS_MAX`.
IMPORTED_MAX: Final = 100
#: Imports that are repeated by others: the same keys, hence the same Worknodes.
IMPORTS: Final = 8

Writes = tuple[Write, ...]


@define(eq=False)
class Pencil:
    """Draws writes on the Worknodes that one host sees."""

    random: Random
    _number: count[int] = field(factory=lambda: count(1))

    def write(self, kind: str, root: bytes, nodes: Sequence[bytes]) -> Writes:
        """
        The writes of one submit.

        Args:
            kind: One of `KINDS`.
            root: The root Worknode.
            nodes: Others, the most popular first; may be empty.
        """
        return _KINDS[kind](self, root, nodes)

    def popular(self, root: bytes, nodes: Sequence[bytes]) -> bytes:
        """One Worknode: the k-th is chosen about 1/k as often as the first."""
        if not nodes:
            return root
        return nodes[int((len(nodes) + 1) ** self.random.random()) - 1]

    def _create(self, root: bytes, _nodes: Sequence[bytes]) -> Writes:
        return (Create(root, "task", nonce=self.random.randbytes(16)),)

    def _deep(self, root: bytes, nodes: Sequence[bytes]) -> Writes:
        # Under one of the youngest, so that the tree grows downwards.
        parent = self.random.choice(nodes[-8:]) if nodes else root
        return (Create(parent, "subtask", nonce=self.random.randbytes(16)),)

    def _register(self, root: bytes, nodes: Sequence[bytes]) -> Writes:
        name = self.random.choice(("status", "title"))
        return (SetRegister(self.popular(root, nodes), 0, name, next(self._number)),)

    def _multi(self, root: bytes, nodes: Sequence[bytes]) -> Writes:
        return (SetMulti(self.popular(root, nodes), 0, "assignee", next(self._number)),)

    def _add(self, root: bytes, nodes: Sequence[bytes]) -> Writes:
        stays = self.random.random() < 0.3
        value = f"kept-{next(self._number)}" if stays else f"tag-{self.random.randrange(TAGS)}"
        return (AddToSet(self.popular(root, nodes), 0, "labels", value),)

    def _remove(self, root: bytes, nodes: Sequence[bytes]) -> Writes:
        value = f"tag-{self.random.randrange(TAGS)}"
        return (RemoveFromSet(self.popular(root, nodes), 0, "labels", value),)

    def _increment(self, root: bytes, nodes: Sequence[bytes]) -> Writes:
        amount = self.random.choice((1, 1, 2, 3, 5, -1))
        return (Increment(self.popular(root, nodes), 1, "progress", amount),)

    def _append(self, root: bytes, nodes: Sequence[bytes]) -> Writes:
        return (Append(self.popular(root, nodes), 2, "notes", next(self._number)),)

    def _move(self, root: bytes, nodes: Sequence[bytes]) -> Writes:
        if not nodes:
            return self._create(root, nodes)
        parent = root if self.random.random() < 0.2 else self.popular(root, nodes)
        position = self.random.randbytes(2)
        return (Move(self.random.choice(nodes), parent, position),)

    def _archive(self, root: bytes, nodes: Sequence[bytes]) -> Writes:
        if not nodes:
            return self._create(root, nodes)
        return (Move(self.random.choice(nodes), TRASH),)

    def _bulk(self, root: bytes, _nodes: Sequence[bytes]) -> Writes:
        """A list that several import: each of its rows is one Worknode, whoever brings it."""
        which, rows = self.random.randrange(IMPORTS), self.random.randint(10, IMPORTED_MAX)
        found: list[Write] = []
        for row in range(rows):
            key = f"import-{which}-{row}".encode()
            node = worknode_id(root, CLASS_SHARED, key)
            found.append(Create(root, "task", shared_key=key))
            found.append(SetRegister(node, 0, "title", next(self._number)))
        return tuple(found)

    def _mixed(self, root: bytes, nodes: Sequence[bytes]) -> Writes:
        """Several writes that stand or fall together, on a Worknode of their own among others."""
        nonce = self.random.randbytes(16)
        return (
            Create(root, "task", nonce=nonce),
            *self._register(root, nodes),
            *self._add(root, nodes),
            *self._increment(root, nodes),
            *self._append(root, nodes),
        )


_KINDS: Final[dict[str, Callable[[Pencil, bytes, Sequence[bytes]], Writes]]] = {
    "create": Pencil._create,  # noqa: SLF001 - the table of this class
    "deep": Pencil._deep,  # noqa: SLF001
    "register": Pencil._register,  # noqa: SLF001
    "multi": Pencil._multi,  # noqa: SLF001
    "add": Pencil._add,  # noqa: SLF001
    "remove": Pencil._remove,  # noqa: SLF001
    "increment": Pencil._increment,  # noqa: SLF001
    "append": Pencil._append,  # noqa: SLF001
    "move": Pencil._move,  # noqa: SLF001
    "archive": Pencil._archive,  # noqa: SLF001
    "bulk": Pencil._bulk,  # noqa: SLF001
    "mixed": Pencil._mixed,  # noqa: SLF001
}
#: All kinds of submits, and those that a LOCAL write may be.
KINDS: Final = tuple(_KINDS)
LOCAL_KINDS: Final = ("register", "increment", "append")
