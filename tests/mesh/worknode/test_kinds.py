"""The shipped kinds, kinds that users register, and definitions that cannot be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capability.ops import NS_CONFIG, NS_SELF, NS_WORK
from capability.values import check_value
from crdt.codec import Value
from mesh.core.errors import UsageError
from mesh.core.writes import SetRegister
from mesh.worknode.kinds import COMMON, SHIPPED, TASK_STATUSES, KindRegistry
from mesh.worknode.schema import Field, Kind, SchemaError
from mesh.worknode.text import from_json
from mesh.worknode.view import worknode_view
from tests.mesh.replica.world import new_mesh, node_of

NAMES = [
    "container",
    "folder",
    "company",
    "department",
    "swarm",
    "project",
    "task",
    "subtask",
    "document",
    "result",
    "artefact",
    "decision",
    "issue",
    "agent",
    "plan",
    "trigger",
    "report",
    "message",
    "customer",
    "deal",
]


def test_every_required_kind_ships() -> None:
    assert sorted(SHIPPED) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_kind_has_the_common_fields_once_and_reads_back(name: str) -> None:
    kind = SHIPPED[name]
    names = [field.name for field in kind.fields]
    assert len(set(names)) == len(names)
    assert {field.name for field in COMMON} <= set(names)
    check_value(kind.to_value())
    assert Kind.from_value(name, kind.to_value()) == kind


def test_a_task_has_the_life_of_a_task() -> None:
    status = SHIPPED["task"].field("status")
    assert status is not None
    assert (status.choices, status.ns, status.default) == (TASK_STATUSES, NS_WORK, "pending")


def test_what_an_agent_says_of_itself_is_its_own() -> None:
    heartbeat = SHIPPED["agent"].field("heartbeat")
    assert heartbeat is not None and heartbeat.ns == NS_SELF


def test_an_unknown_kind_is_open_and_has_the_common_fields() -> None:
    registry = KindRegistry()
    kind = registry.get("spaceship")
    assert kind.open and kind.field("title") is not None
    with pytest.raises(UsageError) as caught:
        registry.known("spaceship")
    assert "task" in caught.value.hint


def test_a_registered_kind_joins_the_shipped_ones() -> None:
    recipe = Kind("recipe", 2, (Field("portions", "register", "int", least=1),))
    mesh = new_mesh()
    node = node_of(mesh, mesh.root)
    store = node.replica.store
    assert "recipe" not in KindRegistry.from_store(store).kinds
    node.write(SetRegister(store.root, NS_CONFIG, "kind:recipe", recipe.to_value()))
    found = KindRegistry.from_store(store).known("recipe")
    assert found.version == 2
    assert found.field("portions") == recipe.fields[0]
    assert found.field("labels") is not None
    assert worknode_view(node.replica, store.root)["fields"] == {}


def test_only_a_greater_version_takes_the_place_of_a_shipped_kind() -> None:
    for version, replaced in ((1, False), (2, True)):
        own = Kind("task", version, (Field("mine"),))
        kind = KindRegistry.from_config({"task": own.to_value()}).get("task")
        assert (kind.field("mine") is not None) is replaced


@pytest.mark.parametrize(
    "value",
    [
        None,
        "x",
        (0,),
        (1, ("version", 0)),
        (1, ("version", "2")),
        (1, ("open", 1)),
        (1, ("fields", "x")),
        (1, ("fields", (0, "x"))),
        (1, ("fields", (0, (1,)))),
        (1, ("fields", (0, (1, ("name", ""))))),
        (1, ("fields", (0, (1, ("name", "a")), (1, ("name", "a"))))),
        (1, ("fields", (0, (1, ("name", "a"), ("type", "heap"))))),
        (1, ("fields", (0, (1, ("name", "a"), ("value", "float"))))),
        (1, ("fields", (0, (1, ("name", "a"), ("ns", "moon"))))),
        (1, ("fields", (0, (1, ("least", "0"), ("name", "a"))))),
        (1, ("fields", (0, (1, ("choices", (0, 1)), ("name", "a"))))),
    ],
)
def test_a_damaged_definition_is_set_aside_with_its_reason(value: Value) -> None:
    with pytest.raises(SchemaError):
        Kind.from_value("k", value)
    registry = KindRegistry.from_config({"k": value})
    assert "k" in registry.damaged and "k" not in registry.kinds


words = st.sampled_from(
    ["fields", "version", "open", "name", "type", "value", "ns", "choices", "least", "set", "work"]
)
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=6),
    max_leaves=20,
)


@given(documents)
def test_no_definition_stops_the_registry(document: object) -> None:
    KindRegistry.from_config({"k": from_json(document)})
