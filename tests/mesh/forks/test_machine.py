"""
Authors who fork wherever they like, and replicas to which it comes in any order.

The scenes of `test_model` try every order of a few pieces; here the pieces are drawn, too: each
entry continues any earlier one of its lane, by any grant, and comes to any hosts, now or late.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from capability import permissions
from capability.entry import LANE_AUTHORITY, LANE_DATA, Entry
from capability.ids import root_worknode
from tests.mesh.forks.town import HOSTS, Town, by_seed, first, founded, members, small_buffers
from tests.mesh.replica.hand import Hand, create, hand, put, root_hand

#: Members from the start, and those who depend on what these grant.
MEMBERS, GUESTS = ("mal", "dan"), ("gus", "hal")
AUTHORS = (*MEMBERS, *GUESTS)
#: Exactly as many dead entries as end a lane here, so that ends are met.
DEAD_MAX = 3

numbers = st.integers(0, 1_000)
#: How many entries before its last one an author goes on from: it forks, if that is not 0.
backs = st.sampled_from((0, 0, 0, 1, 1, 2, 3, 9))
to_hosts = st.integers(1, 7)


class Forks(RuleBasedStateMachine):
    """Three hosts in a line, five authors who are no hosts, and small rooms in half the runs."""

    @initialize(is_small=st.booleans())
    def found(self, is_small: bool) -> None:
        self.small = ExitStack()
        if is_small:
            self.small.enter_context(small_buffers())
        mesh = founded(dead_max=DEAD_MAX)
        base = members(mesh)
        root = root_hand(mesh)
        self.hands = {name: hand(mesh, name) for name in AUTHORS}
        base += [root.grant(self.hands[name]) for name in MEMBERS]
        made = create(root_worknode(mesh.id), shared=b"all")
        base.append(root.data(made, put(made.node, "a", "trunk")))
        self.hands["root"] = root
        #: Each lane's entries; a new one continues any of them.
        self.made: dict[tuple[str, int], list[Entry]] = {}
        self.leaves: dict[str, list[bytes]] = {name: [] for name in AUTHORS}
        self.leaves["root"] = [b""]
        for name in MEMBERS:
            self.leaves[name].append(self.hands[name].leaf)
        self.nodes = [made.node]
        self.start = {name: dict(each.tips) for name, each in self.hands.items()}
        self.late: list[Entry] = []
        self.town = Town(mesh, base, HOSTS)
        self.count = 0

    # -- what authors sign

    def pen(self, name: str, lane: int, after: int, leaf: int) -> Hand:
        """The author's hand after one of its entries: mostly its last, else it forks."""
        pen = self.hands[name].twin()
        pen.tips = dict(self.start[name])
        entries = self.made.get((name, lane), [])
        if after < len(entries):
            last = entries[-1 - after]
            pen.tips[lane] = (last.header.seq, last.id, last.header.hlc)
        leaves = self.leaves[name]
        pen.leaf = leaves[leaf % len(leaves)] if leaves else bytes([leaf % 3 + 1]) * 32
        return pen

    def signed(self, name: str, entry: Entry, hosts: int) -> None:
        made = self.made.setdefault((name, entry.header.lane), [])
        if entry in made:
            return
        made.append(entry)
        self.late.append(entry)
        self.bring(hosts, [entry])

    def bring(self, hosts: int, entries: Sequence[Entry]) -> None:
        for at, name in enumerate(HOSTS):
            if hosts >> at & 1:
                self.town.bring(name, entries)

    @rule(name=st.sampled_from(AUTHORS), after=backs, leaf=numbers, node=numbers, hosts=to_hosts)
    def write(self, name: str, after: int, leaf: int, node: int, hosts: int) -> None:
        """An author sets a field, and every third time makes a Worknode that others write below."""
        pen = self.pen(name, LANE_DATA, after, leaf)
        self.count += 1
        where = self.nodes[node % len(self.nodes)]
        ops = [put(where, "a", self.count)]
        if self.count % 3 == 0:
            born = create(where, own=(pen.author, self.count))
            self.nodes.append(born.node)
            ops = [born, put(born.node, "b", self.count)]
        self.signed(name, pen.data(*ops), hosts)

    @rule(
        name=st.sampled_from(AUTHORS),
        to=st.sampled_from(AUTHORS),
        after=backs,
        leaf=numbers,
        hosts=to_hosts,
    )
    def grant(self, name: str, to: str, after: int, leaf: int, hosts: int) -> None:
        pen = self.pen(name, LANE_AUTHORITY, after, leaf)
        entry = pen.grant(self.hands[to].author, perms=permissions.MEMBER)
        self.leaves[to].append(entry.id)
        self.signed(name, entry, hosts)

    @rule(
        name=st.sampled_from(("root", "root", *AUTHORS)),
        lane=st.tuples(st.sampled_from(AUTHORS), st.sampled_from((LANE_AUTHORITY, LANE_DATA))),
        ats=st.tuples(backs, backs),
        leaf=numbers,
        hosts=to_hosts,
    )
    def pin(
        self, name: str, lane: tuple[str, int], ats: tuple[int, int], leaf: int, hosts: int
    ) -> None:
        tip, after = ats
        entries = self.made.get(lane, [])
        if not entries:
            return
        # A root that forks voids the mesh: it always goes on from its last entry.
        pen = self.pen(name, LANE_AUTHORITY, 0 if name == "root" else after, leaf)
        self.signed(name, pen.pin(entries[-1 - tip % len(entries)]), hosts)

    # -- what becomes of it

    @rule(host=st.integers(0, 2), order=numbers, count=st.integers(1, 6))
    def show(self, host: int, order: int, count: int) -> None:
        """Entries come again, in some order, to whoever did not get them, too."""
        pool = self.late[-2 * count :]
        pool.sort(key=lambda entry: hash_of(entry, order))
        self.bring(1 << host, pool[:count])

    @rule(host=st.integers(0, 2), one=numbers, two=numbers)
    def prove(self, host: int, one: int, two: int) -> None:
        """A host is shown a proof alone."""
        pairs = list(self.forks())
        if pairs:
            first_half, second = pairs[(one + two) % len(pairs)]
            self.town.bring(HOSTS[host], [(first_half.signed_header, second.signed_header)])

    def forks(self) -> Iterator[tuple[Entry, Entry]]:
        for entries in self.made.values():
            by_prev: dict[bytes, list[Entry]] = {}
            for entry in entries:
                by_prev.setdefault(entry.header.prev, []).append(entry)
            for twins in by_prev.values():
                yield from pairwise(twins)

    @rule(host=st.integers(0, 2), with_snapshot=st.booleans())
    def restart(self, host: int, with_snapshot: bool) -> None:
        self.town.restart(HOSTS[host], with_snapshot=with_snapshot)

    @rule(steps=st.integers(1, 12), schedule=numbers)
    def exchange_a_little(self, steps: int, schedule: int) -> None:
        """Some messages arrive; the rest stays under way."""
        self.town.connect()
        self.town.step(by_seed(schedule), steps)

    @rule(schedule=numbers)
    def exchange(self, schedule: int) -> None:
        self.town.exchange(by_seed(schedule))

    @invariant()
    def all_follow_the_definitions(self) -> None:
        """At rest or not, with small rooms or not: verdicts follow from what is held."""
        self.town.follow_the_definitions()

    def teardown(self) -> None:
        with self.small:
            self.town.exchange(first)
            self.town.follow_the_definitions()


def hash_of(entry: Entry, order: int) -> bytes:
    """A key by which entries come in one of many orders."""
    return bytes(byte ^ (order * 37 & 255) for byte in entry.id[order % 7 :])


def test_whatever_comes_in_whatever_order_all_end_equal() -> None:
    run_state_machine_as_test(
        Forks, settings=settings(max_examples=40, stateful_step_count=25, deadline=None)
    )


@pytest.mark.slow
def test_whatever_comes_for_long() -> None:
    run_state_machine_as_test(
        Forks,
        settings=settings(
            max_examples=1_500, stateful_step_count=60, derandomize=False, deadline=None
        ),
    )
