"""Who may do what: keys, signed entries, capability chains and the verdicts drawn from them."""

from capability.bodies import (
    Genesis,
    Grant,
    Pin,
    PinRow,
    Scope,
    decode_genesis,
    decode_grant,
    decode_pin,
)
from capability.data_body import Data, build_data, decode_data, encode_data, parse_op
from capability.entry import (
    Entry,
    Header,
    SignedHeader,
    decode_entry,
    decode_header,
    decode_signed_header,
    make_entry,
    verify_entry,
)
from capability.errors import CapabilityError, FormError, SignatureRefused, TicketError
from capability.ids import root_worknode, session_id, worknode_id
from capability.keys import SeedSigner, Signer, self_test, verify
from capability.ops import Op
from capability.ticket import (
    Ticket,
    TicketFacts,
    decode_ticket,
    join_proof,
    verify_join_proof,
    verify_ticket,
)
from capability.values import Value, check_value

__all__ = [
    "CapabilityError",
    "Data",
    "Entry",
    "FormError",
    "Genesis",
    "Grant",
    "Header",
    "Op",
    "Pin",
    "PinRow",
    "Scope",
    "SeedSigner",
    "SignatureRefused",
    "SignedHeader",
    "Signer",
    "Ticket",
    "TicketError",
    "TicketFacts",
    "Value",
    "build_data",
    "check_value",
    "decode_data",
    "decode_entry",
    "decode_genesis",
    "decode_grant",
    "decode_header",
    "decode_pin",
    "decode_signed_header",
    "decode_ticket",
    "encode_data",
    "join_proof",
    "make_entry",
    "parse_op",
    "root_worknode",
    "self_test",
    "session_id",
    "verify",
    "verify_entry",
    "verify_join_proof",
    "verify_ticket",
    "worknode_id",
]
