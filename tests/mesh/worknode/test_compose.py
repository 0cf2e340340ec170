"""From what is typed to writes: every form of value, every act, and errors with a remedy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capability.ids import CLASS_OWN, own_key, worknode_id
from capability.ops import NS_COMMENT, NS_PLAIN, NS_WORK
from capability.values import check_value
from mesh.core.errors import NotFound, UsageError
from mesh.core.writes import (
    AddToSet,
    Append,
    Create,
    Increment,
    RemoveFromSet,
    SetMulti,
    SetRegister,
)
from mesh.worknode.compose import (
    Door,
    create_writes,
    field_of,
    parse,
    shared_key,
    update_writes,
)
from mesh.worknode.kinds import KindRegistry
from mesh.worknode.schema import Field, Kind
from mesh.worknode.text import (
    from_json,
    iso,
    parse_decimal,
    parse_duration,
    parse_instant,
    parse_nanoseconds,
    to_json,
)

NODE, OTHER, AUTHOR = b"n" * 16, b"o" * 16, b"a" * 32


def find(text: str) -> bytes:
    if text == "other":
        return OTHER
    raise NotFound(f"no Worknode {text!r}")


CLOSED = Kind("closed", 3, (Field("size", "register", "int", least=1),), open=False)
REGISTRY = KindRegistry.from_config({"closed": CLOSED.to_value()})
DOOR = Door(REGISTRY, now_ms=1_000_000, find=find)


def updated(kind: str = "task", **acts: object) -> list[object]:
    return list(update_writes(DOOR, kind, NODE, **acts))  # type: ignore[arg-type]


def test_a_create_carries_its_fields_and_knows_its_id() -> None:
    made = create_writes(
        DOOR,
        author=AUTHOR,
        parent=NODE,
        kind="task",
        title="  Fix \n it ",
        fields={"priority": "1", "labels": "a, b", "status": "in-progress", "foo": "bar"},
        nonce=bytes(16),
        after=[OTHER],
    )
    node = worknode_id(NODE, CLASS_OWN, own_key(AUTHOR, bytes(16)))
    assert made.node == node
    assert made.writes == (
        Create(NODE, "task", nonce=bytes(16)),
        SetRegister(node, NS_PLAIN, "title", "Fix it"),
        SetRegister(node, NS_PLAIN, "priority", 1),
        AddToSet(node, NS_PLAIN, "labels", "a"),
        AddToSet(node, NS_PLAIN, "labels", "b"),
        SetRegister(node, NS_WORK, "status", "in_progress"),
        SetRegister(node, NS_PLAIN, "foo", "bar"),
        AddToSet(node, NS_PLAIN, "depends_on", (2, OTHER)),
    )


def test_a_key_gives_the_same_worknode_twice() -> None:
    one, two = (
        create_writes(DOOR, author=a, parent=NODE, kind="task", title="x", key=shared_key("k"))
        for a in (AUTHOR, bytes(32))
    )
    assert one == two
    assert shared_key("k") == b"k" and len(shared_key("k" * 100)) == 32


@pytest.mark.parametrize(
    ("title", "kind"), [("", "task"), (" \n", "task"), ("x" * 1025, "task"), ("x", "tusk")]
)
def test_a_create_without_title_or_known_kind_is_refused(title: str, kind: str) -> None:
    with pytest.raises(UsageError):
        create_writes(DOOR, author=AUTHOR, parent=NODE, kind=kind, title=title, nonce=bytes(16))


@pytest.mark.parametrize(
    ("field", "given", "value"),
    [
        (Field("f"), "text", "text"),
        (Field("f"), "", ""),
        (Field("f", value="int"), " -3 ", -3),
        (Field("f", value="int"), 7, 7),
        (Field("f", value="bool"), "Yes", True),
        (Field("f", value="bool"), False, False),
        (Field("f", value="decimal"), "012.50", (3, "12.5")),
        (Field("f", value="decimal"), 0.1, (3, "0.1")),
        (Field("f", value="decimal"), "-0.0", (3, "0")),
        (Field("f", value="decimal"), "1e3", (3, "1000")),
        (Field("f", value="instant"), "1970-01-01T00:00:01Z", (4, 1000)),
        (Field("f", value="instant"), "2h", (4, 1_000_000 + 7_200_000)),
        (Field("f", value="duration"), "1h 30m", 5_400),
        (Field("f", value="duration"), 90, 90),
        (Field("f", value="node"), "other", (2, OTHER)),
        (Field("f", value="comment"), "hm", (1, ("text", "hm"))),
        (
            Field("f", value="any"),
            {"b": [1, None], "a": 1.5},
            (1, ("a", (3, "1.5")), ("b", (0, 1, None))),
        ),
        (Field("f", value="choice", choices=("in_progress",)), "In Progress", "in_progress"),
    ],
)
def test_values_are_read_by_the_schema(field: Field, given: object, value: object) -> None:
    found = parse(field, given, DOOR)
    assert found == value and type(found) is type(value)
    check_value(found)


@pytest.mark.parametrize(
    ("field", "given"),
    [
        (Field("f"), 3),
        (Field("f", value="int"), "3.5"),
        (Field("f", value="int"), True),
        (Field("f", value="int", least=0), "-1"),
        (Field("f", value="int", most=4), 5),
        (Field("f", value="bool"), "maybe"),
        (Field("f", value="decimal"), "inf"),
        (Field("f", value="decimal"), "1e99"),
        (Field("f", value="instant"), "2025-01-01T00:00:00"),
        (Field("f", value="instant"), "tomorrow"),
        (Field("f", value="duration"), "3"),
        (Field("f", value="duration"), "3h later"),
        (Field("f", value="duration"), -1),
        (Field("f", value="duration"), "999999999999w"),
        (Field("f", value="choice", choices=("a",)), "b"),
        (Field("f", value="comment"), 3),
        (Field("f", value="any"), object()),
    ],
)
def test_what_does_not_fit_is_refused_with_the_field_and_the_value(
    field: Field, given: object
) -> None:
    with pytest.raises(UsageError, match="field 'f'"):
        parse(field, given, DOOR)


def test_priority_in_words_is_answered_with_the_numbers() -> None:
    with pytest.raises(UsageError) as caught:
        updated(set={"priority": "high"})
    assert "'high'" in caught.value.message
    assert "0 critical, 1 high" in caught.value.hint


def test_a_wrong_choice_is_answered_with_the_choices() -> None:
    with pytest.raises(UsageError) as caught:
        updated(set={"status": "doing"})
    assert "in_progress" in caught.value.hint


def test_a_worknode_that_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFound):
        updated(add=[("depends_on", "nothing")])


def test_each_act_becomes_the_write_of_its_field() -> None:
    assert updated(
        set={"due": "", "description": "", "title": " a  b "},
        add=[("labels", "x"), ("comments", "hm"), ("retry_count", "2"), ("mine", "y")],
        remove=[("labels", "z"), ("retry_count", 1)],
    ) == [
        SetRegister(NODE, NS_PLAIN, "due", None),
        SetRegister(NODE, NS_PLAIN, "description", ""),
        SetRegister(NODE, NS_PLAIN, "title", "a b"),
        AddToSet(NODE, NS_PLAIN, "labels", "x"),
        Append(NODE, NS_COMMENT, "comments", (1, ("text", "hm"))),
        Increment(NODE, NS_WORK, "retry_count", 2),
        AddToSet(NODE, NS_PLAIN, "mine", "y"),
        RemoveFromSet(NODE, NS_PLAIN, "labels", "z"),
        Increment(NODE, NS_WORK, "retry_count", -1),
    ]


def test_a_multi_value_field_is_set() -> None:
    kind = Kind("m", 1, (Field("name", "multi"),))
    door = Door(KindRegistry.from_config({"m": kind.to_value()}))
    assert update_writes(door, "m", NODE, set={"name": "a"}) == (
        SetMulti(NODE, NS_PLAIN, "name", "a"),
    )


@pytest.mark.parametrize(
    "acts",
    [
        {"set": {"labels": "a"}},
        {"set": {"comments": "a"}},
        {"add": [("title", "a")]},
        {"remove": [("title", "a")]},
        {"remove": [("comments", "a")]},
        {"set": {"title": " "}},
        {"set": {"_import": "x"}},
        {"set": {"": "x"}},
        {"set": {"a\nb": "x"}},
        {"set": {"x" * 129: "x"}},
    ],
)
def test_an_act_that_does_not_fit_the_field_is_refused_with_a_remedy(
    acts: dict[str, object],
) -> None:
    with pytest.raises(UsageError):
        updated(**acts)


def test_an_open_kind_takes_unknown_fields_and_a_closed_one_does_not() -> None:
    assert updated("never heard of", set={"foo": 3}) == [SetRegister(NODE, NS_PLAIN, "foo", 3)]
    assert field_of(REGISTRY.get("task"), "foo").type == "register"
    with pytest.raises(UsageError) as caught:
        updated("closed", set={"foo": "x"})
    assert "size" in caught.value.hint
    assert updated("closed", set={"size": "2"}) == [SetRegister(NODE, NS_PLAIN, "size", 2)]


def test_instants_keep_their_zone_and_their_nanoseconds() -> None:
    assert parse_nanoseconds("2025-12-14T11:21:13.878680387-07:00") % 10**9 == 878_680_387
    assert parse_nanoseconds("1970-01-01T01:00:00+01:00") == 0
    assert parse_instant("2025-12-14T12:00:00.5Z", 0) % 1000 == 500
    assert iso(parse_instant("2025-12-14T12:00:00+11:00", 0)) == "2025-12-14T01:00:00.000Z"
    assert iso(1 << 62).endswith("ms")


@given(st.integers(0, 500), st.integers(0, 100), st.integers(0, 100), st.integers(0, 10**6))
def test_durations_are_added_up(weeks: int, days: int, hours: int, seconds: int) -> None:
    text = f"{weeks}w {days}d{hours}h {seconds}s"
    assert parse_duration(text) == ((weeks * 7 + days) * 24 + hours) * 3_600 + seconds


@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9
    )
)
def test_decimals_have_one_spelling(number: object) -> None:
    value = parse_decimal(str(number))
    check_value(value)
    assert isinstance(value, tuple) and parse_decimal(str(value[1])) == value


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc"), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_json_without_fractions_reads_back(document: object) -> None:
    value = from_json(document)
    check_value(value)
    assert to_json(value) == document


def test_json_too_deep_is_refused() -> None:
    deep: object = 0
    for _ in range(20):
        deep = [deep]
    with pytest.raises(UsageError):
        from_json(deep)
