from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capability import keys
from capability.edge_cases import EDGE_CASES
from capability.errors import CapabilityError
from capability.keys import SeedSigner, self_test, verify


def test_the_library_answers_the_edge_cases_as_every_node_must() -> None:
    self_test()


def test_there_are_twelve_edge_cases_of_which_the_fourth_is_a_signature() -> None:
    assert [case.accepted for case in EDGE_CASES] == [number == 3 for number in range(12)]


def test_a_library_with_other_verdicts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "verify", lambda public, data, signature: True)
    with pytest.raises(CapabilityError, match=r"accepts edge case 0 \(S = 0"):
        self_test()
    monkeypatch.setattr(keys, "verify", lambda public, data, signature: False)
    with pytest.raises(CapabilityError, match="refuses edge case 3"):
        self_test()


def test_a_library_that_signs_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SeedSigner, "sign", lambda self, data: bytes(64))
    with pytest.raises(CapabilityError, match="RFC 8032"):
        self_test()


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=64))
def test_a_signature_verifies_under_its_key_and_data_only(seed: bytes, data: bytes) -> None:
    signer = SeedSigner(seed)
    signature = signer.sign(data)
    assert verify(signer.public, data, signature)
    assert not verify(signer.public, data + b"x", signature)
    assert not verify(SeedSigner(b"other seed".ljust(32)).public, data, signature)


def test_a_signature_is_cut_from_the_data_at_one_place() -> None:
    """Shorter or longer, it would be the signature of other data."""
    signer = SeedSigner(b"s" * 32)
    signature = signer.sign(b"data")
    assert not verify(signer.public, signature[-1:] + b"data", signature[:-1])
    assert not verify(signer.public, b"ata", signature + b"d")


@given(st.binary(max_size=70), st.binary(max_size=9), st.binary(max_size=70))
def test_verify_never_raises(public: bytes, data: bytes, signature: bytes) -> None:
    assert not verify(public, data, signature)


def test_a_seed_of_another_size_is_refused() -> None:
    with pytest.raises(CapabilityError, match="32 bytes, got 31"):
        SeedSigner(bytes(31))


def test_the_repr_of_a_signer_shows_no_secret() -> None:
    signer = SeedSigner(b"s" * 32)
    assert repr(signer) == f"SeedSigner({signer.public.hex()[:8]}…)"
