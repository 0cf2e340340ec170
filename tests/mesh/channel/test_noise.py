"""The Noise state machine against the paper, the published vector and a second implementation."""

import json
from pathlib import Path
from typing import Any

import pytest
from nacl.bindings import crypto_aead_chacha20poly1305_ietf_encrypt

from mesh.channel.errors import NoiseError
from mesh.channel.noise import NONCE_MAX, PROTOCOL_NAME, CipherState, HandshakeState, static_public
from tests.mesh.channel.keys import (
    INITIATOR_EPHEMERAL,
    INITIATOR_PUBLIC,
    INITIATOR_STATIC,
    PROLOGUE,
    RESPONDER_EPHEMERAL,
    RESPONDER_PUBLIC,
    RESPONDER_STATIC,
    SMALL_ORDER_KEYS,
)

VECTORS = Path(__file__).parents[3].parent / "shared" / "data" / "vectors" / "noise_xx_snow.json"


def start(*, is_initiator: bool, prologue: bytes = PROLOGUE) -> HandshakeState:
    return HandshakeState.start(
        is_initiator=is_initiator,
        prologue=prologue,
        static_key=INITIATOR_STATIC if is_initiator else RESPONDER_STATIC,
        ephemeral_key=INITIATOR_EPHEMERAL if is_initiator else RESPONDER_EPHEMERAL,
    )


def finished_pair() -> tuple[HandshakeState, HandshakeState]:
    left, right = start(is_initiator=True), start(is_initiator=False)
    right.read_message(left.write_message(b""))
    left.read_message(right.write_message(b"two"))
    right.read_message(left.write_message(b"three"))
    return left, right


def check_vector(vector: dict[str, Any]) -> None:
    sides = [
        HandshakeState.start(
            is_initiator=side == "init",
            prologue=bytes.fromhex(vector[f"{side}_prologue"]),
            static_key=bytes.fromhex(vector[f"{side}_static"]),
            ephemeral_key=bytes.fromhex(vector[f"{side}_ephemeral"]),
        )
        for side in ("init", "resp")
    ]
    messages = [
        (bytes.fromhex(item["payload"]), bytes.fromhex(item["ciphertext"]))
        for item in vector["messages"]
    ]
    for step, (payload, ciphertext) in enumerate(messages[:3]):
        writer, reader = sides[step % 2], sides[1 - step % 2]
        assert writer.write_message(payload) == ciphertext
        assert reader.read_message(ciphertext) == payload
    assert sides[0].handshake_hash == sides[1].handshake_hash
    ciphers = [side.split() for side in sides]
    assert len(messages) > 3
    for step, (payload, ciphertext) in enumerate(messages[3:], start=3):
        assert ciphers[step % 2][0].encrypt(b"", payload) == ciphertext
        assert ciphers[1 - step % 2][1].decrypt(b"", ciphertext) == payload


@pytest.mark.skipif(not VECTORS.exists(), reason=f"no published vectors at {VECTORS}")
def test_published_vector_passes_with_its_transport_messages() -> None:
    vectors = json.loads(VECTORS.read_text())["vectors"]
    (ours,) = [v for v in vectors if v["protocol_name"].encode() == PROTOCOL_NAME]
    check_vector(ours)


def test_both_sides_learn_the_static_keys_and_the_same_hash() -> None:
    left, right = finished_pair()
    assert left.remote_static == RESPONDER_PUBLIC
    assert right.remote_static == INITIATOR_PUBLIC
    assert left.handshake_hash == right.handshake_hash
    assert left.step == right.step == 3


def test_static_public_is_x25519_of_the_base_point() -> None:
    # RFC 7748, section 6.1: Alice's keys.
    private = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"
    public = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    assert static_public(bytes.fromhex(private)).hex() == public


@pytest.mark.parametrize("key", SMALL_ORDER_KEYS, ids=lambda key: key.hex()[:8])
def test_zero_dh_result_is_refused(key: bytes) -> None:
    right = start(is_initiator=False)
    # Message 1 holds no DH yet; the first one is made on writing message 2.
    right.read_message(key)
    with pytest.raises(NoiseError, match="small order"):
        right.write_message(b"")


@pytest.mark.parametrize("key", SMALL_ORDER_KEYS, ids=lambda key: key.hex()[:8])
def test_zero_dh_result_is_refused_by_the_initiator(key: bytes) -> None:
    left = start(is_initiator=True)
    left.write_message(b"")
    with pytest.raises(NoiseError, match="small order"):
        left.read_message(key + bytes(64))


def test_another_prologue_fails_at_message_two() -> None:
    left, right = start(is_initiator=True), start(is_initiator=False, prologue=b"another")
    right.read_message(left.write_message(b""))
    with pytest.raises(NoiseError, match="wrong tag"):
        left.read_message(right.write_message(b""))


@pytest.mark.parametrize("size", [0, 31])
def test_message_too_short_for_a_key_is_refused(size: int) -> None:
    with pytest.raises(NoiseError, match="where a key needs 32"):
        start(is_initiator=False).read_message(bytes(size))


def test_message_over_the_noise_limit_is_refused() -> None:
    start(is_initiator=False).read_message(bytes([9]) + bytes(65_534))
    with pytest.raises(NoiseError, match="65536"):
        start(is_initiator=False).read_message(bytes([9]) + bytes(65_535))


def test_wrong_tag_does_not_advance_the_nonce() -> None:
    sending, receiving = (state.split() for state in finished_pair())
    ciphertext = sending[0].encrypt(b"", b"hello")
    with pytest.raises(NoiseError, match="wrong tag"):
        receiving[1].decrypt(b"", ciphertext[:-1] + bytes([ciphertext[-1] ^ 1]))
    with pytest.raises(NoiseError, match="cannot hold a tag"):
        receiving[1].decrypt(b"", ciphertext[:15])
    assert receiving[1].nonce == 0
    assert receiving[1].decrypt(b"", ciphertext) == b"hello"


def test_associated_data_is_authenticated() -> None:
    sending, receiving = CipherState(bytes(32)), CipherState(bytes(32))
    ciphertext = sending.encrypt(b"this", b"hello")
    with pytest.raises(NoiseError, match="wrong tag"):
        receiving.decrypt(b"that", ciphertext)


def test_last_nonce_is_reserved() -> None:
    sending, receiving = CipherState(bytes(32), NONCE_MAX), CipherState(bytes(32), NONCE_MAX)
    assert receiving.decrypt(b"", sending.encrypt(b"", b"last")) == b"last"
    with pytest.raises(NoiseError, match="used up"):
        sending.encrypt(b"", b"one too many")
    with pytest.raises(NoiseError, match="used up"):
        receiving.decrypt(b"", bytes(16))


def test_rekey_is_the_papers_function_and_keeps_the_nonce() -> None:
    key = bytes(range(32))
    state = CipherState(key)
    state.encrypt(b"", b"")
    state.rekey()
    nonce = bytes(4) + b"\xff" * 8
    fresh = crypto_aead_chacha20poly1305_ietf_encrypt(bytes(32), b"", nonce, key)[:32]
    assert state.nonce == 1
    assert state.encrypt(b"", b"x") == CipherState(fresh, 1).encrypt(b"", b"x")


def test_keys_do_not_show_in_representations() -> None:
    left, _ = finished_pair()
    for state in (left, *left.split()):
        text = repr(state)
        assert repr(INITIATOR_STATIC) not in text
        assert repr(INITIATOR_EPHEMERAL) not in text
        assert "_key=" not in text
