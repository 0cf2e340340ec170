"""
The README's tour, run as it is written, with real processes on loopback.

What stands after `$` in a block is run, and what follows is compared: the words and the shape,
while ids, numbers, times and places may differ. Ids that the tour names in later commands are
replaced by those of this run. Two homes stand for the two machines: from `mesh join` on it is the
second, and where the text says so the first. Commands in the text that take arguments are run, too.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOUR = ROOT / "README.md"
#: The tracker that the tour imports stands in a block of its own.
TRACKER = re.compile(r"^```json\n(.*?)^```$\n", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```(?:console|text)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: A command within a sentence; `mesh status` alone is spoken of, not given.
SPOKEN = re.compile(r"`(mesh [a-z]+ [^`]+)`")
#: Answers that change while one looks are asked for again within this time.
PATIENCE_S = 10.0
READING = frozenset({"status", "tree", "list", "show", "history", "peers"})


def steps(text: str) -> Iterator[tuple[bool, str, list[str]]]:
    """Whether on the first machine, the command, and the lines that follow it."""
    is_first, at = True, 0
    for fence in FENCE.finditer(text):
        for spoken in SPOKEN.finditer(text, at, fence.start()):
            before = text[at : spoken.start()]
            yield is_first or "first machine" in before, spoken[1], []
        at = fence.end()
        for part in re.split(r"^\$ ", fence[1], flags=re.MULTILINE)[1:]:
            command, *lines = part.rstrip("\n").split("\n")
            is_first = is_first and not command.startswith("mesh join")
            yield is_first, command, [line for line in lines if line.strip()]


def on_loopback(command: str) -> str:
    """The same command, on a free port of this machine, so that runs do not meet."""
    if re.match(r"mesh (up|join)\b", command):
        command = re.sub(r" --listen \S+", "", command) + " --listen 127.0.0.1:0 --no-mdns"
    return command


def pattern(line: str) -> str:
    """What a line of the tour may look like in another run."""
    # Ids and hashes, places, times, any number, what is just being compared; words stay.
    variable = (
        r"(?<=created )[a-z2-7]{8}|\b[0-9a-f]{8,64}\b|\b(?=[a-z2-7]*\d)[a-z2-7]{8}\b|/\S+"
        r"|\d{4}-\d\d-\d\dT\S+|[-+]?\d+(?:\.\d+)*|\byes\b"
    )
    found, at = "", 0
    for match in re.finditer(rf"{variable}|\s+", line.rstrip()):
        found += re.escape(line[at : match.start()])
        found += r"\s+" if match[0].isspace() else r"\S+"
        at = match.end()
    return found + re.escape(line.rstrip()[at:])


class Tour:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.homes = {True: folder / "laptop", False: folder / "server"}
        self.ids: dict[str, str] = {}

    def run(self, is_first: bool, command: str) -> str:
        for old, new in self.ids.items():
            command = command.replace(old, new)
        environment = dict(os.environ, MESH_HOME=str(self.homes[is_first]), PYTHONPATH=str(ROOT))
        environment["COLUMNS"] = "200"
        mesh = f"{shlex.quote(sys.executable)} -m cli"
        done = subprocess.run(
            on_loopback(command).replace("mesh", mesh, 1),
            check=False,
            shell=True,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stderr + done.stdout if done.stderr else done.stdout

    def step(self, is_first: bool, command: str, lines: list[str]) -> None:
        until_s = time.monotonic() + PATIENCE_S * (command.split()[1] in READING)
        expected = re.compile(r"\s*\n".join(pattern(line) for line in lines))
        while True:
            said = self.run(is_first, command)
            printed = "\n".join(line for line in said.splitlines() if line.strip())
            if not lines or expected.fullmatch(printed.strip()):
                break
            if time.monotonic() > until_s:
                told = "\n".join(lines)
                pytest.fail(f"$ {command}\n\nREADME:\n{told}\n\nprinted:\n{printed}")
            time.sleep(0.2)
        self.learn(lines, printed)

    def learn(self, lines: list[str], printed: str) -> None:
        """Which id of this run stands for one of the tour."""
        for line, said in zip(lines, printed.splitlines(), strict=bool(lines)) if lines else ():
            for old, new in zip(line.split(), said.split(), strict=True):
                if re.fullmatch(r"[a-z2-7]{8}", old) and old != new:
                    self.ids[old] = new

    def stop(self) -> None:
        for home in self.homes.values():
            with suppress(OSError, ValueError):
                if any((home / "run").iterdir()):
                    os.kill(int((home / "node.lock").read_text()), signal.SIGTERM)


def test_the_tour_runs_as_it_is_written(tmp_path: Path) -> None:
    section = TOUR.read_text().partition("\n## Five-minute tour\n")[2].partition("\n## ")[0]
    exported = TRACKER.search(section)
    assert exported is not None, "the tour imports a file that nobody has"
    (tmp_path / "tracker.jsonl").write_text(exported[1])
    section = section.replace(exported[0], "")
    tour = Tour(tmp_path)
    told = list(steps(section))
    assert len(told) > 10, "the README has no tour, or in another form than this test reads"
    try:
        for is_first, command, lines in told:
            tour.step(is_first, command, lines)
        hashes = set()
        for is_first in (True, False):
            shown = tour.run(is_first, "mesh status")
            hashes.update(re.findall(r"^state +(\S+)", shown, re.MULTILINE))
        assert len(hashes) == 1
    finally:
        tour.stop()
