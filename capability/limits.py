"""
Bounds of everything that is signed.

A verdict depends on these, so they are the same on every replica for ever: changing one is a
new rules version. Bounds that only protect one node's memory live in `mesh.core.limits`.
"""

from typing import Final

#: Longest wire form of one entry. Source: reference figure for reassembled entries, 256 KiB.
ENTRY_BYTES_MAX: Final = 256 * 1024
#: Longest header; a header has no variable part but integers, so this is generous.
HEADER_BYTES_MAX: Final = 256
#: Longest body: the entry less header, signature and msgpack framing.
BODY_BYTES_MAX: Final = ENTRY_BYTES_MAX - HEADER_BYTES_MAX - 64 - 16
#: Deepest nesting of a signed value.
DEPTH_MAX: Final = 16
#: Deepest nesting of a field's value: the body, its list of ops and the op are three levels.
VALUE_DEPTH_MAX: Final = DEPTH_MAX - 3
#: A decimal number and an attachment's media type, in bytes.
DECIMAL_BYTES_MAX: Final = 64
MEDIA_BYTES_MAX: Final = 128
#: Longest chain from a root key to a leaf. A guess: a founder, teams, their agents, what those
#: start, and tickets between them are seven.
CHAIN_DEPTH_MAX: Final = 8
#: Scopes in one grant, birth-key steps in one scope, caveats in one grant.
SCOPES_MAX: Final = 64
STEPS_MAX: Final = 64
CAVEATS_MAX: Final = 16
#: Rows in one pin: 1,024 authors are about 120 KiB, below `BODY_BYTES_MAX`.
PIN_ROWS_MAX: Final = 1024
#: A grant's label and a mesh's name, in UTF-8 bytes.
LABEL_BYTES_MAX: Final = 64
#: A Worknode's birth key and its position among its siblings, in bytes.
KEY_BYTES_MAX: Final = 64
POSITION_BYTES_MAX: Final = 64
#: References of one data entry and how many of them are evidence of heads.
REFS_MAX: Final = 4096
HEADS_MAX: Final = 16
#: Worknodes, names and operations of one data entry; an index of an op fits 16 bits.
NODES_MAX: Final = 4096
NAMES_MAX: Final = 4096
OPS_MAX: Final = 4096
#: Dots that one op cites, and dots that one op kills.
CITES_MAX: Final = 8
KILLS_MAX: Final = 1024
#: A field's or event type's name in UTF-8 bytes.
NAME_BYTES_MAX: Final = 128
#: Hard end of an authority lane (rule 3 of docs/formats.md): never limited by verdicts.
AUTHORITY_SEQ_MAX: Final = 1 << 20
#: Dead entries after which a data lane ends (docs/formats.md, rule 3). A guess: a day of them,
#: one a minute.
VOID_SUFFIX_MAX: Final = 1440
#: Limits that a genesis sets for its mesh.
GENESIS_LIMITS_MAX: Final = 64
#: Pins that a revocation or seal builds on, and the words it gives as its reason, in UTF-8 bytes.
BASE_PINS_MAX: Final = 64
REASON_BYTES_MAX: Final = 256
#: Ranges of one adopt.
ADOPTS_MAX: Final = 1024
#: Root keys of one mesh.
ROOTS_MAX: Final = 16
#: Entries in a ticket's chain: genesis, up to CHAIN_DEPTH_MAX links.
TICKET_CHAIN_MAX: Final = CHAIN_DEPTH_MAX + 1
#: A ticket before base32: it is pasted by hand, and goes whole into a joiner's first frames.
TICKET_BYTES_MAX: Final = 16 * 1024
#: Addresses in a ticket, and the longest host name that DNS allows.
TICKET_ADDRESSES_MAX: Final = 16
HOST_BYTES_MAX: Final = 253
#: Integers are below 2**63 in size, so that every language can hold them.
INT_MAX: Final = (1 << 63) - 1
#: "Does not expire": the greatest instant that the format can write, in ms.
NEVER_MS: Final = INT_MAX >> 16
