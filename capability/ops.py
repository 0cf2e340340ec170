"""
The operations that a data entry carries, as values; their bytes are `capability.data_body`'s.

A cell is (node, ns, name, type of op): the type comes with the op, so no schema can change what
the fold of an entry is.

Source: docs/formats.md §Operations.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from attrs import frozen

from capability.form import Value

__all__ = [
    "LOOSE",
    "MODE_AP",
    "MODE_CONSENSUS",
    "NS_APPROVAL",
    "NS_COMMENT",
    "NS_CONFIG",
    "NS_PLAIN",
    "NS_PLAN",
    "NS_SELF",
    "NS_WORK",
    "OP_ADD",
    "OP_APPEND",
    "OP_ATTEST",
    "OP_CLAIM",
    "OP_CREATE",
    "OP_EMIT",
    "OP_INCREMENT",
    "OP_MOVE",
    "OP_MULTI_VALUE",
    "OP_REGISTER",
    "OP_RELEASE",
    "OP_REMOVE",
    "OP_RESULT",
    "STRICT",
    "Append",
    "Create",
    "EmitEvent",
    "Increment",
    "Move",
    "MultiValue",
    "Op",
    "Payload",
    "Register",
    "Reserved",
    "SetAdd",
    "SetRemove",
    "WireDot",
]

OP_CREATE: Final = 1
OP_MOVE: Final = 2
OP_REGISTER: Final = 3
OP_MULTI_VALUE: Final = 4
OP_ADD: Final = 5
OP_REMOVE: Final = 6
OP_INCREMENT: Final = 7
OP_APPEND: Final = 8
OP_CLAIM: Final = 9
OP_RELEASE: Final = 10
OP_RESULT: Final = 11
OP_EMIT: Final = 12
OP_ATTEST: Final = 13

#: Ops that keep the time at which they were made, and ops that are stamped at sealing.
LOOSE: Final = frozenset({OP_REGISTER, OP_MULTI_VALUE, OP_ADD, OP_REMOVE, OP_INCREMENT, OP_APPEND})
STRICT: Final = frozenset({OP_CREATE, OP_MOVE, OP_CLAIM, OP_RELEASE, OP_RESULT, OP_ATTEST})

#: Namespaces; each asks for a permission of its own.
NS_PLAIN: Final = 0
NS_WORK: Final = 1
NS_COMMENT: Final = 2
NS_PLAN: Final = 3
NS_APPROVAL: Final = 4
NS_SELF: Final = 5
NS_CONFIG: Final = 6

#: How claims on a Worknode are decided: by everybody alone, or by a consensus group.
MODE_AP: Final = 0
MODE_CONSENSUS: Final = 1

#: [r, index]: r > 0 the entry refs[r − 1], r ≤ 0 the author's own entry seq + r.
WireDot: TypeAlias = tuple[int, int]


@frozen
class Create:
    """Birth of the op's node; its id is the hash of *parent*, *key_class* and *key*."""

    parent: bytes
    key_class: int
    key: bytes
    kind: str
    schema: int
    mode: int
    pos: bytes


@frozen
class Move:
    """The op's node goes below *parent* (the trash: archived), at *pos* among its siblings."""

    parent: bytes
    pos: bytes


@frozen
class Register:
    """Sets a field; of several writes the greatest in the order of the format shows."""

    ns: int
    name: str
    value: Value


@frozen
class MultiValue:
    """Sets a field of which concurrent values all show; *kills* are those that were seen."""

    ns: int
    name: str
    value: Value
    kills: tuple[WireDot, ...]


@frozen
class SetAdd:
    """Puts *value* into a set; *kills* are the earlier adds of it that were seen."""

    ns: int
    name: str
    value: Value
    kills: tuple[WireDot, ...]


@frozen
class SetRemove:
    """Takes out what the adds *kills* put in, and nothing that was not seen."""

    ns: int
    name: str
    kills: tuple[WireDot, ...]


@frozen
class Increment:
    """Adds *amount*, of either sign, to a counter."""

    ns: int
    name: str
    amount: int


@frozen
class Append:
    """Puts *value* at the end of a log."""

    ns: int
    name: str
    value: Value


@frozen
class EmitEvent:
    """An event of the application; it changes no field."""

    type: str
    value: Value


@frozen
class Reserved:
    """
    An op on the course of a task, which a later version gives its meaning.

    *fields*: claim (attempt, lease_ms), release (kills,), result (attempt, ok, value), attest
    (verdict, value). Their form is checked and frozen.
    """

    code: int
    fields: tuple[Value, ...]


Payload: TypeAlias = (
    Create
    | Move
    | Register
    | MultiValue
    | SetAdd
    | SetRemove
    | Increment
    | Append
    | EmitEvent
    | Reserved
)


@frozen
class Op:
    """
    One well-formed operation; names are resolved, dots are still those of the wire.

    Its stamp is the entry's hlc − *age*; an age greater than that hlc makes it inert.
    """

    code: int
    age: int
    node: bytes
    cites: tuple[WireDot, ...]
    payload: Payload
