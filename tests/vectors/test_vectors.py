"""The production code makes and reads the bytes of the vectors, which a second encoder wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from capability import bodies, ops, reserved
from capability.data_body import build_data, decode_data, encode_data, parse_op
from capability.entry import (
    KIND_DATA,
    KIND_GENESIS,
    KIND_GRANT,
    KIND_PIN,
    decode_entry,
    make_entry,
    verify_entry,
)
from capability.ids import own_key, root_worknode, session_id, worknode_id
from capability.keys import SeedSigner
from capability.ops import Op
from capability.ticket import (
    Ticket,
    decode_ticket,
    join_proof,
    verify_join_proof,
    verify_ticket,
)
from tests.vectors import naive

HERE = Path(__file__).parent


def of_json(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"hex"}:
        return bytes.fromhex(value["hex"])
    if isinstance(value, dict):
        return {key: of_json(item) for key, item in value.items()}
    return tuple(of_json(item) for item in value) if isinstance(value, list) else value


def load(name: str) -> Any:
    return of_json(json.loads((HERE / f"{name}.json").read_text(encoding="utf-8")))


def named(name: str) -> Any:
    vectors = load(name)
    return pytest.mark.parametrize("vector", vectors, ids=[vector["name"] for vector in vectors])


def pin_rows(value: Any) -> tuple[bodies.PinRow, ...]:
    return tuple(bodies.PinRow(*row) for row in value)


def body_of(kind: int, value: Any) -> Any:
    """The production object that a vector's plain value means."""
    match kind:
        case 0:
            return bodies.Genesis(*value[1:])
        case 1:
            scopes = tuple(bodies.Scope(*scope) for scope in value[2])
            return bodies.Grant(*value[:2], scopes, *value[3:])
        case 3:
            return bodies.Pin(pin_rows(value[0]), value[1])
        case 2 | 4:
            return reserved.Cut(value[0], value[1], pin_rows(value[2]), *value[3:])
        case 5:
            return reserved.Adopt(tuple(reserved.Adoption(*row) for row in value))
        case 6:
            return reserved.Rotate(*value[:3], pin_rows(value[3]))
        case 7:
            return reserved.Rules(*value)
        case 8:
            return reserved.Quorum(*value)
        case _:
            return reserved.Checkpoint(pin_rows(value[0]), *value[1:])


def test_the_files_are_what_the_naive_encoder_writes() -> None:
    for name, content in naive.files().items():
        assert (HERE / name).read_text(encoding="utf-8") == content, name


@pytest.mark.parametrize("vector", load("authority") + load("data"), ids=lambda v: v["name"])
def test_entries_are_made_and_read_as_the_vectors_say(vector: Any) -> None:
    entry = make_entry(
        SeedSigner(vector["seed"]),
        mesh_id=vector["mesh"],
        lane=vector["lane"],
        seq=vector["seq"],
        prev=vector["prev"],
        hlc=vector["hlc"],
        kind=vector["kind"],
        leaf=vector["leaf"],
        body=vector["body"],
    )
    assert entry.header_bytes == vector["header"]
    assert entry.id == vector["id"]
    assert entry.signature == vector["signature"]
    assert entry.encode() == vector["entry"]
    assert decode_entry(vector["entry"]) == entry
    verify_entry(entry, entry.id if entry.header.kind == KIND_GENESIS else vector["mesh"])


@named("authority")
def test_authority_bodies_are_the_vectors(vector: Any) -> None:
    body = body_of(vector["kind"], vector["value"])
    decoder = {
        KIND_GENESIS: bodies.decode_genesis,
        KIND_GRANT: bodies.decode_grant,
        KIND_PIN: bodies.decode_pin,
    }[vector["kind"]]
    assert body.encode() == vector["body"]
    assert decoder(vector["body"]) == body


@named("reserved")
def test_reserved_bodies_are_the_vectors(vector: Any) -> None:
    body = body_of(vector["kind"], vector["value"])
    assert body.encode() == vector["body"]
    assert reserved.decode_reserved(vector["kind"], vector["body"]) == body


