"""Engines that write, lose each other, crash and come back agree in the end, and lose nothing."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from mesh.core.inputs import Found
from mesh.core.writes import Create, SetRegister
from tests.mesh.swarm import check
from tests.mesh.swarm.stories import TOPOLOGIES, Story
from tests.mesh.swarm.world import World


@pytest.mark.parametrize("seed", range(30))
def test_random_histories_converge_and_lose_nothing(seed: int) -> None:
    story = Story(seed, 2 + seed % 4, TOPOLOGIES[seed % 3])
    for _ in range(60):
        story.act()
    story.ends_well()


class Histories(RuleBasedStateMachine):
    """The same acts, chosen by hypothesis, so that a failure is made small."""

    @initialize(
        seed=st.integers(0, 1 << 20), hosts=st.integers(2, 5), topology=st.sampled_from(TOPOLOGIES)
    )
    def begin(self, seed: int, hosts: int, topology: str) -> None:
        self.story = Story(seed, hosts, topology)

    @rule(times=st.integers(1, 8))
    def write(self, times: int) -> None:
        for _ in range(times):
            self.story.write()

    @rule(ms=st.sampled_from((1, 30, 300, 3_000, 20_000)))
    def wait(self, ms: int) -> None:
        self.story.world.run(ms)

    @rule()
    def partition(self) -> None:
        self.story.partition()

    @rule()
    def heal(self) -> None:
        self.story.heal()

    @rule()
    def cut(self) -> None:
        self.story.cut()

    @rule()
    def crash(self) -> None:
        self.story.crash()

    @rule()
    def crash_in_the_act(self) -> None:
        self.story.crash_in_the_act()

    @rule()
    def restart(self) -> None:
        self.story.restart()

    @rule()
    def disk_full(self) -> None:
        self.story.disk_full()

    def teardown(self) -> None:
        if hasattr(self, "story"):
            self.story.ends_well()


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=25, stateful_step_count=25)


def test_a_line_converges_although_its_ends_never_meet() -> None:
    world = World()
    world.join("bob", by="ann")
    check.converges(world)
    world.join("cec", by="bob")
    check.converges(world)
    ann, cec = world.hosts["ann"], world.hosts["cec"]
    world.partition(["ann"], ["bob"], ["cec"])
    root = ann.engine.replica.store.root
    for host in (ann, cec):
        for number in range(200):
            host.write(Create(root, "task", nonce=number.to_bytes(16, "big")))
    world.heal()
    check.converges(world)
    check.nothing_lost(world)
    assert len(ann.acknowledged) == len(cec.acknowledged) == 200
    assert {end.far[0] for (name, _), end in world.pipes.items() if name == "ann"} == {"bob"}


def test_two_that_dial_each_other_at_once_keep_one_link() -> None:
    world = World()
    world.join("bob", by="ann", meets=False)
    ann, bob = world.hosts["ann"], world.hosts["bob"]
    ann.batch([Found(bob.address, "test")])
    bob.batch([Found(ann.address, "test")])
    check.converges(world)
    world.run(120_000)
    assert len(world.links_of("ann")) == len(world.links_of("bob")) == 1


@pytest.mark.parametrize(
    ("hosts", "topology"), [(2, "line"), (3, "line"), (4, "ring"), (5, "full")]
)
def test_hosts_left_alone_only_compare(hosts: int, topology: str) -> None:
    story = Story(1, hosts, topology)
    for _ in range(20):
        story.write()
    check.converges(story.world)
    story.world.run(15_000)
    links = len(story.world.pipes) // 2
    with story.world.counting() as sent:
        story.world.run(60_000)
    assert set(sent) == {"Roots", "RootsReply"}
    # One comparison in five seconds and each link, a question and an answer.
    assert sum(sent.values()) <= 2 * 12 * links


def test_a_write_arrives_by_push_without_a_comparison() -> None:
    story = Story(2, 3, "line")
    ann, _, cec = story.world.up
    with story.world.counting() as sent:
        ann.write(SetRegister(story.node, 0, "title", "new"))
        story.world.run(200, until=lambda: check.agree(story.world))
    assert check.agree(story.world), "within two hops of at most 40 ms"
    assert sent == {"Push": 2}
    assert ann.acknowledged[-1] in cec.engine.replica.table.number
