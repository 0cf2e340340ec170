"""Lines that are no issues: each is reported with its number and reason, and stops nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.api.importers import records
from mesh.api.importers.beads import plan_import, read_lines
from mesh.api.importers.sample import sample_tracker
from mesh.worknode.kinds import KindRegistry
from tests.mesh.api.tracker import (
    a_node,
    issue,
    lines,
)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"id":"a","title":"\\ud800"}', "not UTF-8"),
        (b"[1]", "not an object"),
        (b"null", "not an object"),
        (b"[" * 100_000, "not JSON"),
        (b'{"title":"x"}', "no id"),
        (b'{"id":""}', "no id"),
        (b'{"id":3}', "id is not a text"),
        (b'{"id":"a","title":3}', "title is not a text"),
        (b'{"id":"a","priority":"high"}', "priority is not a whole number"),
        (b'{"id":"a","priority":true}', "priority is not a whole number"),
        (b'{"id":"a","updated_at":"yesterday"}', "updated_at is not an instant"),
        (b'{"id":"a","updated_at":"2025-01-01T00:00:00"}', "updated_at is not an instant"),
        (b'{"id":"a","labels":"x"}', "labels is not a list"),
        (b'{"id":"a","labels":[1]}', "labels is not a list"),
        (b'{"id":"a","dependencies":[{}]}', "a dependency without"),
        (b'{"id":"a","dependencies":{}}', "dependencies is not a list"),
        (b'{"id":"a","comments":["x"]}', "comments is not a list"),
        (b'{"id":"' + b"a" * 2_000 + b'"}', "an id longer than"),
        (b'{"id":"' + b"a" * records.LINE_BYTES_MAX + b'"}', "longer than"),
    ],
)
def test_a_bad_line_is_reported_with_its_number_and_the_others_go_on(
    line: bytes, reason: str
) -> None:
    data = lines(issue("ok-1")) + b"\n" + line + b"\r\n" + lines(issue("ok-2"))
    issues, skipped = read_lines(data)
    assert [one.id for one in issues] == ["ok-1", "ok-2"]
    assert [remark.line for remark in skipped] == [3]
    assert reason in skipped[0].reason


def test_a_value_of_no_use_is_left_out_and_said() -> None:
    issues, skipped = read_lines(lines(issue("a", priority=9, title="", x=2**70)))
    assert not skipped
    assert issues[0].registers["title"] == "a"
    assert "priority" not in issues[0].registers
    assert len(issues[0].warnings) == 2


@given(st.lists(st.binary(max_size=30)), st.integers(1, 40))
@settings(max_examples=100, deadline=None)
def test_how_a_file_is_cut_into_pieces_does_not_matter(rows: list[bytes], size: int) -> None:
    data = b"\n".join([*rows, b'{"id":"a"}'])
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert read_lines(pieces) == read_lines(data)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
keys = st.sampled_from(
    ["id", "title", "status", "priority", "labels", "dependencies", "comments", "updated_at", "z"]
)


@given(st.dictionaries(keys, documents))
@settings(max_examples=100, deadline=None)
def test_no_line_stops_an_import(document: dict[str, Any]) -> None:
    issues, skipped = read_lines(json.dumps({"id": "a", **document}).encode())
    assert len(issues) + len(skipped) == 1
    node = a_node()
    plan = plan_import(
        node.replica, KindRegistry(), issues, under=node.replica.store.root, skipped=skipped
    )
    for batch in plan.batches():
        node.write(*batch)
    json.dumps(plan.report.to_json())


def test_the_sample_is_the_same_for_the_same_seed() -> None:
    assert sample_tracker(seed=1) == sample_tracker(seed=1) != sample_tracker(seed=2)
    issues, skipped = read_lines(sample_tracker())
    assert not skipped and len({one.id for one in issues}) == 60 < len(issues)
