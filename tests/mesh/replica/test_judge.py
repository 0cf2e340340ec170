"""One operation under one authority: which permission it asks for, on what, and what is missing."""

from __future__ import annotations

import pytest
from attrs import evolve

from capability import ops
from capability.authority import Authority, root_authority
from capability.ids import TRASH, own_key, root_worknode, worknode_id
from capability.ops import Op
from capability.permissions import (
    ADMIN,
    ALL,
    APPROVE,
    ARCHIVE,
    COMMENT,
    CREATE,
    OWN,
    PLAN,
    WRITE,
)
from capability.verdict import Verdict
from mesh.replica.judge import Judgement, judge
from mesh.worknode.store import Births
from tests.mesh.replica.hand import create, inc, move, put
from tests.mesh.replica.stage import Stage

MESH = b"m" * 32
ME, OTHER = b"a" * 32, b"b" * 32
ASKED = {0: WRITE, 1: WRITE, 2: COMMENT, 3: PLAN, 4: APPROVE, 6: ADMIN}


@pytest.fixture(scope="module")
def stage() -> Stage:
    """Bob owns `task`; `below` lies under it, by a key that names nobody."""
    stage = Stage()
    stage.node.receive([stage.bob.data(create(stage.task, shared=b"below"))])
    return stage


def births(stage: Stage) -> Births:
    return stage.node.replica.store.judging_births()


def by(perms: int, *scopes: bytes, stage: Stage, **what: object) -> Authority:
    root = root_authority(stage.mesh.id)
    return evolve(root, perms=perms, **({"scopes": scopes} if scopes else {}), **what)


def found(
    stage: Stage, op: Op, authority: Authority, *, author: bytes = ME, session: bytes = b""
) -> Judgement:
    return judge(
        op, authority=authority, author=author, session=session, seq=1, births=births(stage)
    )


def counts(stage: Stage, op: Op, perms: int, *, author: bytes = ME) -> bool:
    return found(stage, op, by(perms, stage=stage), author=author).verdict is Verdict.COUNTS


@pytest.mark.parametrize("ns", sorted(ASKED))
def test_a_field_asks_for_what_its_namespace_does(stage: Stage, ns: int) -> None:
    op = put(stage.task, "f", 1, ns=ns)
    assert counts(stage, op, ASKED[ns])
    assert not counts(stage, op, ALL & ~ASKED[ns])
    assert found(stage, op, by(0, stage=stage)).reason == f"permission {ASKED[ns]} is not granted"


@pytest.mark.parametrize("ns", range(7))
def test_an_owner_writes_what_owning_opens(stage: Stage, ns: int) -> None:
    op = put(stage.task, "f", 1, ns=ns)
    assert counts(stage, op, OWN, author=stage.bob.author) is (ns in {0, 1, 2, 5})
    assert not counts(stage, op, OWN, author=OTHER)
    assert not counts(stage, op, 0, author=stage.bob.author)


def test_what_is_ones_own_alone_is_nobody_elses_whatever_is_granted(stage: Stage) -> None:
    op = put(stage.task, "f", 1, ns=5)
    assert not counts(stage, op, ALL, author=OTHER)
    assert not counts(stage, op, ALL & ~OWN, author=stage.bob.author)
    reason = "the Worknode's birth key does not name the author"
    assert found(stage, op, by(ALL, stage=stage), author=OTHER).reason == reason
    below = put(worknode_id(stage.task, 1, b"below"), "f", 1, ns=5)
    assert not counts(stage, below, ALL, author=stage.bob.author)


def test_whose_a_worknode_is_waits_for_its_birth(stage: Stage) -> None:
    unknown = b"?" * 16
    for op in (put(unknown, "f", 1, ns=5), put(unknown, "f", 1), inc(unknown, "n", 1)):
        judgement = found(stage, op, by(OWN, stage=stage))
        assert judgement == Judgement(Verdict.UNDECIDED, "birth path unknown", unknown)


def test_a_namespace_of_a_later_version_is_void(stage: Stage) -> None:
    judgement = found(stage, put(stage.task, "f", 1, ns=7), by(ALL, stage=stage))
    assert judgement == Judgement(Verdict.VOID, "unknown namespace 7")


def test_the_birth_path_must_reach_a_scope(stage: Stage) -> None:
    below = worknode_id(stage.task, 1, b"below")
    inside = by(WRITE, stage.task, stage=stage)
    assert found(stage, put(below, "f", 1), inside).verdict is Verdict.COUNTS
    assert found(stage, put(stage.task, "f", 1), inside).verdict is Verdict.COUNTS
    outside = found(stage, put(stage.top, "f", 1), inside)
    assert outside == Judgement(Verdict.VOID, "outside the grant's scope")
    assert found(stage, put(below, "f", 1), by(WRITE, below, stage=stage)).verdict is Verdict.COUNTS
    assert found(stage, put(b"?" * 16, "f", 1), inside).missing == b"?" * 16


