"""
Bounds that protect one node. Each has a name, a value and a reason; none decides a verdict.

Bounds that verdicts depend on are in `capability.limits` and never change within a rules version.
"""

from typing import Final

#: How far an entry may be ahead of this node's wall clock before its lane is parked, in ms.
#: Source: UCAN recommends ±60 s; laptops drift less than that.
SKEW_MS_MAX: Final = 60_000
#: LOCAL writes are sealed at most this long after they were made, in ms.
FLUSH_INTERVAL_MS: Final = 10_000
#: LOCAL rows that wait to be sealed; beyond, they are sealed at once.
PENDING_ROWS_MAX: Final = 10_000
#: Remembered entries of LOCAL rows that were sealed before a peer's word, over all starts until one
#: speaks. A guess: the rows of one start.
EARLY_ENTRIES_MAX: Final = 10_000
#: Operations in one sealed group; below `capability.limits.OPS_MAX`, so that bodies stay small.
GROUP_OPS_MAX: Final = 1_000
#: Bytes of encoded ops at which a group is sealed: an entry stays well below its own bound.
GROUP_BYTES_MAX: Final = 64 * 1024
#: Inputs that one engine batch takes before it commits.
BATCH_INPUTS_MAX: Final = 256
#: Inputs that wait for the engine; beyond, links and doors are made to wait.
INBOX_MAX: Final = 1_024
#: A deadline that does not move after its `Tick` is tried again no sooner than this, in ms.
TICK_MS_MIN: Final = 5
#: Entries ahead of a gap (deferred), all authors together, in entries and bytes.
DEFERRED_ENTRIES_MAX: Final = 10_000
DEFERRED_BYTES_MAX: Final = 16 * 1024 * 1024
#: Entries of authors who are not introduced (waiting room).
WAITING_ENTRIES_MAX: Final = 1_000
WAITING_BYTES_MAX: Final = 8 * 1024 * 1024
#: Entries of pinned branches that are on their way: one question on each link.
EXPECTED_MAX: Final = 16_384
#: Remembered refusals, for `status` and `doctor`.
REFUSALS_KEPT_MAX: Final = 100
#: One peer message, encoded. Entries are at most 256 KiB, a range fits a few of these.
MESSAGE_BYTES_MAX: Final = 1024 * 1024
#: Bytes of entries that one `get` asks for; the next window is asked for when it has arrived.
WINDOW_BYTES: Final = 256 * 1024
#: Links at once; above 16 nodes not every pair is linked.
LINKS_MAX: Final = 64
#: Known peers that are remembered.
PEERS_MAX: Final = 1_024
#: Addresses that are remembered per peer.
ADDRESSES_MAX: Final = 8
#: Redial back-off, in ms: doubles from the first to the second, with ±25 % jitter, for ever.
#: After a heal three nodes must meet within 10 s. With 15 s as the most, one heal in ten of a long
#: cut took more than 9 s (worst 17); with 5 s the worst of 20,000 took 6.7 s, with dials of 3 s.
REDIAL_MS_MIN: Final = 500
REDIAL_MS_MAX: Final = 5_000
#: Anti-entropy: roots are compared with each link at least this often, in ms.
REPAIR_INTERVAL_MS: Final = 5_000
#: A repair that has not moved for this long is given up and started anew, in ms.
REPAIR_TIMEOUT_MS: Final = 20_000
#: Heart-beat of a link and the silence after which it is closed, in ms. Source: a silently cut
#: TCP connection resumes 12 s late after a 15 s cut, a fresh one takes 1 ms.
HEARTBEAT_MS: Final = 1_000
SILENCE_MS_MAX: Final = 4_000
#: Bytes that wait to be sent on one link; beyond, repair pauses and pushes are dropped (they are
#: announced later).
OUTBOX_BYTES_MAX: Final = 4 * 1024 * 1024
#: Events kept for subscribers who come back; older ones are answered with `reset`.
EVENTS_KEPT_MAX: Final = 100_000
#: Depth of the tree at creation (R5.1 is for tasks; this bound is the walk's).
TREE_DEPTH_MAX: Final = 256
#: A text field's value in UTF-8 bytes; longer text belongs in an attachment.
TEXT_BYTES_MAX: Final = 64 * 1024
