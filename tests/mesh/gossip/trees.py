"""
One tree for each author, or one for all? What each costs: `python -m tests.mesh.gossip.trees`.

For every overlay: payloads over those needed, the last delivery hop and the 50th and 100th
percentile of the time that an entry took, while the trees form and when they have; then the
payloads under churn. All nodes write, one entry a second each, over links of 5 to 19 ms.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Final

from capability.entry import Entry
from mesh.gossip import broadcast
from mesh.gossip.tree import Link
from tests.mesh.gossip.network import FULL15, MESH15, Edge, Network, random_graph

_OVERLAYS: Final[list[tuple[str, int, list[Edge]]]] = [
    ("mesh15", 15, MESH15),
    ("full15", 15, FULL15),
    ("random50", 50, random_graph(50, 6, 1)),
]


class OneForAll(dict[bytes, bool]):
    """A table of authors that has one place for all of them."""

    def get(self, key: bytes, default: bool) -> bool:  # type: ignore[override]
        return super().get(b"", default)

    def pop(self, key: bytes, default: object = None) -> object:  # type: ignore[override]
        return super().pop(b"", default)

    def __setitem__(self, key: bytes, value: bool) -> None:
        super().__setitem__(b"", value)

    def __contains__(self, key: object) -> bool:
        return super().__contains__(b"")


def _shared_link() -> Link:
    return Link(eager=OneForAll(), refused=OneForAll())  # type: ignore[arg-type]


def _per_author() -> None:
    pass


def _without_rest() -> None:
    broadcast.BARREN_MAX = 1 << 60  # type: ignore[misc]


def _shared() -> None:
    _without_rest()
    broadcast.Link = _shared_link  # type: ignore[misc,assignment]
    loser = broadcast.Broadcast._loser

    def without_privilege(
        self: broadcast.Broadcast, link: int, _: bytes, author: bytes
    ) -> int | None:
        # No author's own link is kept where the tree is everybody's.
        return loser(self, link, b"", author)

    broadcast.Broadcast._loser = without_privilege  # type: ignore[method-assign]


_VARIANTS: Final[dict[str, Callable[[], None]]] = {
    "per-author": _per_author,
    "without-rest": _without_rest,
    "shared": _shared,
}


def _write(net: Network, rounds: int, nodes: int) -> list[Entry]:
    entries = []
    for _ in range(rounds):
        order = list(range(nodes))
        net.random.shuffle(order)
        for node in order:
            entries += net.write(node)
            net.run(1_000 // nodes)
    net.run(500)
    return entries


def _line(net: Network, entries: Sequence[Entry], what: str) -> None:
    wrote_ms = {entry.id: min(_times(net, entry)) for entry in entries}
    took = sorted(at - wrote_ms[entry.id] for entry in entries for at in _times(net, entry))
    costs = net.measure()
    print(
        f"  {what:8} payloads x{costs.ratio:.3f}  last hop {costs.last_hop}  "
        f"ms {took[len(took) // 2]}, {took[-1]}  "
        f"announced {costs.haves / len(entries):.1f} per entry, "
        f"{costs.have_bytes / max(costs.haves, 1):.1f} B each"
    )


def _times(net: Network, entry: Entry) -> list[int]:
    nodes = range(len(net.peers))
    return [net.arrived_ms[n, entry.id] for n in nodes if (n, entry.id) in net.arrived_ms]


def _churn(net: Network, nodes: int, seconds: int) -> None:
    """One node in twenty fails in each second, and is back after two."""
    back_ms: dict[int, int] = {}
    for turn in range(seconds * nodes):
        for node in [node for node, at in back_ms.items() if at <= net.now_ms]:
            del back_ms[node]
            net.restart(node)
        if turn % 20 == 0:
            victim = net.random.choice([n for n in range(nodes) if n not in net.down])
            net.fail(victim)
            back_ms[victim] = net.now_ms + 2_000
        writer = net.random.randrange(nodes)
        if writer not in net.down:
            net.write(writer)
        net.run(1_000 // nodes)
    print(f"  {'churn':8} payloads x{net.measure().ratio:.3f}")


def main(names: Sequence[str]) -> None:
    for name in names or _VARIANTS:
        _VARIANTS[name]()
        for overlay, nodes, edges in _OVERLAYS:
            print(f"{name}, {overlay}:")
            net = Network(nodes, edges, seed=1)
            net.run(500)
            _line(net, _write(net, 3, nodes), "forming")
            _line(net, _write(net, 3, nodes), "formed")
            _churn(net, nodes, 30 if nodes < 20 else 4)


if __name__ == "__main__":
    main(sys.argv[1:])