def expected_ops(nodes: tuple[bytes, ...], parent: bytes) -> list[Op]:
    """What the data vector says, op by op, in the words of the production code."""
    own = own_key(SeedSigner(naive.NODE).public, b"n" * 16)
    task, shared = worknode_id(parent, 0, own), worknode_id(parent, 1, b"import-7")
    assert set(nodes) == {task, shared}
    rich = load("data")[0]["value"][6][3][6]
    return [
        Op(1, 0, task, (), ops.Create(parent, 0, own, "task", 1, 0, b"\x80")),
        Op(1, 0, shared, ((0, 0),), ops.Create(parent, 1, b"import-7", "task", 1, 1, b"")),
        Op(2, 0, shared, (), ops.Move(task, b"\x81\x02")),
        Op(3, 60_000 << 16, task, (), ops.Register(0, "title", rich)),
        Op(4, 0, task, (), ops.MultiValue(1, "state", "ready", ((-1, 4), (0, 3), (2, 9)))),
        Op(5, 0, task, (), ops.SetAdd(0, "tags", "urgent", ())),
        Op(6, 0, task, (), ops.SetRemove(0, "tags", ((-2, 0), (0, 5)))),
        Op(7, 0, task, (), ops.Increment(2, "votes", -3)),
        Op(8, 0, task, (), ops.Append(0, "notes", b"bytes")),
        Op(9, 0, task, ((0, 0),), ops.Reserved(9, (1, 60_000))),
        Op(10, 0, task, (), ops.Reserved(10, (((0, 9),),))),
        Op(11, 0, task, ((0, 9),), ops.Reserved(11, (1, True, None))),
        Op(12, 0, task, (), ops.EmitEvent("task.seen", (0, 1, 2))),
        Op(13, 0, task, ((2, 4095),), ops.Reserved(13, (1, "good"))),
    ]


def test_a_data_body_with_every_op_is_the_vector() -> None:
    (vector,) = load("data")
    assert vector["kind"] == KIND_DATA
    session, refs, nheads, frontier, nodes, names, rows = vector["value"]
    data = decode_data(vector["body"])
    assert encode_data(data) == vector["body"]
    assert (data.session, data.refs, data.nheads) == (session, refs, nheads)
    assert (data.frontier, data.nodes, data.names, data.ops) == (frontier, nodes, names, rows)
    expected = expected_ops(nodes, root_worknode(vector["mesh"]))
    assert [parse_op(data, index) for index in range(len(rows))] == expected
    built = build_data(expected, session=session, refs=refs, nheads=nheads, frontier=frontier)
    assert built == data


def test_the_ticket_is_the_vector() -> None:
    vector = load("ticket")
    ticket = Ticket(*vector["value"][1:])
    assert ticket.encode() == vector["text"]
    assert decode_ticket(vector["text"]) == ticket
    facts = verify_ticket(ticket)
    assert facts.join_key == vector["join_key"]
    assert facts.uses == 1
    assert facts.exp_ms == ticket.exp_ms


def test_the_join_proof_is_the_vector() -> None:
    vector = load("ticket")
    mesh_id = vector["value"][1]
    where = {
        "mesh_id": mesh_id,
        "handshake_hash": vector["handshake_hash"],
        "node_key": vector["node_key"],
    }
    assert join_proof(SeedSigner(vector["value"][4]), **where) == vector["join_proof"]
    verify_join_proof(vector["join_key"], vector["join_proof"], **where)


@named("ids")
def test_ids_are_the_vectors(vector: Any) -> None:
    if "mesh" in vector:
        assert root_worknode(vector["mesh"]) == vector["id"]
    elif "session" in vector:
        assert session_id(vector["session"]) == vector["id"]
    else:
        assert worknode_id(vector["parent"], vector["class"], vector["key"]) == vector["id"]
    if "nonce" in vector:
        assert own_key(vector["author"], vector["nonce"]) == vector["key"]
