"""A home that is put back from a copy seals no LOCAL write that it had sealed before."""

from __future__ import annotations

import pytest

from mesh.core.inputs import LOCAL
from mesh.core.records import PutMeta
from mesh.core.writes import Append, Create, Increment
from mesh.replica.found import META_FOUND
from mesh.replica.pending import META_EARLY
from mesh.replica.writer import Submitted
from mesh.worknode import reading
from mesh.worknode.cells import LOG
from simulations.disk import Disk
from simulations.doctor import repair
from simulations.host import Host
from simulations.run import is_settled, recover
from simulations.watch import Watcher
from simulations.world import World


class Answers(Watcher):
    """What was created."""

    def __init__(self) -> None:
        self.created: list[bytes] = []

    def answered(self, host: object, reply: object) -> None:
        value = getattr(reply, "value", None)
        if isinstance(value, Submitted):
            self.created += value.created


def three_hosts() -> tuple[World, bytes]:
    world, answers = World(seed=4), Answers()
    world.watch.add(answers)
    world.spawn(3)
    world.run(until_s=8)
    root = world.hosts[0].running.replica.store.root
    world.submit(world.hosts[0], Create(root, "task", nonce=bytes(16)))
    world.run(until_s=10)
    return world, answers.created[0]


def found_alone() -> tuple[World, bytes]:
    """The third host has found a row, 3 spent, and can reach nobody."""
    world, node = three_hosts()
    host = world.hosts[2]
    world.submit(host, Increment(node, 0, "spent", 3), level=LOCAL)
    world.run(until_s=11)
    host.die()
    world.partition({0, 1}, {2})
    host.start()
    world.run(until_s=12)
    return world, node


@pytest.mark.parametrize("alone_s", [0.0, 25.0])
@pytest.mark.parametrize("more", [0, 2])
def test_a_row_that_was_sealed_is_not_sealed_again(alone_s: float, more: int) -> None:
    world, node = three_hosts()
    host = world.hosts[2]
    world.submit(host, Increment(node, 0, "spent", 3), level=LOCAL)
    world.submit(host, Append(node, 0, "notes", "once"), level=LOCAL)
    world.run(until_s=11)
    backup = host.disk.copied()
    assert backup.store.pending()
    for _ in range(more):
        # They coalesce with the row, so that what is sealed is later and larger than what was kept.
        world.submit(host, Increment(node, 0, "spent", 5), level=LOCAL)
    world.run(until_s=30)
    assert is_settled(world)
    assert not host.disk.store.pending()
    host.die()
    host.disk.replace(backup.store)
    world.doctor.call()
    if alone_s:
        world.partition({0, 1}, {2}, during=(world.now_s, world.now_s + alone_s))
    host.start()
    world.run(until_s=world.now_s + alone_s + 30)
    recover(world)
    for one in world.hosts:
        seen = reading.look(one.running.replica, node)
        assert seen.total(0, "spent") == 3 + 5 * more
    store = world.hosts[0].running.replica.store
    notes = [value for _, value in store.cell(node, (0, "notes", LOG)).dots.values()]
    assert notes == ["once"]


def test_rows_that_nobody_has_sealed_are_sealed_when_a_peer_has_spoken() -> None:
    world, node = three_hosts()
    host = world.hosts[2]
    world.submit(host, Increment(node, 0, "spent", 3), level=LOCAL)
    world.run(until_s=11)
    host.die()
    world.partition({0, 1}, {2}, during=(11.0, 40.0))
    host.start()
    world.run(until_s=12)
    world.submit(host, Increment(node, 0, "spent", 4), level=LOCAL)
    world.submit(host, Increment(node, 0, "lines", 1), level=LOCAL)
    world.run(until_s=39)
    # What was found waits for a peer, and so does what was written to its cell since; what was
    # written to another is sealed by itself.
    assert [row.write.name for row in host.running.replica.pending.of_node(node)] == ["spent"] * 2
    assert len(host.disk.store.pending()) == 2
    recover(world)
    assert not host.disk.store.pending()
    for one in world.hosts:
        assert reading.look(one.running.replica, node).total(0, "spent") == 7


def test_a_peer_that_knew_nothing_of_this_log_tells_when_it_is_equal() -> None:
    world = World(seed=9)
    answers = Answers()
    world.watch.add(answers)
    world.spawn(2)
    world.run(until_s=8)
    one, host = world.hosts
    world.partition({0}, {1}, during=(8.0, 40.0))
    root = host.running.replica.store.root
    world.run(until_s=14)
    world.submit(host, Create(root, "task", nonce=bytes(16)))
    world.run(until_s=15)
    world.submit(host, Increment(answers.created[0], 0, "spent", 3), level=LOCAL)
    world.run(until_s=16)
    host.die()
    host.start()
    world.run(until_s=60)
    assert not host.disk.store.pending()
    recover(world)
    assert reading.look(one.running.replica, answers.created[0]).total(0, "spent") == 3


def put_back_alone(world: World, host: Host, backup: Disk) -> None:
    """The copy takes the place of the host's disk, and nobody can be reached."""
    host.die()
    host.disk.replace(backup.store)
    world.doctor.call()
    world.partition({0, 1}, {2})
    host.start()
    world.run(until_s=world.now_s + 1)


def notes_of(host: Host, node: bytes) -> list[object]:
    return [value for _, _, value in reading.log(host.running.replica, node, 0, "notes")]


