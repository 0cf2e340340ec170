from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capability import ids
from capability.ids import (
    CLASS_OWN,
    CLASS_SHARED,
    names_author,
    own_key,
    root_worknode,
    session_id,
    worknode_id,
)

AUTHOR = b"a" * 32


def test_every_use_has_a_domain_of_its_own_that_is_no_prefix_of_another() -> None:
    domains = [value for name, value in vars(ids).items() if name.startswith("DOMAIN_")]
    assert len(domains) == 11
    for one in domains:
        assert one.startswith(b"worknode-mesh/v1/")
        # One zero byte, at the end: no domain ‖ data can be another domain ‖ data.
        assert one.find(b"\0") == len(one) - 1
        assert domains.count(one) == 1


@given(st.binary(max_size=40))
def test_hashes_of_two_uses_never_agree(data: bytes) -> None:
    assert ids.entry_id(data) != ids.body_hash(data)


@given(
    st.tuples(st.binary(min_size=16, max_size=16), st.integers(0, 1), st.binary(max_size=64)),
    st.tuples(st.binary(min_size=16, max_size=16), st.integers(0, 1), st.binary(max_size=64)),
)
def test_a_worknode_id_is_one_birth(
    one: tuple[bytes, int, bytes], two: tuple[bytes, int, bytes]
) -> None:
    assert (worknode_id(*one) == worknode_id(*two)) == (one == two)


def test_the_root_worknode_is_nobodys_child() -> None:
    # A mesh id whose 17th byte is a class reads as parent ‖ class ‖ key.
    mesh_id = b"m" * 16 + bytes((CLASS_SHARED,)) + b"m" * 15
    assert root_worknode(mesh_id) != worknode_id(mesh_id[:16], CLASS_SHARED, mesh_id[17:])
    assert len(root_worknode(mesh_id)) == 16


def test_an_own_key_names_its_author_and_nobody_else() -> None:
    key = own_key(AUTHOR, b"n" * 16)
    assert names_author(CLASS_OWN, key, AUTHOR)
    assert not names_author(CLASS_OWN, key, b"b" * 32)
    assert not names_author(CLASS_SHARED, key, AUTHOR)
    assert not names_author(CLASS_OWN, AUTHOR, AUTHOR)
    assert not names_author(CLASS_OWN, key + b"x", AUTHOR)


def test_a_nonce_has_one_size() -> None:
    with pytest.raises(ValueError, match="16 bytes, got 15"):
        own_key(AUTHOR, b"n" * 15)


def test_the_default_session_has_the_empty_id() -> None:
    assert session_id("") == b""
    assert len(session_id("a")) == 16
    assert session_id("a") != session_id("b")
