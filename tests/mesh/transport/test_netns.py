"""Two machines, as network namespaces on a bridge: discovery, and links that are cut silently."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TAG = f"{os.getpid() % 10_000}"
BRIDGE = f"wnbr{TAG}"
HOSTS = {f"wna{TAG}": "10.78.0.1", f"wnb{TAG}": "10.78.0.2"}

pytestmark = pytest.mark.netns

FINDER = """
import sys, trio
from mesh.core.inputs import Found
from mesh.transport.discovery import Announcement, Discovery
from mesh.transport.interfaces import reachable_at

async def main():
    port, seconds = int(sys.argv[1]), float(sys.argv[2])
    async def put(found):
        print(found.address[0], found.address[1], flush=True)
        done.set()
    done = trio.Event()
    def describe(own):
        addresses = reachable_at([("0.0.0.0", port)], own)
        return Announcement(bytes(32), bytes([port % 256]) * 32, addresses)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Discovery(describe, put, lambda line: print(line, file=sys.stderr)).run)
        with trio.move_on_after(seconds):
            await done.wait()
            await trio.sleep(2)
        nursery.cancel_scope.cancel()

trio.run(main)
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def hosts() -> Iterator[dict[str, str]]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and iproute2 to make network namespaces")
    made: list[str] = []
    try:
        try:
            ip("netns", "add", BRIDGE)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
        made.append(BRIDGE)
        ip("-n", BRIDGE, "link", "add", "br0", "type", "bridge")
        ip("-n", BRIDGE, "link", "set", "br0", "up")
        for name, address in HOSTS.items():
            ip("netns", "add", name)
            made.append(name)
            pair = ("type", "veth", "peer", "name", "e0", "netns", name)
            ip("-n", BRIDGE, "link", "add", name, *pair)
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "e0")
            ip("-n", name, "link", "set", "e0", "up")
            ip("-n", BRIDGE, "link", "set", name, "master", "br0")
            ip("-n", BRIDGE, "link", "set", name, "up")
        yield HOSTS
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def inside(host: str, script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["ip", "netns", "exec", host, sys.executable, "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_machines_find_each_other_without_a_multicast_route(hosts: dict[str, str]) -> None:
    ports = (7001, 7002)
    running = [inside(h, FINDER, str(p), "20") for h, p in zip(hosts, ports, strict=True)]
    found = [process.communicate(timeout=40) for process in running]
    (first, second) = hosts.values()
    assert found[0][0].splitlines()[:1] == [f"{second} 7002"], found
    assert found[1][0].splitlines()[:1] == [f"{first} 7001"], found


def test_an_address_that_comes_later_is_spoken_on(hosts: dict[str, str]) -> None:
    one, other = hosts
    ip("-n", one, "addr", "flush", "dev", "e0")
    late = inside(one, FINDER, "7001", "30")
    early = inside(other, FINDER, "7002", "30")
    try:
        early.wait(3)
    except subprocess.TimeoutExpired:
        ip("-n", one, "addr", "add", f"{hosts[one]}/24", "dev", "e0")
    found = [process.communicate(timeout=60) for process in (late, early)]
    assert found[0][0].startswith(f"{hosts[other]} 7002"), found
    assert found[1][0].startswith(f"{hosts[one]} 7001"), found
