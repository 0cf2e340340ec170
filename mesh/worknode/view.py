"""
Views: a Worknode as people and programs see it, and the walk through what stands below one.

A view shows all that is there: fields that no schema names under their own names, and two cells of
one name (another namespace or type) beside each other. Names that begin with `_` are the doors' own
and stay out. Nothing here writes; every view is a fresh JSON document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from attrs import define, evolve, field

from capability.ids import TRASH
from capability.ops import NS_CONFIG, NS_PLAIN
from capability.values import TAG_PAIRS, Value
from crdt.codec import encode
from crdt.hlc import milliseconds
from mesh.worknode.cells import COUNTER, LOG, REGISTER, CellKey
from mesh.worknode.kinds import ROOT_KIND, KindRegistry
from mesh.worknode.names import Place, name_of, place_of, short_id, title_of
from mesh.worknode.reading import Readable, Sight, log, look
from mesh.worknode.schema import NAMESPACE_NAMES, TYPE_NAMES, Kind
from mesh.worknode.store import Store
from mesh.worknode.text import Json, id_text, iso, to_json

#: The name that a member goes by; empty if none is known.
Label = Callable[[bytes], str]

#: Fields of the doors themselves begin so.
HIDDEN: Final = "_"


def kind_of(store: Store, node: bytes) -> str:
    """The kind that its create says; empty while no create counts."""
    creation = store.creation(node)
    if creation is not None:
        return creation[1].kind
    return ROOT_KIND if node == store.root else ""


def status_of(sight: Sight, kind: Kind) -> Json:
    """What its status register says, else what the kind says of one that has none."""
    known = kind.field("status")
    if known is None:
        return None
    ns, name, _ = known.cell
    value = sight.register(ns, name)
    return to_json(known.default if value is None else value)


def _description(sight: Sight) -> Value:
    return sight.register(NS_PLAIN, "description")


def _is_hidden(key: CellKey) -> bool:
    # Definitions of kinds are long and have a door of their own.
    return key[1].startswith(HIDDEN) or (key[0] == NS_CONFIG and key[1].startswith("kind:"))


def worknode_view(
    replica: Readable,
    node: bytes,
    *,
    registry: KindRegistry | None = None,
    label: Label | None = None,
) -> dict[str, Json]:
    """
    One Worknode as a JSON document with the keys that the command line documents.

    Args:
        replica: Read, never changed.
        node: Any Worknode; of one that is not known here the view is empty but for its id.
        registry: The kinds by which fields are named; the replica's own if None.
        label: Gives authors their names; the replica's own if None.
    """
    return Views(replica, registry=registry, label=label).view(node)


@define
class Views:
    """
    Makes many views of one replica; what they share is looked up once.

    Short-lived: paths are remembered, so it is good for as long as nothing is folded.
    """

    replica: Readable
    registry: KindRegistry | None = None
    label: Label | None = None
    _kinds: KindRegistry = field(init=False)
    _who: dict[bytes, str] = field(factory=dict, init=False)
    _named: dict[str, frozenset[CellKey]] = field(factory=dict, init=False)
    #: Of what has been seen, or above it.
    _places: dict[bytes, Place] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._kinds = self.registry or KindRegistry.from_store(self.replica.store)

    def view(self, node: bytes) -> dict[str, Json]:
        """The whole document of one Worknode."""
        replica, store = self.replica, self.replica.store
        sight = look(replica, node)
        name = kind_of(store, node)
        kind = self._kinds.get(name)
        parent = store.parent(node)
        place = self._place(node, sight)
        fields = self._fields(node, sight, kind)
        return {
            "id": id_text(node),
            "short": short_id(replica, node),
            "kind": name,
            "title": title_of(replica, node, sight),
            "parent": None if parent in {None, TRASH} else id_text(parent),
            "path": place.path,
            "archived": place.archived,
            "status": status_of(sight, kind),
            "priority": fields.get("priority"),
            "fields": fields,
            "created": self._created(node),
            "updated": self._updated(node, sight),
            "children": sum(map(store.exists, store.tree.family(node))),
        }

    def is_wanted(
        self, node: bytes, *, kind: str | None, status: str | None, words: str = ""
    ) -> bool:
        """
        Whether *node* is of this kind and status, with *words* in its title or description.

        What is None or empty is not asked for. *words* are casefolded. Cost: a third of a view's.
        """
        name = kind_of(self.replica.store, node)
        if kind is not None and kind != name:
            return False
        if status is None and not words:
            return True
        sight = look(self.replica, node)
        if status is not None and status != status_of(sight, self._kinds.get(name)):
            return False
        if not words:
            return True
        text = f"{title_of(self.replica, node, sight)}\n{to_json(_description(sight)) or ''}"
        return words in text.casefold()

    def _place(self, node: bytes, sight: Sight) -> Place:
        """Where *node* stands; what is above it is looked up once."""
        parent = self.replica.store.parent(node)
        if parent is None:
            # The trash does not stand in itself.
            return evolve(place_of(self.replica, node), archived=False)
        above = self._places.get(parent)
        if above is None:
            above = self._places[parent] = place_of(self.replica, parent)
        place = self._places[node] = above.below(name_of(self.replica, node, sight))
        return place

    # -- fields ---------------------------------------------------------------------------------

    def _fields(self, node: bytes, sight: Sight, kind: Kind) -> dict[str, Json]:
        """All fields that have something to show, by name."""
        found: dict[str, Json] = {}
        for key in self._in_order(sight, kind):
            shown = self._cell(node, sight, key)
            if shown is None or shown == []:
                continue
            ns, name, type_code = key
            if name in found:
                space = NAMESPACE_NAMES.get(ns, str(ns))
                name = f"{space}:{TYPE_NAMES.get(type_code, type_code)}:{name}"
            found[name] = shown
        return dict(sorted(found.items()))

    def _in_order(self, sight: Sight, kind: Kind) -> list[CellKey]:
        named = self._named.get(kind.name)
        if named is None:
            named = self._named[kind.name] = frozenset(
                field.cell for field in kind.fields if not _is_hidden(field.cell)
            )
        keys = sight.cell_keys()
        # The cell that the schema means has the plain name.
        others = [key for key in keys if key not in named and not _is_hidden(key)]
        return [key for key in keys if key in named] + others

    def _cell(self, node: bytes, sight: Sight, key: CellKey) -> Json:
        """One cell: a register's value, a counter's total, all of a set, multi-value or log."""
        ns, name, type_code = key
        if type_code == REGISTER:
            return to_json(sight.register(ns, name))
        if type_code == COUNTER:
            return sight.total(ns, name)
        if type_code == LOG:
            return self._log(log(self.replica, node, ns, name))
        shown = (to_json(v) for v in sight.members(ns, name, type_code))
        return sorted(shown, key=str)

    def _log(self, items: list[tuple[int, bytes, Value]]) -> list[Json]:
        """Records say who appended them and when, unless they say so themselves."""
        found: list[Json] = []
        seen: set[bytes] = set()
        for hlc, author, value in items:
            shown = to_json(value)
            if isinstance(value, tuple) and value[0] == TAG_PAIRS:
                # The same record with its own time, appended by two importers, is one record.
                if "at" in shown:
                    key = encode(value)
                    if key in seen:
                        continue
                    seen.add(key)
                shown = {"at": iso(milliseconds(hlc)), "author": self.who(author), **shown}
            found.append(shown)
        return found

    # -- who and when ---------------------------------------------------------------------------

    def who(self, author: bytes) -> str:
        """A member's name with the beginning of its key; the beginning alone if it has no name."""
        known = self._who.get(author)
        if known is None:
            name = (self.label or self.replica.label)(author)
            short = author.hex()[:8]
            known = self._who[author] = f"{name} ({short})" if name else short
        return known

    def _stamp(self, hlc: int, author: bytes) -> dict[str, Json]:
        if not author:
            return {"at": None, "by": None}
        return {"at": iso(milliseconds(hlc)), "by": self.who(author)}

    def _created(self, node: bytes) -> dict[str, Json]:
        table = self.replica.table
        creation = self.replica.store.creation(node)
        if creation is not None:
            return self._stamp(creation[1].hlc, table.authors[creation[0] >> 16])
        # The root is as old as the mesh.
        n = table.number.get(self.replica.mesh_id, 0) if node == self.replica.store.root else 0
        return self._stamp(table.hlcs[n], table.authors[n])

    def _updated(self, node: bytes, sight: Sight) -> dict[str, Json]:
        record = self.replica.store.worknodes.get(node)
        hlc, n = record.updated if record is not None else (0, 0)
        author = self.replica.table.authors[n]
        for row in sight.rows:
            if row.hlc > hlc:
                hlc, author = row.hlc, self.replica.author
        return self._stamp(hlc, author) if author else self._created(node)


# -- many ---------------------------------------------------------------------------------------


def walk(
    store: Store, under: bytes, *, depth_max: int | None = None
) -> Iterator[tuple[int, bytes]]:
    """(depth, Worknode) of all that exists below *under*, parents first, siblings in order."""
    waiting = [(0, under)]
    while waiting:
        depth, node = waiting.pop()
        if depth and store.exists(node):
            yield depth, node
        if depth_max is None or depth < depth_max:
            waiting.extend((depth + 1, child) for child in reversed(store.siblings(node)))
