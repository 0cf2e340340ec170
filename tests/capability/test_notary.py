from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from capability.data_body import Data, encode_data
from capability.entry import KIND_DATA, KIND_ENCRYPTED, LANE_DATA, decode_entry, make_entry
from capability.errors import SignatureRefused
from capability.keys import SeedSigner
from capability.notary import ED25519, Notary, data_of

MESH = b"m" * 32
WHERE: dict[str, Any] = {"lane": LANE_DATA, "seq": 1, "prev": MESH, "hlc": 1, "kind": KIND_DATA}
ENTRY = make_entry(SeedSigner(b"a" * 32), mesh_id=MESH, leaf=b"", body=b"", **WHERE)
UNSIGNED = evolve(ENTRY, signature=bytes(64))


def test_a_node_reads_and_verifies_by_itself() -> None:
    assert ED25519.read is decode_entry
    ED25519.check(ENTRY, MESH)
    ED25519.check(ENTRY.signed_header, MESH)
    for refused, mesh in ((UNSIGNED, MESH), (UNSIGNED.signed_header, MESH), (ENTRY, b"x" * 32)):
        with pytest.raises(SignatureRefused):
            ED25519.check(refused, mesh)


def test_a_stand_in_is_asked_in_place_of_the_library() -> None:
    Notary(verify=lambda *_: True).check(UNSIGNED, MESH)
    with pytest.raises(SignatureRefused):
        Notary(verify=lambda *_: False).check(ENTRY, MESH)


def test_a_body_is_read_if_it_is_one_of_data() -> None:
    data = Data(b"", (), 0, b"", (), (), ())
    body = encode_data(data)
    signer, where = SeedSigner(b"a" * 32), {**WHERE, "mesh_id": MESH, "leaf": b""}
    assert data_of(make_entry(signer, **where, body=body)) == data
    assert data_of(make_entry(signer, **where, body=body + b"x")) is None
    where["kind"] = KIND_ENCRYPTED
    assert data_of(make_entry(signer, **where, body=body)) is None
