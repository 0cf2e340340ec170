"""
The main job on one machine: join, work off line, reconnect; nothing lost and nothing twice.

    python -m cli.demo [--data FILE]

Three real node processes with three homes in a temporary folder, connected over loopback by
cables (`cli.cable`) that can be pulled. Every line printed is something that was just done or
measured. Exit 1 if the nodes do not end with equal state.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

from cli import client
from cli.cable import Cable
from mesh.storage.home import Home

#: Writes of each node while one of them is cut off.
WRITES: Final = 20
#: Nothing here takes a tenth of this on an idle machine.
PATIENCE_S: Final = 45.0
_POLL_S: Final = 0.2
_PRIORITIES: Final = 5


class DemoFailed(Exception):
    """What was promised did not happen."""


class Machine:
    """One node: a home of its own, a process of its own, the `mesh` command on it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.home = folder / name
        self.pid: int | None = None
        self.address = ("", 0)
        self.acknowledged: list[str] = []

    def mesh(self, *arguments: str) -> Any:
        """Run a command as one types it; its data."""
        shown = [word if len(word) < 50 else f"{word[:12]}…" for word in arguments]
        print(f"  {self.name}$ mesh {' '.join(shown)}", flush=True)
        run = subprocess.run(  # noqa: S603 - our own interpreter, a fixed list
            [sys.executable, "-m", "cli", "--home", str(self.home), "--json", *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        try:
            return json.loads(run.stdout)["data"]
        except (ValueError, KeyError):
            raise DemoFailed(f"{self.name}: mesh {arguments[0]}: {run.stderr.strip()}") from None

    def call(self, operation: str, **given: Any) -> Any:
        """The same operation, without a process for each: straight to the node's socket."""
        path = Home(self.home).find_socket()
        if path is None:
            raise DemoFailed(f"{self.name} is not running")
        return client.call(path, operation, given, warn=print)

    def note_started(self) -> None:
        """Remember the process and where it listens."""
        with suppress(OSError, ValueError):
            self.pid = int((self.home / "node.lock").read_text())
        host, _, port = self.call("status")["listen"][0].rpartition(":")
        self.address = (host, int(port))

    def end(self) -> None:
        """Stop the process: gently, and by its number if that does not help."""
        if self.pid is None:
            return
        with suppress(Exception):
            self.call("down")
        until_s = time.monotonic() + 5.0
        while time.monotonic() < until_s:
            try:
                Home(self.home).lock().release()
            except Exception:  # noqa: BLE001 - it still runs
                time.sleep(_POLL_S)
            else:
                return
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Tell the story; 0 if it ends well."""
    parser = argparse.ArgumentParser(prog="python -m cli.demo", description="See `make demo`.")
    parser.add_argument(
        "--data", type=Path, help="a tracker export (JSON lines) of your own, or a folder of them"
    )
    given = parser.parse_args(arguments)
    began_s = time.monotonic()
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="mesh-demo-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        # Ended before the folder goes; an interrupt comes through here as well.
        machines = [Machine(name, folder) for name in ("anna", "ben", "cleo")]
        for machine in machines:
            stack.callback(machine.end)
        try:
            _tell(machines, stack, given.data, folder)
        except (DemoFailed, client.NotRunning, OSError, subprocess.TimeoutExpired) as error:
            print(f"\nFAILED: {error}", file=sys.stderr)
            return 1
    print(f"\nDone in {time.monotonic() - began_s:.0f} s; processes and files are gone.")
    return 0


def _tell(machines: list[Machine], stack: ExitStack, data: Path | None, folder: Path) -> None:
    anna, _, cleo = machines
    cables = _connect(machines, stack)
    _heading("2. A tracker is imported on one node; all three have it.")
    for issues in _exports(data, folder):
        report = anna.mesh("import", "beads", str(issues.resolve()))
        print(
            f"     {report['created']} created, {report['updated']} updated, "
            f"{report['unchanged']} unchanged, {len(report['skipped'])} skipped"
        )
    _until_equal(machines)
    _heading("3. Cleo's cables are pulled. Nobody is told; the node goes on running.")
    for cable in cables:
        cable.pull()
    _while_apart(machines)
    _wait(lambda: _is_alone(cleo), "cleo has not noticed that nobody answers")
    _print_table(machines)
    if len({_hash(machine) for machine in machines}) == 1:
        raise DemoFailed("the states are equal although cleo was cut off")
    _heading("4. The cables are plugged in again.")
    for cable in cables:
        cable.plug()
    seconds = _until_equal(machines)
    print(f"     equal after {seconds:.1f} s")
    _heading("5. Nothing lost, nothing twice?")
    _check(machines)


def _connect(machines: list[Machine], stack: ExitStack) -> list[Cable]:
    """Three nodes, each linked to both others; the cables of the third are returned."""
    anna, ben, cleo = machines
    # They learn of each other only what the cables lead to: no mDNS, nothing advertised.
    apart = ("--listen", "127.0.0.1:0", "--no-mdns", "--advertise", "none")
    _heading("1. Three nodes on this machine: one makes a mesh, two join by ticket.")
    anna.mesh("init", "--name", "demo", "--node-name", anna.name)
    anna.mesh("up", *apart)
    anna.note_started()
    anna_ben, anna_cleo = Cable(anna.address), Cable(anna.address)
    ticket = anna.mesh("invite", "--no-address")["ticket"]
    _join(ben, ticket, "--peer", anna_ben.text, *apart)
    ben_cleo = Cable(ben.address)
    ticket = anna.mesh("invite", "--no-address")["ticket"]
    _join(cleo, ticket, "--peer", anna_cleo.text, "--peer", ben_cleo.text, *apart)
    for cable in (anna_ben, anna_cleo, ben_cleo):
        stack.callback(cable.remove)
    return [anna_cleo, ben_cleo]


def _join(machine: Machine, ticket: str, *options: str) -> None:
    data = machine.mesh("join", ticket, "--name", machine.name, *options)
    machine.note_started()
    print(f"     in sync, {data['entries']} entries, state {data['state_hash'][:16]}")


def _exports(data: Path | None, folder: Path) -> list[Path]:
    """The files to import: the user's own, or one that is made here."""
    if data is None:
        return [_sample(folder)]
    found = sorted(data.glob("*.jsonl")) if data.is_dir() else [data]
    if not found or not found[0].is_file():
        raise DemoFailed(f"{data}: no tracker export (JSON lines) is there")
    return found


def _sample(folder: Path) -> Path:
    from mesh.api.importers.sample import sample_tracker  # noqa: PLC0415 - only without --data

    path = folder / "sample.jsonl"
    path.write_bytes(sample_tracker())
    return path


def _while_apart(machines: list[Machine]) -> None:
    """All three write: Worknodes of their own, and the same fields of the same Worknodes."""
    shared = [item for item in machines[0].call("list", limit=200) if item["kind"] == "task"][:10]
    places = [machine.call("create", title=f"{machine.name}'s place") for machine in machines]
    for place, machine in zip(places, machines, strict=True):
        machine.acknowledged.append(place["id"])
    for number in range(WRITES):
        for index, machine in enumerate(machines):
            made = machine.call("create", title=f"{machine.name}'s task {number + 1}")
            machine.acknowledged.append(made["id"])
            if not shared:
                continue
            node = shared[number % len(shared)]["id"]
            machine.call(
                "update",
                node=node,
                set=[["priority", (number + index) % _PRIORITIES]],
                add=[["labels", f"seen-by-{machine.name}"]],
            )
            if number < len(shared) and number % 2:
                machine.call("move", node=node, under=places[index]["id"])
    print(
        f"     each made {WRITES + 1} Worknodes, set priority and labels of the same "
        f"{len(shared)}, and moved half of them to a place of its own"
    )


def _is_alone(machine: Machine) -> bool:
    return all(peer["state"] != "connected" for peer in machine.call("status")["peers"])


def _hash(machine: Machine) -> str:
    return str(machine.call("status")["state_hash"])


def _wait(is_over: Callable[[], bool], otherwise: str) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not is_over():
        if time.monotonic() > until_s:
            raise DemoFailed(otherwise)
        time.sleep(_POLL_S)


def _until_equal(machines: list[Machine]) -> float:
    """Show the table until all are in sync with each other and hold the same; seconds taken."""
    began_s = time.monotonic()
    shown = ""
    while time.monotonic() - began_s < PATIENCE_S:
        found = [machine.call("status") for machine in machines]
        text = _table(machines, found)
        if text != shown:
            _draw(text, shown)
            shown = text
        is_in_sync = all(
            peer["state"] == "connected" and peer["in_sync"]
            for status in found
            for peer in status["peers"]
        )
        if is_in_sync and len({status["state_hash"] for status in found}) == 1:
            return time.monotonic() - began_s
        time.sleep(_POLL_S)
    raise DemoFailed(f"the nodes were not equal within {PATIENCE_S:g} s")


def _table(machines: list[Machine], found: list[dict[str, Any]]) -> str:
    lines = [f"     {'node':<6} {'frontier':<17} {'state':<17} {'Worknodes':>9}  in sync with"]
    for machine, status in zip(machines, found, strict=True):
        names = [
            peer["name"] or peer["node_id"][:8]
            for peer in status["peers"]
            if peer["state"] == "connected" and peer["in_sync"]
        ]
        # The second half of the frontier hash is the data's, which is what moves.
        lines.append(
            f"     {machine.name:<6} {status['frontier_hash'][32:48]:<17} "
            f"{status['state_hash'][:16]:<17} {status['worknodes']:>9}  "
            f"{', '.join(sorted(names)) or 'nobody'}"
        )
    return "\n".join(lines)


def _print_table(machines: list[Machine]) -> None:
    print(_table(machines, [machine.call("status") for machine in machines]), flush=True)


def _draw(text: str, before: str) -> None:
    """At a terminal the table stays in its place; elsewhere each state of it is printed."""
    if before and sys.stdout.isatty():
        print(f"\x1b[{len(before.splitlines())}A\x1b[J", end="")
    elif before:
        print()
    print(text, flush=True)


def _check(machines: list[Machine]) -> None:
    hashes = {machine.name: _hash(machine) for machine in machines}
    for name, value in hashes.items():
        print(f"     {name:<6} {value}")
    wanted = [node for machine in machines for node in machine.acknowledged]
    for machine in machines:
        held = [item["id"] for item in machine.call("list")]
        missing = set(wanted) - set(held)
        if missing:
            raise DemoFailed(f"{machine.name} lacks {len(missing)} acknowledged Worknodes")
        if len(held) != len(set(held)):
            raise DemoFailed(f"{machine.name} lists a Worknode twice")
    if len(set(hashes.values())) != 1:
        raise DemoFailed("the states differ")
    print(f"     equal; all {len(wanted)} acknowledged Worknodes are on all three, none twice")


def _heading(text: str) -> None:
    print(f"\n{text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
