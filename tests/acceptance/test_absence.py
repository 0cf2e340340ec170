"""Two agents who were apart and wrote thousands of times each: real processes, a real cable."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from mesh.storage import Home
from tests.acceptance.conftest import Networks
from tests.acceptance.machine import brief, wait_equal, wait_until
from tests.acceptance.netns import INTERFACE, Host

pytestmark = pytest.mark.netns

WRITES = 10_000
CUTS = 10
#: All that goes through the cable against the entries that were missing: with the headers of TCP,
#: IP and Ethernet, encryption, heart-beats and comparisons.
BYTES_FACTOR = 1.2
#: A window for each cut and direction may be under way, and be lost.
WINDOW_BYTES = 256 * 1024
#: What a node may need more than before, in memory: the entries themselves and what is folded.
MEMORY_FACTOR = 2.0
REUNION_S_MAX = 120.0


def _write(host: Host, node: str) -> None:
    call = host.caller()
    for number in range(WRITES):
        call("update", node=node, set=[["notes", f"{host.name} {number}"]])
    call.close()


def _work_apart(hosts: list[Host], node: str) -> None:
    threads = [threading.Thread(target=_write, args=(host, node)) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _entries_bytes(host: Host) -> int:
    """Bytes of all entries on disk, read beside the running node."""
    uri = f"file:{Home(host.path).database_path}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        query = "SELECT sum(length(header) + length(sig) + length(body)) FROM log"
        (found,) = connection.execute(query).fetchone()
    return int(found)


def _cable_bytes(host: Host) -> int:
    """Bytes that went through the machine's cable so far, both ways."""
    lines = Path(f"/proc/{host.process}/net/dev").read_text().splitlines()
    fields = next(line for line in lines if INTERFACE in line).split(":")[1].split()
    return int(fields[0]) + int(fields[8])


def _memory_bytes(host: Host) -> int:
    """The most that the node's process has had in memory."""
    lines = Path(f"/proc/{host.process}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _entries(host: Host) -> int:
    return int(host.status()["entries"])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("cuts", [0, CUTS])
def test_long_absence(network: Networks, cuts: int) -> None:
    hosts = a, b = network("ab")
    a.mesh("init", "--name", "a")
    a.up()
    b.mesh("join", a.mesh("invite")["ticket"], "--name", "b")
    node = a.call("create", title="both write here")["id"]
    wait_equal(hosts, within_s=20)
    a.unplug()
    before = _entries_bytes(a)
    _work_apart(hosts, node)
    missing = sum(_entries_bytes(host) - before for host in hosts)
    memory = {host: _memory_bytes(host) for host in hosts}
    whole = _entries(a) + WRITES
    cable, held = _cable_bytes(a), _entries(a)
    a.plug_in()
    for _ in range(cuts):
        step = held + WRITES // (cuts + 1)
        wait_until("it goes on", lambda: _entries(a) >= step, within_s=60, poll_s=0.0)  # noqa: B023
        a.unplug()
        assert _entries(a) >= held, "nothing is begun anew"
        held = _entries(a)
        a.plug_in()
    took_s = wait_equal(hosts, within_s=REUNION_S_MAX)
    used = _cable_bytes(a) - cable
    assert _entries(a) == _entries(b) == whole, brief(hosts)
    print(
        f"{WRITES} writes each, {cuts} cuts: {used:,} bytes through the cable for {missing:,} that "
        f"were missing (×{used / missing:.3f}); equal {took_s:.2f} s after the last cut; memory "
        + ", ".join(f"{memory[h] >> 20} → {_memory_bytes(h) >> 20} MiB" for h in hosts)
    )
    assert used <= BYTES_FACTOR * missing + 2 * cuts * WINDOW_BYTES
    for host in hosts:
        assert _memory_bytes(host) <= MEMORY_FACTOR * memory[host]
