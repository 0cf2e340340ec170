"""One run of the fuzzer over one target, and what is told of it."""

from __future__ import annotations

import hashlib
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Final

from attrs import frozen

from tests.fuzz.target import CORPUS, CRASHERS, INPUT_S_MAX, ROOT, Target, find, kept

Line = tuple[str, int, int]

#: Of the whole process, in MiB: the interpreter, the corpus, and what inputs leave behind.
RSS_MIB_MAX: Final = 768
#: What one `keep` may add to a corpus.
KEPT_BYTES_MAX: Final = 12_000
_UNDER_TEST: Final = tuple(f"{ROOT}/{name}/" for name in ("crdt", "capability", "mesh"))
_WORDS_KEPT: Final = 6_000
_EXECUTED: Final = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_SEEN: Final = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)")
_WRITTEN: Final = re.compile(r"Test unit written to (\S+)")


@frozen
class Tally:
    """
    What came of one run.

    `edges` is libFuzzer's coverage: edges of the code under test that any input of the corpus took.
    `features` also tells how often an edge was taken, and what was compared.
    """

    target: str
    executions: int
    cpu_s: float
    edges: int
    features: int
    #: The file of the input that broke it, empty if none did.
    finding: str
    words: str

    def line(self) -> str:
        how = f"broken by {self.finding}" if self.finding else "no finding"
        return (
            f"{self.target}: {self.executions} executions in {self.cpu_s:.0f} CPU s, "
            f"{self.edges} edges, {self.features} features, {how}"
        )


def plant(target: Target, folder: Path) -> None:
    """Write the target's first inputs, each under the hash of itself, as libFuzzer does."""
    folder.mkdir(parents=True, exist_ok=True)
    for data in target.seeds():
        (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def campaign(name: str, corpus: Path, *, seconds: int, seed: int = 0) -> Tally:
    """Fuzz for so long by the clock, on one core."""
    corpus.mkdir(parents=True, exist_ok=True)
    crashers = CRASHERS / name
    crashers.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-m", "tests.fuzz.run", name),
        *(f"-max_total_time={seconds}", f"-seed={seed}", f"-rss_limit_mb={RSS_MIB_MAX}"),
        *(f"-timeout={2 * INPUT_S_MAX}", f"-artifact_prefix={crashers}/"),
        *("-print_final_stats=1", "-verbosity=1"),
        *map(str, _folders(corpus, CORPUS / name, crashers)),
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = done.stdout + done.stderr
    seen, written = _SEEN.findall(said), _WRITTEN.search(said)
    executed = _EXECUTED.search(said)
    if not any(crashers.iterdir()):
        crashers.rmdir()
    if written is None and done.returncode:
        raise RuntimeError(f"the fuzzer did not run: {said[-_WORDS_KEPT:]}")
    return Tally(
        target=name,
        executions=int(executed[1]) if executed else 0,
        cpu_s=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        edges=int(seen[-1][0]) if seen else 0,
        features=int(seen[-1][1]) if seen else 0,
        finding=written[1] if written else "",
        words=_told(said) if written else "",
    )


def keep(name: str, found: Path) -> int:
    """Of *found*, keep what runs lines that the corpus does not, small ones first; how many."""
    target, seen, room, taken = find(name), set[Line](), KEPT_BYTES_MAX, 0
    for path in kept(name):
        seen |= _lines(target, path.read_bytes())
    for path in sorted(found.iterdir(), key=lambda path: (path.stat().st_size, path.name)):
        data = path.read_bytes()
        fresh = _lines(target, data) - seen
        if fresh and len(data) <= room:
            seen |= fresh
            room -= len(data)
            taken += 1
            shutil.copyfile(path, CORPUS / name / path.name)
    return taken


def _lines(target: Target, data: bytes) -> set[Line]:
    """The pairs of lines of the project that follow each other when *data* is run."""
    seen: set[Line] = set()
    last: list[int] = [0]

    def trace(frame: FrameType, event: str, _argument: object) -> Callable[..., object] | None:
        code = frame.f_code.co_filename
        if not code.startswith(_UNDER_TEST):
            return None
        if event == "line":
            seen.add((code, last[0], frame.f_lineno))
            last[0] = frame.f_lineno
        return trace

    sys.settrace(trace)
    try:
        target.run(data)
    finally:
        sys.settrace(None)
    return seen


def _told(said: str) -> str:
    """The traceback, if Python raised; else the fuzzer's last words."""
    at = said.find("Uncaught Python exception")
    return said[at:].split("\n\n", maxsplit=1)[0][:_WORDS_KEPT] if at >= 0 else said[-_WORDS_KEPT:]


def _folders(*folders: Path) -> Iterable[Path]:
    """Each once; new inputs go into the first."""
    return dict.fromkeys(folder for folder in folders if folder.is_dir())
