"""Bounds of the peer messages and of what gossip remembers. Each protects this node only."""

from typing import Final

from capability.limits import TICKET_CHAIN_MAX
from mesh.core.limits import MESSAGE_BYTES_MAX

#: The first message of a link, which nobody has vouched for yet: a ticket's chain and some text.
HELLO_BYTES_MAX: Final = 64 * 1024
#: Short text of a hello or goodbye (software, region, name, reason), in UTF-8 bytes.
TEXT_BYTES_MAX: Final = 64
REASON_BYTES_MAX: Final = 200
#: A host name or address literal. Source: RFC 1035 §2.3.4, 253 visible characters.
HOST_BYTES_MAX: Final = 253
#: Extension pairs of a hello.
EXT_PAIRS_MAX: Final = 16
#: Entries that a joiner shows: its ticket's chain and its own member grant.
JOIN_CHAIN_MAX: Final = TICKET_CHAIN_MAX + 1
#: Rows of one part: at most 115 bytes each, mostly 77, so that a part is at most 64 KiB.
ROWS_MAX: Final = 560
#: Parts of one list of rows: over a million rows, far above PEERS_MAX authors in two lanes.
PARTS_MAX: Final = 2048
#: Ranges of one `get`, ids of one `get by id`.
RANGES_MAX: Final = 256
IDS_MAX: Final = 256
#: Sequence numbers of one `get headers`: a bisection among n entries takes log₁₇ n rounds.
HEADERS_MAX: Final = 16
#: Entries of one push or one answer; an empty data entry is about 260 bytes.
ENTRIES_MAX: Final = 4096
#: Entries of one push, in bytes: framing fits into the message.
PUSH_BYTES_MAX: Final = MESSAGE_BYTES_MAX - 64 * 1024
#: Lanes of which a link remembers what its peer has, for the push. Beyond, the oldest is forgotten.
KNOWN_LANES_MAX: Final = 4096
#: Lanes that one link wants at once; the next exchange brings the rest.
WANTS_MAX: Final = 8192
#: Times that a want which does not move is tried again after others moved. An authority lane is
#: introduced by another one, `capability.limits.CHAIN_DEPTH_MAX` deep; this is twice as often.
PASSES_MAX: Final = 16
#: Lanes that wait for a bisection, per link.
BISECTIONS_MAX: Final = 64
#: Questions of one bisection: log₂ of the longest lane, though a question halves it four times.
BISECTION_STEPS_MAX: Final = 64
#: Fork proofs of which a link remembers that its peer has them.
PROOFS_KNOWN_MAX: Final = 1024
#: Common roots that are remembered, all peers together.
COMMON_ROOTS_MAX: Final = 1024
#: A lane asked of one link is not asked of another for this long, in ms. A guess: a window takes
#: 2 s at 1 Mbit/s.
IN_FLIGHT_MS_MAX: Final = 10_000
#: After something has moved and then been quiet for this long, roots are compared without waiting
#: for the interval: "in sync" is then true when people look. A burst costs one comparison.
SETTLE_MS: Final = 500
#: Longest pause of repair with a peer that does not keep what its rows promise, in ms.
REPAIR_BACKOFF_MS_MAX: Final = 60_000
#: Nodes of which one message tells where they listen; `mesh.core.limits.LINKS_MAX` are linked.
PEERS_TOLD_MAX: Final = 64
#: One link's telling is heard up to PEERS_TOLD_MAX nodes in this time, in ms: each may be dialled,
#: so that a member could otherwise aim this node's dials wherever and as often as it likes.
TOLD_INTERVAL_MS: Final = 60_000
#: Dials under way at once.
DIALS_MAX: Final = 16
#: A dial of which nothing was heard for this long counts as failed, in ms. A guess: the driver
#: gives up earlier; this bound keeps a lost answer from stopping the redialling.
DIAL_MS_MAX: Final = 30_000
#: Addresses to which no node is known yet, and own addresses that must not be dialled.
HINTS_MAX: Final = 64
OWN_ADDRESSES_MAX: Final = 64
#: What is remembered of one peer, encoded.
PEER_BYTES_MAX: Final = 4096
