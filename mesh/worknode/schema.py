"""
Schemas: what a kind says of its fields. They are checked at the door and never by the fold.

A field names its cell (namespace, name, type of the lattice) and the form of its values. Since the
type travels with every operation, two nodes with different schemas fold the same state; a schema
only decides what this node's doors write and under which name they show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, cast, get_args

from attrs import frozen

from capability.ops import (
    NS_APPROVAL,
    NS_COMMENT,
    NS_CONFIG,
    NS_PLAIN,
    NS_PLAN,
    NS_SELF,
    NS_WORK,
)
from capability.values import TAG_LIST, TAG_PAIRS, Value
from mesh.worknode.cells import COUNTER, LOG, MULTI, REGISTER, SET, CellKey

FieldType: TypeAlias = Literal["register", "multi", "set", "counter", "log"]
#: `duration` is whole seconds, given as `2h` or `30m`; `comment` is a record with `text`.
ValueType: TypeAlias = Literal[
    "text", "int", "bool", "instant", "duration", "decimal", "node", "choice", "comment", "any"
]

CELL_TYPES: Final[Mapping[FieldType, int]] = {
    "register": REGISTER,
    "multi": MULTI,
    "set": SET,
    "counter": COUNTER,
    "log": LOG,
}
TYPE_NAMES: Final[Mapping[int, FieldType]] = {code: name for name, code in CELL_TYPES.items()}
NAMESPACES: Final[Mapping[str, int]] = {
    "plain": NS_PLAIN,
    "work": NS_WORK,
    "comment": NS_COMMENT,
    "plan": NS_PLAN,
    "approval": NS_APPROVAL,
    "self": NS_SELF,
    "config": NS_CONFIG,
}
NAMESPACE_NAMES: Final[Mapping[int, str]] = {code: name for name, code in NAMESPACES.items()}

#: Fields that one kind may define, and the statuses or other choices of one field. Guesses.
FIELDS_MAX: Final = 256
CHOICES_MAX: Final = 64


class SchemaError(ValueError):
    """A kind's definition does not hold together; the message says what of it."""


@frozen
class Field:
    """
    One field of a kind.

    `least` and `most` bound integers; `help` explains the values where they are not obvious;
    `default` is what a door shows while nothing is written, and is never stored.
    """

    name: str
    type: FieldType = "register"
    value: ValueType = "text"
    ns: int = NS_PLAIN
    choices: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None
    default: Value = None
    help: str = ""

    @property
    def cell(self) -> CellKey:
        """The cell that holds it: (namespace, name, type code)."""
        return self.ns, self.name, CELL_TYPES[self.type]

    def to_value(self) -> Value:
        """Its definition in the value grammar; what equals the default is left out."""
        found: dict[str, Value] = {
            "choices": (TAG_LIST, *self.choices) if self.choices else None,
            "default": self.default,
            "help": self.help or None,
            "least": self.least,
            "most": self.most,
            "name": self.name,
            "ns": NAMESPACE_NAMES.get(self.ns, self.ns),
            "type": self.type,
            "value": self.value,
        }
        return _pairs({key: value for key, value in found.items() if value is not None})

    @classmethod
    def from_value(cls, value: Value) -> Field:
        """
        Read a definition; keys that are not known are left to later versions.

        Raises:
            SchemaError: It is no definition.
        """
        found = _mapping(value, "a field")
        name = _text(found.get("name"), "a field's name")
        where = f"field {name!r}"
        kind = found.get("type", "register")
        form = found.get("value", "text")
        if kind not in CELL_TYPES:
            raise SchemaError(f"{where}: type {kind!r} is none of {', '.join(CELL_TYPES)}")
        if form not in get_args(ValueType):
            raise SchemaError(f"{where}: value {form!r} is not known")
        choices = _list(found.get("choices", (TAG_LIST,)), f"{where}: choices")
        if len(choices) > CHOICES_MAX:
            raise SchemaError(f"{where}: {len(choices)} choices, at most {CHOICES_MAX}")
        return cls(
            name=name,
            type=cast("FieldType", kind),
            value=cast("ValueType", form),
            ns=_namespace(found.get("ns", NS_PLAIN), where),
            choices=tuple(_text(choice, f"{where}: a choice") for choice in choices),
            least=_bound(found.get("least"), where),
            most=_bound(found.get("most"), where),
            default=found.get("default"),
            help=_text(found.get("help", ""), f"{where}: help", least=0),
        )