@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize("more", [0, 2])
def test_a_row_that_an_operation_sealed_off_line_is_there_once(
    more: int, is_restarted: bool
) -> None:
    world, node = three_hosts()
    host = world.hosts[2]
    world.submit(host, Increment(node, 0, "spent", 3), level=LOCAL)
    world.submit(host, Append(node, 0, "notes", "once"), level=LOCAL)
    world.run(until_s=11)
    backup = host.disk.copied()
    for _ in range(more):
        world.submit(host, Increment(node, 0, "spent", 5), level=LOCAL)
    world.run(until_s=30)
    put_back_alone(world, host, backup)
    # It names the Worknode of the rows, so they are sealed with it, before a peer could tell.
    world.submit(host, Append(node, 0, "notes", "own"))
    world.submit(host, Increment(node, 0, "spent", 100))
    world.run(until_s=world.now_s + 1)
    assert not host.disk.store.pending()
    world.submit(host, Append(node, 0, "notes", "later"), level=LOCAL)
    world.run(until_s=world.now_s + 20)
    if is_restarted:
        host.die()
        host.start()
    recover(world)
    for one in world.hosts:
        assert reading.look(one.running.replica, node).total(0, "spent") == 103 + 5 * more
        assert notes_of(one, node) == ["once", "own", "later"]


def test_a_row_that_was_sealed_off_line_only_is_not_lost() -> None:
    world, node = three_hosts()
    host = world.hosts[2]
    world.submit(host, Increment(node, 0, "spent", 3), level=LOCAL)
    world.submit(host, Append(node, 0, "notes", "once"), level=LOCAL)
    world.run(until_s=11)
    backup = host.disk.copied()
    # The log goes on, and so does the mesh; the rows die with the disk.
    world.submit(host, Create(host.running.replica.store.root, "task", nonce=bytes(16)))
    world.run(until_s=12)
    assert is_settled(world) and host.disk.store.pending()
    put_back_alone(world, host, backup)
    world.submit(host, Append(node, 0, "notes", "own"))
    world.run(until_s=world.now_s + 1)
    assert not host.disk.store.pending()
    recover(world)
    for one in world.hosts:
        assert reading.look(one.running.replica, node).total(0, "spent") == 3
        assert notes_of(one, node) == ["once", "own"]


@pytest.mark.parametrize("more", [0, 2])
@pytest.mark.parametrize("is_overlaid", [False, True])
def test_a_copy_of_a_home_that_waited_seals_nothing_twice(is_overlaid: bool, more: int) -> None:
    world, node = found_alone()
    host = world.hosts[2]
    world.submit(host, Increment(node, 0, "lines", 1), level=LOCAL)
    world.submit(host, Append(node, 0, "notes", "once"), level=LOCAL)
    world.run(until_s=13)
    backup = host.disk.copied()
    assert len(backup.store.pending()) == 3
    for _ in range(more):
        world.submit(host, Increment(node, 0, "lines", 5), level=LOCAL)
    recover(world)
    put_back_alone(world, host, backup)
    if is_overlaid:
        world.submit(host, Append(node, 0, "notes", "own"))
    world.run(until_s=world.now_s + 25)
    recover(world)
    for one in world.hosts:
        assert reading.look(one.running.replica, node).total(0, "spent") == 3
        assert reading.look(one.running.replica, node).total(0, "lines") == 1 + 5 * more
        assert notes_of(one, node) == ["once", "own"][: 1 + is_overlaid]


def test_what_was_found_is_never_sealed_after_a_later_write_to_its_cell() -> None:
    # Else the later one would be taken for the row, coalesced, and the row be dropped.
    world, node = found_alone()
    host = world.hosts[2]
    world.submit(host, Increment(node, 0, "spent", 4), level=LOCAL)
    world.submit(host, Append(node, 0, "notes", "elsewhere"), level=LOCAL)
    world.run(until_s=39)
    assert len(host.disk.store.pending()) == 2
    host.die()
    repair(host)
    host.start()
    recover(world)
    for one in world.hosts:
        assert reading.look(one.running.replica, node).total(0, "spent") == 7
        assert notes_of(one, node) == ["elsewhere"]


@pytest.mark.parametrize("mark", [b"\xc1", b"\xa1x", bytes(99)])
def test_a_mark_of_early_entries_that_cannot_be_read_names_none(mark: bytes) -> None:
    world, node = three_hosts()
    host = world.hosts[2]
    host.die()
    host.disk.store.commit([PutMeta(META_EARLY, mark)])
    host.start()
    recover(world)
    assert host.running.replica.store.exists(node)
    assert host.disk.store.meta(META_EARLY) is None


@pytest.mark.parametrize("mark", [b"\xc1", b"\xa1x", bytes(99)])
def test_a_mark_that_cannot_be_read_holds_back_all_rows(mark: bytes) -> None:
    world, node = three_hosts()
    host = world.hosts[2]
    world.submit(host, Increment(node, 0, "spent", 3), level=LOCAL)
    world.run(until_s=11)
    host.die()
    host.disk.store.commit([PutMeta(META_FOUND, mark)])
    host.start()
    assert host.running.replica.pending.found_until == max(host.running.replica.pending.rows)
    recover(world)
    assert reading.look(host.running.replica, node).total(0, "spent") == 3
