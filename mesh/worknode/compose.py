"""
The door's side of writing: from fields as people and programs give them to writes.

Here, and only here, schemas are enforced. Every error names the field and the value and says what
would be taken instead. Nothing is read from a replica but what the caller's *find* looks up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Final, assert_never

from attrs import field as attribute
from attrs import frozen

from capability.ids import CLASS_OWN, CLASS_SHARED, own_key, worknode_id
from capability.limits import KEY_BYTES_MAX, NAME_BYTES_MAX
from capability.ops import NS_PLAIN
from capability.values import TAG_PAIRS, Value
from mesh.core.errors import UsageError
from mesh.core.writes import (
    AddToSet,
    Append,
    Create,
    Increment,
    RemoveFromSet,
    SetMulti,
    SetRegister,
    Write,
)
from mesh.worknode.kinds import KindRegistry
from mesh.worknode.schema import Field, FieldType, Kind, ValueType
from mesh.worknode.text import (
    Json,
    from_json,
    instant_value,
    node_value,
    parse_decimal,
    parse_duration,
    parse_instant,
)
from mesh.worknode.view import HIDDEN

#: A title is a line, not a text; the description has room. A guess.
TITLE_BYTES_MAX: Final = 1_024

_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})


def _find_nothing(text: str) -> bytes:
    raise UsageError(f"{text!r:.80} cannot be looked up here")


@frozen
class Door:
    """What one request is read with: kinds, its time, and how it names other Worknodes."""

    registry: KindRegistry = attribute(factory=KindRegistry)
    now_ms: int = 0
    find: Callable[[str], bytes] = _find_nothing


@frozen
class Composed:
    """A create with its fields, and the id that the new Worknode has."""

    node: bytes
    writes: tuple[Write, ...]


def shared_key(text: str) -> bytes:
    """
    The key of class shared that a text stands for: its bytes, or their hash if too long.

    Raises:
        UsageError: It is empty, as of a variable that was never set: all such would be one.
    """
    data = text.encode()
    if not data:
        raise UsageError("the key is empty", hint="give one that names this Worknode alone")
    if len(data) <= KEY_BYTES_MAX:
        return data
    return hashlib.blake2b(data, digest_size=32).digest()


# -- values -------------------------------------------------------------------------------------


def field_of(kind: Kind, name: str, *, unknown: FieldType = "register") -> Field:
    """
    The field *name* of *kind*; of an open kind one that it does not name is of type *unknown*.

    Raises:
        UsageError: The kind is closed, or the name cannot be a field's.
    """
    known = kind.field(name)
    if known is not None:
        return known
    if (
        not name
        or name.startswith(HIDDEN)
        or not name.isprintable()
        or len(name.encode()) > NAME_BYTES_MAX
    ):
        raise UsageError(
            f"{name!r:.80} cannot be the name of a field",
            hint=f"names are printable, do not begin with {HIDDEN}, and have 1 to "
            f"{NAME_BYTES_MAX} bytes",
        )
    if not kind.open:
        raise UsageError(
            f"kind {kind.name!r} has no field {name!r}",
            hint="its fields are " + ", ".join(sorted(field.name for field in kind.fields)),
        )
    return Field(name, unknown, "any", NS_PLAIN)


def parse(field: Field, given: Json, door: Door) -> Value:
    """
    One value of *field*, given as text or as JSON.

    Raises:
        LocalError: It does not fit; a Worknode that it names is not found.
    """
    try:
        return _PARSERS[field.value](field, given, door)
    except UsageError as error:
        hint = error.hint if not field.help else f"{error.hint}; {field.help}".lstrip("; ")
        raise UsageError(f"field {field.name!r}: {error.message}", hint=hint) from error


def _text(given: Json) -> str:
    if not isinstance(given, str):
        raise UsageError(f"{given!r:.80} is not a text")
    return given


def _integer(field: Field, given: Json) -> int:
    number = given
    if isinstance(given, str):
        try:
            number = int(given.strip(), 10)
        except ValueError:
            number = None
    if type(number) is not int:
        raise UsageError(f"{given!r:.80} is not a whole number", hint=_range(field))
    if not (field.least is None or number >= field.least) or not (
        field.most is None or number <= field.most
    ):
        raise UsageError(f"{number} is out of its range", hint=_range(field))
    return number


def _range(field: Field) -> str:
    if field.least is not None and field.most is not None:
        return f"give {field.least} to {field.most}"
    if field.least is not None:
        return f"give {field.least} or more"
    return "give a whole number" if field.most is None else f"give {field.most} or less"


def _boolean(given: Json) -> bool:
    if isinstance(given, bool):
        return given
    word = given.strip().lower() if isinstance(given, str) else ""
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise UsageError(f"{given!r:.80} is neither true nor false")


def _choice(field: Field, given: Json) -> str:
    word = _text(given).strip().lower().replace("-", "_").replace(" ", "_")
    for choice in field.choices:
        if choice.lower() == word:
            return choice
    raise UsageError(f"{given!r:.80} is no choice", hint="choose " + ", ".join(field.choices))


def _comment(given: Json) -> Value:
    if isinstance(given, str):
        return (TAG_PAIRS, ("text", given))
    found = from_json(given)
    if not isinstance(found, tuple) or found[0] != TAG_PAIRS:
        raise UsageError(f"{given!r:.80} is not a comment", hint="give a text")
    return found


def _instant(given: Json, door: Door) -> Value:
    return instant_value(parse_instant(_text(given), door.now_ms))


def _duration(given: Json) -> Value:
    return given if type(given) is int and given >= 0 else parse_duration(_text(given))


_PARSERS: Final[Mapping[ValueType, Callable[[Field, Json, Door], Value]]] = {
    "text": lambda _, given, __: _text(given),
    "int": lambda field, given, _: _integer(field, given),
    "bool": lambda _, given, __: _boolean(given),
    "choice": lambda field, given, _: _choice(field, given),
    "instant": lambda _, given, door: _instant(given, door),
    "duration": lambda _, given, __: _duration(given),
    "decimal": lambda _, given, __: parse_decimal(str(given)),
    "node": lambda _, given, door: node_value(door.find(_text(given))),
    "comment": lambda _, given, __: _comment(given),
    "any": lambda _, given, __: from_json(given),
}


# -- writes -------------------------------------------------------------------------------------


def create_writes(
    door: Door,
    *,
    author: bytes,
    parent: bytes,
    kind: str,
    title: str,
    fields: Mapping[str, Json] | None = None,
    key: bytes | None = None,
    nonce: bytes | None = None,
    position: bytes = b"",
    after: Iterable[bytes] = (),
) -> Composed:
    """
    The writes of one create.

    Args:
        door: Kinds, time and look-up of the request.
        author: Who creates; with *nonce* part of the id.
        parent: Where it is born, for ever part of its id.
        kind: Must be known here.
        title: One line that is not empty.
        fields: First values. Of a set a list, or one text with commas between the members.
        key: A shared key: the same parent and key always give the same Worknode.
        nonce: 16 random bytes, where there is no key.
        position: Among its siblings.
        after: Worknodes that it depends on.

    Raises:
        LocalError: A value does not fit, or nobody has defined the kind.
    """
    known = door.registry.known(kind)
    if key is not None:
        node = worknode_id(parent, CLASS_SHARED, key)
    else:
        assert nonce is not None, "a create has a shared key or a nonce"
        node = worknode_id(parent, CLASS_OWN, own_key(author, nonce))
    writes: list[Write] = [
        Create(parent, kind, shared_key=key, nonce=nonce, schema=known.version, position=position)
    ]
    writes.append(_set(field_of(known, "title"), node, checked_title(title), door))
    for name, given in (fields or {}).items():
        field = field_of(known, name)
        if field.type == "register":
            given = checked_title(given) if name == "title" else given  # noqa: PLW2901
            writes.append(_set(field, node, given, door))
        else:
            writes += [_put_in(field, node, item, door) for item in _items(field, given)]
    depends = field_of(known, "depends_on", unknown="set")
    writes += [AddToSet(node, depends.ns, depends.name, node_value(other)) for other in after]
    return Composed(node, tuple(writes))


def checked_title(title: Json) -> str:
    """
    A title as it is stored: one line, not empty, bounded.

    Raises:
        UsageError: It is empty, too long, or no text.
    """
    line = " ".join(_text(title).split())
    if not line:
        raise UsageError("a title must not be empty")
    size = len(line.encode())
    if size > TITLE_BYTES_MAX:
        raise UsageError(
            f"a title of {size} bytes is longer than {TITLE_BYTES_MAX}",
            hint="put the rest into the description",
        )
    return line


def update_writes(
    door: Door,
    kind: str,
    node: bytes,
    *,
    set: Mapping[str, Json] | None = None,  # noqa: A002
    add: Iterable[tuple[str, Json]] = (),
    remove: Iterable[tuple[str, Json]] = (),
) -> tuple[Write, ...]:
    """
    The writes of one update of a Worknode of *kind*.

    Args:
        door: Kinds, time and look-up of the request.
        kind: Its kind, known here or not.
        node: The Worknode.
        set: Registers and multi-values; None, or an empty text where text has no meaning, unsets.
        add: Members of sets, amounts of counters, items of logs.
        remove: Members of sets, amounts of counters.

    Raises:
        LocalError: A value does not fit its field, or the act does not fit the field's type.
    """
    known = door.registry.get(kind)
    writes: list[Write] = []
    for name, given in (set or {}).items():
        field = field_of(known, name)
        if field.type not in {"register", "multi"}:
            raise UsageError(
                f"field {name!r} is a {field.type}: it is not set as a whole",
                hint=f"use --add {name}=… or --remove {name}=…",
            )
        value = checked_title(given) if name == "title" else given
        writes.append(_set(field, node, value, door))
    for name, given in add:
        writes.append(_put_in(field_of(known, name, unknown="set"), node, given, door))
    for name, given in remove:
        writes.append(_take_out(field_of(known, name, unknown="set"), node, given, door))
    return tuple(writes)


def _set(field: Field, node: bytes, given: Json, door: Door) -> Write:
    unset = given is None or (given == "" and field.value not in {"text", "any"})
    value = None if unset else parse(field, given, door)
    if field.type == "multi":
        return SetMulti(node, field.ns, field.name, value)
    return SetRegister(node, field.ns, field.name, value)


def _items(field: Field, given: Json) -> list[Json]:
    if isinstance(given, list | tuple):
        return list(given)
    if field.type == "set" and isinstance(given, str):
        return [part.strip() for part in given.split(",") if part.strip()]
    return [given]


def _put_in(field: Field, node: bytes, given: Json, door: Door) -> Write:
    match field.type:
        case "set":
            return AddToSet(node, field.ns, field.name, parse(field, given, door))
        case "log":
            return Append(node, field.ns, field.name, parse(field, given, door))
        case "counter":
            return Increment(node, field.ns, field.name, _integer(field, given))
        case "multi":
            return SetMulti(node, field.ns, field.name, parse(field, given, door))
        case "register":
            raise UsageError(
                f"field {field.name!r} holds one value: nothing is added to it",
                hint=f"use --set {field.name}=…",
            )
    assert_never(field.type)


def _take_out(field: Field, node: bytes, given: Json, door: Door) -> Write:
    match field.type:
        case "set":
            return RemoveFromSet(node, field.ns, field.name, parse(field, given, door))
        case "counter":
            return Increment(node, field.ns, field.name, -_integer(field, given))
        case "log":
            raise UsageError(f"field {field.name!r} is a log: nothing is taken out of it")
        case "register" | "multi":
            raise UsageError(
                f"field {field.name!r} holds one value", hint=f"use --set {field.name}= to unset it"
            )
    assert_never(field.type)
