"""Operations on Worknodes: create, show, list, tree, search, update, move, archive."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, dropwhile, islice
from typing import Any, Final

import trio

from capability.ids import NONCE_BYTES, TRASH
from mesh.api.arguments import Argument
from mesh.api.context import Context, Operation
from mesh.core.errors import Precondition, UsageError
from mesh.core.inputs import EVENTUAL, LOCAL
from mesh.core.writes import Move, Write
from mesh.replica.replica import Replica
from mesh.worknode.compose import Door, create_writes, shared_key, update_writes
from mesh.worknode.kinds import KindRegistry
from mesh.worknode.names import above, short_id
from mesh.worknode.resolve import resolve
from mesh.worknode.view import Views, kind_of, walk, worknode_view

#: Worknodes of one answer; some 30 MB of JSON. More than that is for an export.
WORKNODES_MAX: Final = 20_000
#: After so many views others get their turn.
_TURN_VIEWS: Final = 50
TREE_DEPTH_MAX: Final = 256
_KIND_DEFAULT: Final = "task"


def _door(context: Context, replica: Replica) -> Door:
    """How this request is read: kinds, time, and names of other Worknodes."""
    return Door(
        registry=KindRegistry.from_store(replica.store),
        now_ms=context.node.now().wall_ms,
        find=partial(resolve, replica),
    )


async def _submit(
    context: Context, given: dict[str, Any], writes: Sequence[Write], *, level: str = EVENTUAL
) -> None:
    if writes:
        await context.node.submit(writes, session=given["session"] or "", level=level)


def _view(context: Context, node: bytes) -> Any:
    # The replica is asked for anew: it is replaced when a commit fails.
    return worknode_view(context.node.replica, node, label=context.labels())


async def _create(context: Context, given: dict[str, Any]) -> Any:
    replica = context.node.replica
    fields = dict(given["set"])
    if given["priority"] is not None:
        fields["priority"] = given["priority"]
    key = None if given["key"] is None else shared_key(given["key"])
    composed = create_writes(
        _door(context, replica),
        author=replica.author,
        parent=resolve(replica, given["under"]) if given["under"] else replica.store.root,
        kind=given["kind"],
        title=given["title"],
        fields=fields,
        key=key,
        nonce=os.urandom(NONCE_BYTES) if key is None else None,
        after=[resolve(replica, other) for other in given["after"]],
    )
    # The same parent and key name the same Worknode: it is found, and left as it is.
    if existed := replica.store.exists(composed.node):
        # Perhaps only since a moment ago, and not on disk yet.
        await context.node.settled()
        existed = context.node.replica.store.exists(composed.node)
    if not existed:
        await _submit(context, given, composed.writes)
    return {**_view(context, composed.node), "existed": existed}


async def _show(context: Context, given: dict[str, Any]) -> Any:
    return _view(context, resolve(context.node.replica, given["node"]))


async def _list(context: Context, given: dict[str, Any]) -> Any:
    replica = context.node.replica
    under = replica.store.root
    if given["under"]:
        under = resolve(replica, given["under"])
    elif given["archived"]:
        under = TRASH
    words = (given["text"] or "").casefold()

    def keeps(views: Views, node: bytes) -> bool:
        return views.is_wanted(node, kind=given["kind"], status=given["status"], words=words)

    every = walk(replica.store, under)
    if given["past"]:
        every = _past(every, resolve(replica, given["past"]), given["past"])
    if given["kind"] is None and given["status"] is None and not words:
        every = islice(every, given["limit"])
    found = await _views(context, every, keeps, given["limit"])
    return [item for _, item in found]


def _past(
    every: Iterator[tuple[int, bytes]], node: bytes, named: str
) -> Iterator[tuple[int, bytes]]:
    """What comes behind *node*."""
    rest = dropwhile(lambda item: item[1] != node, every)
    if next(rest, None) is None:
        raise Precondition(
            f"{named!r:.200} does not stand there now, so nothing comes behind it",
            hint="begin anew, without --past",
        )
    return rest


async def _tree(context: Context, given: dict[str, Any]) -> Any:
    replica = context.node.replica
    under = resolve(replica, given["node"]) if given["node"] else replica.store.root
    below = walk(replica.store, under, depth_max=given["depth"])
    every = islice(chain([(0, under)], below), given["limit"])
    found = await _views(context, every, lambda *_: True, given["limit"])
    return [{**item, "depth": depth} for depth, item in found]


async def _views(
    context: Context,
    nodes: Iterable[tuple[int, bytes]],
    keeps: Callable[[Views, bytes], bool],
    limit: int,
) -> list[tuple[int, dict[str, Any]]]:
    """
    (depth, view) of those of *nodes* that are wanted, with turns for others in between.

    The walk is done at once, so that a move meanwhile can neither hide a Worknode nor show it
    twice; the views, which cost ten times as much, are made as things then are.
    """
    found: list[tuple[int, dict[str, Any]]] = []
    label = context.labels()
    views = Views(context.node.replica, label=label)
    for number, (depth, node) in enumerate(list(nodes), 1):
        if len(found) >= limit:
            break
        if keeps(views, node):
            found.append((depth, views.view(node)))
        if number % _TURN_VIEWS == 0:
            await trio.lowlevel.checkpoint()
            await context.node.settled()
            # Asked anew: after a commit that failed the one before shows what is not on disk.
            views = Views(context.node.replica, label=label)
    return found


async def _update(context: Context, given: dict[str, Any]) -> Any:
    replica = context.node.replica
    node = resolve(replica, given["node"])
    writes = update_writes(
        _door(context, replica),
        kind_of(replica.store, node),
        node,
        set=dict(given["set"]),
        add=given["add"],
        remove=given["remove"],
    )
    if not writes:
        raise UsageError("nothing to update", hint="give --set, --add or --remove")
    await _submit(context, given, writes, level=LOCAL if given["local"] else EVENTUAL)
    return _view(context, node)


async def _move(context: Context, given: dict[str, Any]) -> Any:
    replica = context.node.replica
    node, parent = resolve(replica, given["node"]), resolve(replica, given["under"])
    _refuse_root(replica, node, "moved")
    if node == parent or node in above(replica.store, parent):
        raise Precondition(
            f"{short_id(replica, parent)} stands below {short_id(replica, node)}: "
            "the move would make a circle",
            hint="choose a place outside of what is moved",
        )
    if replica.store.parent(node) != parent:
        await _submit(context, given, [Move(node, parent)])
    return _view(context, node)


async def _archive(context: Context, given: dict[str, Any]) -> Any:
    replica = context.node.replica
    node = resolve(replica, given["node"])
    _refuse_root(replica, node, "archived")
    if replica.store.parent(node) != TRASH:
        await _submit(context, given, [Move(node, TRASH)])
    return _view(context, node)


def _refuse_root(replica: Replica, node: bytes, what: str) -> None:
    if node == replica.store.root:
        raise Precondition(f"the root cannot be {what}", hint="name a Worknode below it")


_NODE: Final = Argument("node", required=True)
_LIMIT: Final = Argument("limit", "int", default=WORKNODES_MAX, least=0, most=WORKNODES_MAX)

OPERATIONS: Final = (
    Operation(
        "create",
        _create,
        (
            Argument("title", required=True),
            Argument("kind", default=_KIND_DEFAULT),
            Argument("under"),
            Argument("priority"),
            Argument("set", "pairs", default=()),
            Argument("after", "texts", default=()),
            Argument("key"),
        ),
    ),
    Operation("show", _show, (_NODE,), is_read=True),
    Operation(
        "list",
        _list,
        (
            Argument("under"),
            Argument("kind"),
            Argument("status"),
            Argument("text"),
            Argument("archived", "flag", default=False),
            Argument("past"),
            _LIMIT,
        ),
        is_read=True,
    ),
    Operation(
        "tree",
        _tree,
        (
            Argument("node"),
            Argument("depth", "int", least=0, most=TREE_DEPTH_MAX),
            _LIMIT,
        ),
        is_read=True,
    ),
    Operation(
        "update",
        _update,
        (
            _NODE,
            Argument("set", "pairs", default=()),
            Argument("add", "pairs", default=()),
            Argument("remove", "pairs", default=()),
            Argument("local", "flag", default=False),
        ),
    ),
    Operation("move", _move, (_NODE, Argument("under", required=True))),
    Operation("archive", _archive, (_NODE,)),
)
