"""Fixed keys for the channel's tests, good ones and bad ones."""

from mesh.channel.noise import static_public

PROLOGUE = b"worknode-mesh/v1\0" + bytes(32)
INITIATOR_STATIC = bytes(range(32))
RESPONDER_STATIC = bytes(range(32, 64))
INITIATOR_EPHEMERAL = bytes(range(64, 96))
RESPONDER_EPHEMERAL = bytes(range(96, 128))
INITIATOR_PUBLIC = static_public(INITIATOR_STATIC)
RESPONDER_PUBLIC = static_public(RESPONDER_STATIC)

# Public keys of small order: what a hostile peer sends to force a known DH result.
# From the libsodium source, ref10 x25519, `has_small_order`; all give zero.
SMALL_ORDER_KEYS = (
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    b"\xec" + b"\xff" * 30 + b"\x7f",
    b"\xed" + b"\xff" * 30 + b"\x7f",
    b"\xee" + b"\xff" * 30 + b"\x7f",
)