def test_a_create_of_ones_own_asks_for_create_and_another_one_for_write(stage: Stage) -> None:
    own, shared = create(stage.task, own=(ME, 1)), create(stage.task, shared=b"k")
    theirs = create(stage.task, own=(OTHER, 1))
    assert counts(stage, own, CREATE) and not counts(stage, own, ALL & ~CREATE)
    for op in (shared, theirs):
        assert counts(stage, op, WRITE) and not counts(stage, op, ALL & ~WRITE)
    assert "CREATE" not in found(stage, shared, by(0, stage=stage)).reason
    assert found(stage, own, by(0, stage=stage)).reason == "permission to create is not granted"
    assert "needs WRITE on the parent" in found(stage, shared, by(0, stage=stage)).reason
    # It is the parent that must lie in scope: the Worknode itself is not born yet.
    assert found(stage, own, by(CREATE, stage.task, stage=stage)).verdict is Verdict.COUNTS
    orphan = create(b"?" * 16, own=(ME, 1))
    assert found(stage, orphan, by(CREATE, stage=stage)).missing == b"?" * 16
    assert own_key(ME, (1).to_bytes(16, "big")) == own.payload.key  # type: ignore[union-attr]


def test_a_move_asks_for_write_on_both_and_for_archive_on_what_is_archived(stage: Stage) -> None:
    below = worknode_id(stage.task, 1, b"below")
    inside = by(WRITE, stage.task, stage=stage)
    assert counts(stage, move(below, stage.top), WRITE)
    assert not counts(stage, move(below, stage.top), ALL & ~WRITE)
    assert found(stage, move(below, stage.task), inside).verdict is Verdict.COUNTS
    assert found(stage, move(below, stage.top), inside).verdict is Verdict.VOID
    assert found(stage, move(stage.task, below), by(WRITE, below, stage=stage)).verdict is (
        Verdict.VOID
    )
    assert found(stage, move(b"?" * 16, below), inside).missing == b"?" * 16
    assert found(stage, move(below, b"?" * 16), inside).missing == b"?" * 16
    assert counts(stage, move(below, TRASH), ARCHIVE)
    assert not counts(stage, move(below, TRASH), ALL & ~ARCHIVE)
    away = by(ARCHIVE, below, stage=stage)
    assert found(stage, move(stage.task, TRASH), away).verdict is Verdict.VOID
    reasons = [
        found(stage, move(below, where), by(0, stage=stage)).reason for where in (stage.top, TRASH)
    ]
    assert reasons == [
        "permission to move is not granted",
        "permission to archive is not granted",
    ]


def test_the_root_does_not_move(stage: Stage) -> None:
    for where in (stage.task, TRASH):
        judgement = found(stage, move(stage.top, where), by(ALL, stage=stage))
        assert judgement == Judgement(Verdict.VOID, "the root Worknode does not move")
    assert root_worknode(stage.mesh.id) == stage.top


def test_strict_operations_have_no_age(stage: Stage) -> None:
    for op in (create(stage.top, shared=b"k"), move(stage.task, stage.top)):
        assert counts(stage, op, ALL)
        judgement = found(stage, evolve(op, age=1), by(ALL, stage=stage))
        assert judgement == Judgement(Verdict.VOID, "a strict operation is stamped at sealing")
    assert counts(stage, put(stage.task, "f", 1, age=1), ALL)


def test_caveats_are_asked_about_code_name_session_and_seq(stage: Stage) -> None:
    op = put(stage.task, "f", 1)
    for caveat, denies in (
        ((4, (3,)), False),
        ((4, (1,)), True),
        ((5, ("f",)), False),
        ((5, ("g",)), True),
        ((6, 1), False),
        ((6, 0), True),
        ((8, b"s" * 16), False),
        ((8, b"t" * 16), True),
    ):
        authority = by(ALL, stage=stage, caveats=(caveat,))
        judgement = found(stage, op, authority, session=b"s" * 16)
        assert (judgement.verdict is Verdict.VOID) is denies
        assert judgement.reason == (f"caveat {caveat[0]} denies" if denies else "")
    born = create(stage.top, shared=b"k")
    assert counts(stage, born, ALL)
    only_f = by(ALL, stage=stage, caveats=((5, ("f",)),))
    assert found(stage, born, only_f).verdict is Verdict.COUNTS, "it writes no field"


def test_what_nothing_issues_yet_is_inert(stage: Stage) -> None:
    event = Op(ops.OP_EMIT, 0, stage.task, (), ops.EmitEvent("x", 1))
    claim = Op(ops.OP_CLAIM, 0, stage.task, (), ops.Reserved(ops.OP_CLAIM, (1, 60)))
    for op in (event, claim):
        judgement = found(stage, op, by(ALL, stage=stage))
        assert judgement == Judgement(Verdict.VOID, "inert in this version")
