"""Whoever fills the rooms of a node with many keys makes others wait, and loses them nothing."""

from __future__ import annotations

from unittest import mock

import pytest

from capability.entry import Entry
from tests.mesh.replica.hand import hand, inc
from tests.mesh.replica.stage import Stage

ROOM = 20


@pytest.fixture
def stage() -> Stage:
    with (
        mock.patch("mesh.replica.admission.DEFERRED_ENTRIES_MAX", ROOM),
        mock.patch("mesh.replica.admission.WAITING_ENTRIES_MAX", ROOM),
    ):
        return Stage()


def lane(stage: Stage, name: str, *, granted: bool) -> list[Entry]:
    """Three entries of a new author, who is introduced or not."""
    by = hand(stage.mesh, name)
    grant = stage.root.grant(by)
    if granted:
        stage.node.receive([grant])
    return [grant, *(by.data(inc(stage.task, name, 1)) for _ in range(3))]


def test_what_sub_keys_push_out_comes_in_order(stage: Stage) -> None:
    """Each key costs a grant; all of them wait with more than the honest author does."""
    admission = stage.node.replica.admission
    _, first, *later = lane(stage, "ann", granted=True)
    stage.node.receive(later)
    for number in range(3 * ROOM):
        stage.node.receive(lane(stage, f"sybil {number}", granted=True)[2:])
        assert len(admission.deferred) <= ROOM
    assert not any(entry.id in admission.deferred.entries for entry in later)
    # As repair brings them: from the head on, which needs no room.
    stage.node.receive([first, *later])
    assert all(entry.id in stage.node.replica.table.number for entry in later)


def test_what_made_up_keys_push_out_comes_with_its_grant(stage: Stage) -> None:
    admission = stage.node.replica.admission
    grant, *said = lane(stage, "ann", granted=False)
    stage.node.receive(said[:1])
    for number in range(3 * ROOM):
        stage.node.receive(lane(stage, f"nobody {number}", granted=False)[1:])
        assert len(admission.waiting) <= ROOM
    assert said[0].id not in admission.waiting.entries
    stage.node.receive([grant, *said])
    assert all(entry.id in stage.node.replica.table.number for entry in said)
