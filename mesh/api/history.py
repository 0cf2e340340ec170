"""What was written to a Worknode, from the log itself: also what lost, and what does not count."""

from __future__ import annotations

from typing import Any, Final

import trio

from capability import ops
from capability.data_body import parse_op
from capability.ids import TRASH, session_id
from capability.notary import data_of
from capability.ops import Op
from capability.verdict import Verdict
from crdt.hlc import milliseconds
from mesh.api.arguments import Argument
from mesh.api.context import Context, Operation
from mesh.core.errors import Precondition
from mesh.core.events import Event
from mesh.node.subscriptions import Reset
from mesh.replica.replica import Replica
from mesh.worknode.resolve import resolve
from mesh.worknode.schema import NAMESPACE_NAMES
from mesh.worknode.text import TRASH_NAME, id_text, iso, to_json
from mesh.worknode.view import Views

#: Entries of one answer; a busy Worknode has thousands.
ENTRIES_MAX: Final = 10_000
_ENTRIES_DEFAULT: Final = 100
#: After so many rows others get their turn.
_TURN_ROWS: Final = 50

_VERBS: Final = {
    ops.OP_REGISTER: "set",
    ops.OP_MULTI_VALUE: "set",
    ops.OP_ADD: "add",
    ops.OP_REMOVE: "remove",
    ops.OP_INCREMENT: "increment",
    ops.OP_APPEND: "append",
}


async def _history(context: Context, given: dict[str, Any]) -> Any:
    replica = context.node.replica
    node = resolve(replica, given["node"])
    views = Views(replica, label=context.labels())
    rows = _waiting_rows(replica, views, node)
    for count, n in enumerate(replica.held.touching(node)[-given["limit"] :]):
        rows += _rows_of(replica, views, node, n)
        if count % _TURN_ROWS == 0:
            await trio.lowlevel.checkpoint()
            await context.node.settled()
            # Asked anew: after a commit that failed the one before shows what is not on disk.
            replica = context.node.replica
            views = Views(replica, label=context.labels())
    rows.sort(key=lambda row: (row["at"], row["entry"] or ""))
    return rows


def _rows_of(replica: Replica, views: Views, node: bytes, n: int) -> list[dict[str, Any]]:
    """One row for each operation of entry *n* on *node*, stamped with its own time."""
    entry = replica.held.read(n)
    data = data_of(entry)
    if data is None:
        return []
    verdict = Verdict(replica.table.verdicts[n])
    reason = replica.held.ledger.judge(entry.header, entry.id)[1]
    rows = []
    for index in range(len(data.ops)):
        op = parse_op(data, index)
        if op is None or op.node != node:
            continue
        rows.append(
            {
                "at": iso(milliseconds(max(entry.header.hlc - op.age, 0))),
                "by": views.who(entry.header.author),
                "session": data.session.hex() or None,
                "entry": entry.id.hex(),
                "counts": verdict is Verdict.COUNTS and n not in replica.table.parked,
                "reason": None if verdict is Verdict.COUNTS else str(reason),
                **_described(op),
            }
        )
    return rows


def _described(op: Op) -> dict[str, Any]:
    payload = op.payload
    match payload:
        case ops.Create():
            return {"did": "create", "field": "kind", "value": payload.kind}
        case ops.Move():
            to = TRASH_NAME if payload.parent == TRASH else id_text(payload.parent)
            verb = "archive" if payload.parent == TRASH else "move"
            return {"did": verb, "field": "parent", "value": to}
        case ops.Increment():
            found: Any = payload.amount
        case ops.SetRemove():
            found = None
        case ops.Register() | ops.MultiValue() | ops.SetAdd() | ops.Append():
            found = to_json(payload.value)
        case _:
            # A kind of operation that this version keeps and does not fold.
            return {"did": f"operation {op.code}", "field": None, "value": None}
    return {"did": _VERBS[op.code], "field": _field(payload.ns, payload.name), "value": found}


def _field(ns: int, name: str) -> str:
    return f"{NAMESPACE_NAMES.get(ns, ns)}:{name}" if ns else name


def _waiting_rows(replica: Replica, views: Views, node: bytes) -> list[dict[str, Any]]:
    """LOCAL writes that are not sealed yet: durable here, shared with nobody."""
    rows = []
    for row in replica.pending.of_node(node):
        write = row.write
        value = getattr(write, "amount", getattr(write, "value", None))
        rows.append(
            {
                "at": iso(milliseconds(row.hlc)),
                "by": views.who(replica.author),
                # As it will be called in its entry.
                "session": session_id(row.session).hex() or None,
                "entry": None,
                "counts": True,
                "reason": "waits to be sealed",
                "did": {"SetRegister": "set", "Increment": "increment"}.get(
                    type(write).__name__, "append"
                ),
                "field": _field(write.ns, write.name),
                "value": to_json(value),
            }
        )
    return rows


async def _watch(context: Context, given: dict[str, Any]) -> Any:
    """Tell events until the caller goes away; `limit` ends it before, for scripts."""
    if not context.is_running:
        raise Precondition("the node is not running, so nothing happens", hint="start it: mesh up")
    replica = context.node.replica
    under = resolve(replica, given["node"]) if given["node"] else None
    told = 0
    with context.node.subscribe(given["cursor"]) as events:
        async for event in events:
            replica = context.node.replica
            if isinstance(event, Reset):
                await context.tell({"type": "reset", "cursor": event.cursor})
                continue
            if given["types"] and event.type not in given["types"]:
                continue
            if under is not None and under not in _lineage(replica, event.node):
                continue
            await context.tell(_shown(Views(replica, label=context.labels()), event))
            told += 1
            if given["limit"] is not None and told >= given["limit"]:
                break
    return {"cursor": events.cursor}


def _lineage(replica: Replica, node: bytes) -> set[bytes]:
    found = {node}
    parent = replica.store.parent(node)
    while parent is not None and parent not in found:
        found.add(parent)
        parent = replica.store.parent(parent)
    return found


def _shown(views: Views, event: Event) -> dict[str, Any]:
    is_worknode = views.replica.store.exists(event.node)
    return {
        "type": event.type,
        "cursor": event.cursor,
        "at": iso(milliseconds(event.hlc)),
        "hlc": event.hlc,
        "by": views.who(event.actor) if event.actor else None,
        "node": id_text(event.node) if is_worknode else event.node.hex() or None,
        "title": views.view(event.node)["title"] if is_worknode else None,
        "data": _data(event),
    }


def _data(event: Event) -> Any:
    if isinstance(event.data, tuple):
        return [item.hex() if isinstance(item, bytes) else to_json(item) for item in event.data]
    return to_json(event.data)


OPERATIONS: Final = (
    Operation(
        "history",
        _history,
        (
            Argument("node", required=True),
            Argument("limit", "int", default=_ENTRIES_DEFAULT, least=1, most=ENTRIES_MAX),
        ),
        is_read=True,
    ),
    Operation(
        "watch",
        _watch,
        (
            Argument("node"),
            Argument("cursor", "int", least=0),
            Argument("types", "texts", default=()),
            Argument("limit", "int", least=1),
        ),
        is_stream=True,
    ),
)
