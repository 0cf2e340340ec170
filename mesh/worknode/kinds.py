"""
The kinds that ship, and the registry that joins them with those that users register.

A registered kind is a register `kind:NAME` in the namespace `config` of the root Worknode. It takes
the place of a shipped one of that name if its version is greater. A definition that cannot be read
is set aside with its reason: a peer's mistake must not stop this node's doors. A kind that nobody
has defined is kept and shown all the same, with the common fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import field as attribute
from attrs import frozen

from capability.ops import NS_COMMENT, NS_CONFIG, NS_SELF, NS_WORK
from capability.values import Value
from mesh.core.errors import UsageError
from mesh.worknode.cells import REGISTER, RegisterCell
from mesh.worknode.schema import Field, FieldType, Kind, SchemaError, ValueType
from mesh.worknode.store import Store

#: Names of the registers, in the namespace `config` of the root, that define kinds.
KIND_PREFIX: Final = "kind:"
ROOT_KIND: Final = "container"

TASK_STATUSES: Final = (
    "pending",
    "ready",
    "claimed",
    "in_progress",
    "completed",
    "failed",
    "cancelled",
    "blocked",
    "expired",
)
PRIORITIES: Final = "0 critical, 1 high, 2 medium, 3 low, 4 backlog"


def _sets(value: ValueType, *names: str) -> tuple[Field, ...]:
    return tuple(Field(name, "set", value) for name in names)


def _registers(value: ValueType, *names: str) -> tuple[Field, ...]:
    return tuple(Field(name, "register", value) for name in names)


def _own(value: ValueType, *names: str, of: FieldType = "register") -> tuple[Field, ...]:
    return tuple(Field(name, of, value, NS_SELF) for name in names)


def _status(*choices: str, default: str | None = None) -> Field:
    return Field("status", "register", "choice", NS_WORK, choices, default=default)


#: What every kind has; a kind may define a field of the same name otherwise.
COMMON: Final[tuple[Field, ...]] = (
    *_registers("text", "title", "description", "notes", "type", "external_ref"),
    *_registers("text", "source_id", "source_status", "close_reason"),
    Field("status", "register", "text", NS_WORK),
    Field("priority", "register", "int", least=0, most=4, help=PRIORITIES),
    Field("progress", "register", "int", NS_WORK, least=0, most=100, help="percent"),
    Field("comments", "log", "comment", NS_COMMENT),
    *_sets("text", "labels", "assignees", "external_links"),
    *_sets("node", "blocks", "depends_on", "discovered_from", "related", "also_child_of"),
    *_registers("instant", "due", "created_at", "updated_at", "closed_at"),
    *_registers("duration", "estimate", "actual"),
)

_TASK: Final = (
    _status(*TASK_STATUSES, default="pending"),
    *_registers("text", "acceptance_criteria", "design"),
    *_sets("text", "skills"),
    Field("retry_count", "counter", "int", NS_WORK),
    Field("max_retries", "register", "int", least=0, most=1_000),
    Field("expires_after", "register", "duration"),
)
_DOCUMENT: Final = (
    _status("draft", "review", "final", "obsolete"),
    *_registers("text", "body", "media_type"),
    Field("content", "register", "any"),
)
_AGENT: Final = (
    _status("active", "idle", "disconnected", "failed"),
    *_registers("text", "model", "role"),
    *_sets("text", "capabilities", "skills"),
    *_own("node", "current_task", "current_project"),
    *_own("instant", "session_start", "heartbeat"),
    *_own("text", "files_open", "context_items", "blockers", of="set"),
    *_own("text", "context_loaded"),
    *_own("int", "memory_budget", "missed_heartbeats"),
)
_DECISION: Final = (
    _status("proposed", "accepted", "rejected", "superseded", default="proposed"),
    *_registers("text", "question", "choice", "rationale", "made_by"),
    Field("alternatives", "set", "any"),
    Field("confidence", "register", "decimal", help="from 0 to 1"),
    Field("supersedes", "register", "node"),
)
_ISSUE: Final = (
    _status("open", "resolved", "wont_fix", default="open"),
    *_registers("text", "error", "file", "root_cause", "fix", "patch"),
)
_PLAN: Final = (
    _status("draft", "active", "completed", "cancelled", default="draft"),
    Field("phases", "register", "any"),
)
_TRIGGER: Final = (
    _status("enabled", "disabled", default="enabled"),
    *_registers("text", "schedule", "condition"),
    Field("action", "register", "any"),
)
_MESSAGE: Final = (
    _status("unread", "read", default="unread"),
    *_registers("text", "body"),
    *_sets("text", "recipients"),
)
_CUSTOMER: Final = (
    _status("lead", "active", "inactive"),
    *_registers("text", "email", "phone", "organisation"),
)
_DEAL: Final = (
    _status("lead", "qualified", "proposal", "negotiation", "won", "lost", default="lead"),
    Field("amount", "register", "decimal"),
    *_registers("text", "currency"),
    Field("probability", "register", "int", least=0, most=100, help="percent"),
    Field("customer", "register", "node"),
)
_PLACE: Final = (_status("active", "paused", "closed"),)
_PROJECT: Final = (_status("planned", "active", "paused", "completed", "cancelled"),)
_SWARM: Final = (*_PLACE, *_registers("text", "region"), Field("capacity", "register", "int"))


def _with_common(fields: tuple[Field, ...]) -> tuple[Field, ...]:
    named = {field.name for field in fields}
    return (*(field for field in COMMON if field.name not in named), *fields)


def _shipped(name: str, help_: str, fields: tuple[Field, ...]) -> Kind:
    return Kind(name, 1, _with_common(fields), help=help_)


SHIPPED: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        _shipped("container", "anything that holds other things", _PLACE),
        _shipped("folder", "a place to file things", _PLACE),
        _shipped("company", "a whole organisation", _PLACE),
        _shipped("department", "a part of an organisation", _PLACE),
        _shipped("swarm", "agents that work together", _SWARM),
        _shipped("project", "work with an end", _PROJECT),
        _shipped("task", "a piece of work that can be claimed", _TASK),
        _shipped("subtask", "a part of a task", _TASK),
        _shipped("document", "text for people", _DOCUMENT),
        _shipped("result", "what a task came to", _DOCUMENT),
        _shipped("artefact", "a thing that work made", _DOCUMENT),
        _shipped("report", "what was found", _DOCUMENT),
        _shipped("decision", "a question, a choice and why", _DECISION),
        _shipped("issue", "an error and its solution", _ISSUE),
        _shipped("agent", "a worker, human or not", _AGENT),
        _shipped("plan", "phases, scopes and limits", _PLAN),
        _shipped("trigger", "what starts work by itself", _TRIGGER),
        _shipped("message", "a note to somebody", _MESSAGE),
        _shipped("customer", "whom one sells to", _CUSTOMER),
        _shipped("deal", "a sale on its way", _DEAL),
    )
}


@frozen
class KindRegistry:
    """The kinds that this node's doors know. `damaged` names definitions that cannot be read."""

    kinds: Mapping[str, Kind] = attribute(default=SHIPPED)
    damaged: Mapping[str, str] = attribute(factory=dict)

    @classmethod
    def from_config(cls, config: Mapping[str, Value]) -> KindRegistry:
        """Shipped kinds joined with definitions by name of kind. Never raises."""
        kinds, damaged = dict(SHIPPED), {}
        for name in sorted(config):
            try:
                found = Kind.from_value(name, config[name])
            except SchemaError as error:
                damaged[name] = str(error)
                continue
            known = kinds.get(name)
            if known is None or found.version > known.version:
                fields = _with_common(found.fields)
                kinds[name] = Kind(name, found.version, fields, found.open, found.help)
        return cls(kinds, damaged)

    @classmethod
    def from_store(cls, store: Store) -> KindRegistry:
        """The registry as the root Worknode's configuration says. Cost: O(cells of the root)."""
        record = store.worknodes.get(store.root)
        config: dict[str, Value] = {}
        for (ns, name, type_code), cell in (record.cells if record else {}).items():
            if ns == NS_CONFIG and type_code == REGISTER and name.startswith(KIND_PREFIX):
                assert isinstance(cell, RegisterCell)
                if cell.value is not None:
                    config[name.removeprefix(KIND_PREFIX)] = cell.value
        return cls.from_config(config) if config else _SHIPPED_ONLY

    def get(self, name: str) -> Kind:
        """The kind of that name; one that nobody defined has the common fields and is open."""
        return self.kinds.get(name) or Kind(name, 1, COMMON)

    def known(self, name: str) -> Kind:
        """
        The kind of that name, for a create.

        Raises:
            UsageError: Nobody has defined it.
        """
        kind = self.kinds.get(name)
        if kind is None:
            raise UsageError(
                f"no kind {name!r}", hint="known kinds are " + ", ".join(sorted(self.kinds))
            )
        return kind


_SHIPPED_ONLY: Final = KindRegistry()