@frozen
class Kind:
    """
    A name with fields. Every kind has the common ones besides (`mesh.worknode.kinds.COMMON`).

    Of an *open* kind fields that it does not name may be set too, as plain registers.
    """

    name: str
    version: int = 1
    fields: tuple[Field, ...] = ()
    open: bool = True
    help: str = ""

    def field(self, name: str) -> Field | None:
        """The field of that name, None when the kind does not name it. Cost: O(fields)."""
        return next((field for field in self.fields if field.name == name), None)

    def to_value(self) -> Value:
        """What a `kind:NAME` register holds."""
        return _pairs(
            {
                "fields": (TAG_LIST, *(field.to_value() for field in self.fields)),
                "help": self.help,
                "open": self.open,
                "version": self.version,
            }
        )

    @classmethod
    def from_value(cls, name: str, value: Value) -> Kind:
        """
        Read the definition of the kind *name*.

        Raises:
            SchemaError: It is no definition.
        """
        found = _mapping(value, f"kind {name!r}")
        version = found.get("version", 1)
        if type(version) is not int or version < 1:
            raise SchemaError(f"kind {name!r}: version {version!r} is not an integer from 1 on")
        is_open = found.get("open", True)
        if type(is_open) is not bool:
            raise SchemaError(f"kind {name!r}: open is {is_open!r}, not true or false")
        rows = _list(found.get("fields", (TAG_LIST,)), f"kind {name!r}: fields")
        if len(rows) > FIELDS_MAX:
            raise SchemaError(f"kind {name!r}: {len(rows)} fields, at most {FIELDS_MAX}")
        fields = tuple(Field.from_value(row) for row in rows)
        names = [field.name for field in fields]
        if len(set(names)) != len(names):
            raise SchemaError(f"kind {name!r} names a field twice")
        text = _text(found.get("help", ""), f"kind {name!r}: help", least=0)
        return cls(name, version, fields, is_open, text)


def _pairs(found: Mapping[str, Value]) -> Value:
    return (TAG_PAIRS, *sorted(found.items()))


def _mapping(value: Value, what: str) -> dict[str, Value]:
    if not isinstance(value, tuple) or not value or value[0] != TAG_PAIRS:
        raise SchemaError(f"{what}: {value!r:.80} is not a record of named values")
    found: dict[str, Value] = {}
    for pair in value[1:]:
        assert isinstance(pair, tuple) and isinstance(pair[0], str), "the codec checked pairs"
        found[pair[0]] = pair[1]
    return found


def _list(value: Value, what: str) -> tuple[Value, ...]:
    if not isinstance(value, tuple) or not value or value[0] != TAG_LIST:
        raise SchemaError(f"{what}: {value!r:.80} is not a list")
    return value[1:]


def _text(value: Value, what: str, *, least: int = 1) -> str:
    if not isinstance(value, str) or len(value) < least:
        raise SchemaError(f"{what}: {value!r:.80} is not a text")
    return value


def _bound(value: Value, where: str) -> int | None:
    if value is not None and type(value) is not int:
        raise SchemaError(f"{where}: the bound {value!r:.80} is not an integer")
    return value


def _namespace(value: Value, where: str) -> int:
    if isinstance(value, str) and value in NAMESPACES:
        return NAMESPACES[value]
    if type(value) is int and value >= 0:
        return value
    raise SchemaError(f"{where}: namespace {value!r:.80} is none of {', '.join(NAMESPACES)}")
