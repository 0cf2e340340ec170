"""Bounds of the peer messages and of what gossip remembers. Each protects this node only."""

from typing import Final

from capability.limits import TICKET_CHAIN_MAX
from mesh.core.limits import MESSAGE_BYTES_MAX, WINDOW_BYTES

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
#: Authors of whom a link remembers whether they are pushed on it or announced, and a node whence
#: their entries come. Beyond, the oldest is forgotten: a duplicate at most, and a prune.
TREES_MAX: Final = 4096
#: Hops that a push or an announcement can tell; more are told as so many. A guess: the diameter of
#: a mesh of 10,000 nodes is below 20.
HOPS_MAX: Final = 255
#: Authors that have a number for announcements, per link and direction; beyond, all are named anew.
HAVE_AUTHORS_MAX: Final = 1024
#: Lanes of one announcement: with an author each, 43 KiB.
HAVES_MAX: Final = 1024
#: Lanes that wait to be announced on one link; beyond, the oldest is left to repair.
ANNOUNCED_MAX: Final = 4096
#: Lanes that one link has announced and that are awaited here; beyond, they are left to repair.
AWAITED_MAX: Final = 1024
#: Entries that one graft is answered with, in bytes, and one entry: as one window of repair.
GRAFT_BYTES_MAX: Final = WINDOW_BYTES
#: Lanes of one graft, authors of one prune.
GRAFTS_MAX: Final = 256
PRUNES_MAX: Final = 1024
#: Links on which one entry is announced; the next entry's turn begins with others. The paper tells
#: all, which on a full mesh is everybody by everybody; gossipsub's D_lazy is 6.
HAVE_LINKS_MAX: Final = 6
#: Announcements are gathered for this long, in ms. A guess: long enough that a burst is one
#: message, and that whoever announces first spares the other side its own; the push waits for none.
HAVE_DELAY_MS: Final = 50
#: What was announced and does not come by itself is asked for after this time, in ms. A guess, as
#: everybody's is; the paper, §3.7, wants the diameter's latency: five hops of 40 ms.
GRAFT_MS: Final = 250
#: If it then does not come, the next announcer is asked after this time, in ms. The paper, §3.7:
#: less than the first, about the round trip to a neighbour. A guess.
REGRAFT_MS: Final = 125
#: Grafts that a peer may leave unanswered; then its announcements mean nothing until it has pushed
#: something new: one question's worth if it wrote that itself, all if it relayed it. A guess.
UNANSWERED_MAX: Final = 16
#: An announcer so many hops nearer to the author takes the place of who pushed. The paper, §3.8,
#: takes 7 for one tree of 10,000 nodes.
OPTIMIZE_HOPS_MIN: Final = 3
#: Pushes in a row that brought nothing but what was held, until a link is asked for no more of
#: authors that it has not brought yet. With 2 the first entry of a new author often waits for a
#: graft, with 5 a mesh of 15 sends twice as many duplicates while it forms.
BARREN_MAX: Final = 3
#: Lanes that one link wants at once; the next exchange brings the rest.
WANTS_MAX: Final = 8192
#: Times that a want which does not move is tried again after others moved. An authority lane is
#: introduced by another one, `capability.limits.CHAIN_DEPTH_MAX` deep; this is twice as often.
PASSES_MAX: Final = 16
#: Lanes that wait for a bisection, per link.
BISECTIONS_MAX: Final = 64
#: Ids of one pinned branch that is being fetched, 6 MiB with what Python adds; of a longer one the
#: lowest, and the rest after these. A guess: a doubled home that wrote once a second for a day.
BRANCH_IDS_MAX: Final = 65_536
#: How long the way down from a tip may take before the branch is left to others that wait, in ms;
#: each time twice as long, up to the second. A branch of a day with one entry a second is 5,400
#: questions, 9 minutes at 100 ms each: it comes at the fifth try. Both are guesses.
BRANCH_WALK_MS_MIN: Final = 30_000
BRANCH_WALK_MS_MAX: Final = 3_600_000
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
