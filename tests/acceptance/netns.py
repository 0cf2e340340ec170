"""
A network of our own: one namespace for each machine, on a bridge in a namespace besides.

Names hold this process's number, so that runs side by side do not meet, and everything that lives
in these namespaces was started from here. The host's own network is never touched.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import define, field

from tests.acceptance.machine import Machine

NETWORK: Final = "10.78.31"
INTERFACE: Final = "e0"
TABLE: Final = "cut"


def why_not() -> str:
    """What is missing for namespaces here; empty if nothing is."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for name in ("ip", "nft"):
        if shutil.which(name) is None:
            package = {"ip": "iproute2", "nft": "nftables"}[name]
            return f"`{name}` is missing (Debian: apt-get install {package})"
    name = f"wm{os.getpid()}probe"
    made = _try("ip", "netns", "add", name)
    if made.returncode != 0:
        return f"no namespace can be made here: {made.stderr.strip()}"
    _try("ip", "netns", "del", name)
    return ""


def _try(*command: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def run(*command: str, text: str | None = None) -> None:
    """Run a command of the system that must succeed."""
    done = _try(*command, text=text)
    assert done.returncode == 0, (command, text, done.stderr)


@define(eq=False)
class Host(Machine):
    """A machine with a cable."""

    namespace: str = ""
    address: str = ""

    def up(self, *arguments: str) -> dict[str, object]:
        data: dict[str, object] = self.mesh("up", *arguments)
        return data

    def unplug(self) -> None:
        """Take its link down; its kernel knows at once, its peers do not."""
        run("ip", "-n", self.namespace, "link", "set", INTERFACE, "down")

    def plug_in(self) -> None:
        run("ip", "-n", self.namespace, "link", "set", INTERFACE, "up")

    def drop(self, others: Iterable[Host] = ()) -> None:
        """Lose silently whatever comes from or goes to *others*; everything if none is named."""
        addresses = ", ".join(other.address for other in others)
        source = f"ip saddr {{ {addresses} }}" if addresses else f"iifname {INTERFACE}"
        target = f"ip daddr {{ {addresses} }}" if addresses else f"oifname {INTERFACE}"
        self._nft(
            f"table inet {TABLE} {{"
            f" chain i {{ type filter hook input priority 0; {source} drop; }};"
            f" chain o {{ type filter hook output priority 0; {target} drop; }};"
            " }"
        )

    def pass_all(self) -> None:
        """Lose nothing any more."""
        self._nft(f"delete table inet {TABLE}")

    def _nft(self, text: str) -> None:
        run("ip", "netns", "exec", self.namespace, "nft", "-f", "-", text=text)


@define(eq=False)
class Lan:
    """Hosts on one switch; made by `build`, and taken away by `clean` whatever happened."""

    folder: Path
    hosts: list[Host] = field(factory=list)
    _switch: str = f"wm{os.getpid()}sw"

    def build(self, names: Sequence[str]) -> list[Host]:
        run("ip", "netns", "add", self._switch)
        run("ip", "-n", self._switch, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", self._switch, "link", "set", "br0", "up")
        for number, name in enumerate(names, start=1):
            self._add(name, f"{NETWORK}.{number}")
        return self.hosts

    def _add(self, name: str, address: str) -> None:
        namespace = f"wm{os.getpid()}{name}"
        run("ip", "netns", "add", namespace)
        self.hosts.append(
            Host(
                name,
                self.folder / name,
                prefix=("ip", "netns", "exec", namespace),
                namespace=namespace,
                address=address,
            )
        )
        port = f"p{name}"
        run(
            *("ip", "link", "add", INTERFACE, "netns", namespace, "type", "veth"),
            *("peer", "name", port, "netns", self._switch),
        )
        inside = f"link set lo up\naddr add {address}/24 dev {INTERFACE}\nlink set {INTERFACE} up\n"
        run("ip", "-n", namespace, "-batch", "-", text=inside)
        run("ip", "-n", self._switch, "link", "set", port, "master", "br0", "up")

    def clean(self) -> None:
        for host in self.hosts:
            host.kill()
        for namespace in (*(host.namespace for host in self.hosts), self._switch):
            # Whatever a failed test left there is ours, since the namespace is.
            for number in _try("ip", "netns", "pids", namespace).stdout.split():
                with suppress(ProcessLookupError):
                    os.kill(int(number), signal.SIGKILL)
            _try("ip", "netns", "del", namespace)
        self._wait_until_gone()

    def _wait_until_gone(self) -> None:
        listed: set[str] = set()
        until_s = time.monotonic() + 5.0
        ours = {self._switch, *(host.namespace for host in self.hosts)}
        while time.monotonic() < until_s:
            listed = {
                line.split()[0]
                for line in _try("ip", "netns", "list").stdout.splitlines()
                if line.strip()
            }
            if not listed & ours:
                return
            time.sleep(0.05)
        raise AssertionError(f"namespaces are still there: {sorted(listed & ours)}")
