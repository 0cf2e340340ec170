"""Ctrl-C ends a command soon, with its exit code and without a traceback, whenever it comes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from cli import spawn
from cli.noded import Options
from mesh.core.errors import LocalError
from tests.cli.machine import APART, ROOT, Machine

#: What is promised.
END_S_MAX = 1.0
PATIENCE_S = 30.0


def begin(
    home: Path, *arguments: str, how: Sequence[str] = ("-m", "cli"), **more: Any
) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MESH_")}
    return subprocess.Popen(
        [sys.executable, *how, "--home", str(home), *arguments],
        env=environment | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def interrupt(process: subprocess.Popen[str]) -> tuple[int, str, float]:
    """Exit code, what it said on standard error, and how many seconds of the clock it took."""
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, err, time.monotonic() - begun


def soon(attempt: Callable[[], float]) -> None:
    """One of three attempts is within the second: others may use this machine, too."""
    took = [attempt()]
    while took[-1] > END_S_MAX and len(took) < 3:
        took.append(attempt())
    assert took[-1] <= END_S_MAX, took


def test_a_node_in_the_foreground(founded: Machine) -> None:
    def attempt() -> float:
        node = begin(founded.home, "up", "--foreground", *APART)
        assert node.stdout is not None
        assert " is up at " in node.stdout.readline()
        code, err, took_s = interrupt(node)
        assert (code, err) == (0, "")
        return took_s

    soon(attempt)
    assert founded.ok("down")["was_running"] is False


def test_a_node_in_the_foreground_that_somebody_watches(founded: Machine) -> None:
    """A stream has no end of its own for which a stop would have to wait."""

    def attempt() -> float:
        node = begin(founded.home, "up", "--foreground", *APART)
        assert node.stdout is not None
        assert " is up at " in node.stdout.readline()
        watch = begin(founded.home, "watch", "--cursor", "0")
        assert watch.stdout is not None
        founded.ok("create", "Seen")
        watch.stdout.readline()
        code, err, took_s = interrupt(node)
        assert (code, err) == (0, "")
        _, said = watch.communicate(timeout=PATIENCE_S)
        assert watch.returncode == 7
        assert said.startswith("mesh: the node has stopped")
        return took_s

    soon(attempt)


def test_watching(running: Machine) -> None:
    running.ok("create", "Seen")

    def attempt() -> float:
        watch = begin(running.home, "watch", "--cursor", "0")
        assert watch.stdout is not None
        assert "Seen" in watch.stdout.readline()
        code, err, took_s = interrupt(watch)
        assert (code, err.strip()) == (0, "")
        return took_s

    soon(attempt)


#: What the installed script does; it says when the loading begins.
SCRIPT = """
import sys
from cli.start import main

class Told:
    def find_spec(name, *_):
        if name == "cli.main":
            print(flush=True)

sys.meta_path.insert(0, Told)
main()
"""


@pytest.mark.parametrize("words", [("up", "--foreground", *APART), ("watch",), ("list",)])
def test_while_the_command_is_being_loaded(founded: Machine, words: Sequence[str]) -> None:
    """Python's own start is not ours; from then on nothing else is ever said."""
    expected = [(0, ""), (1, "mesh: interrupted")]
    if words[0] != "up":
        # A fast machine is done before the interrupt comes.
        whole = begin(founded.home, *words)
        _, said = whole.communicate(timeout=PATIENCE_S)
        expected.append((whole.returncode, said.strip()))
    codes = set()
    for delay_ms in range(2, 402, 25):
        process = begin(founded.home, *words, how=("-c", SCRIPT))
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay_ms / 1_000)
        code, err, _ = interrupt(process)
        assert (code, err.strip()) in expected, (delay_ms, err)
        codes.add(code)
    assert 1 in codes
    assert founded.ok("status")["running"] is False


INTERRUPT = "os.kill(os.getpid(), signal.SIGINT)"
BEGIN = "import os, signal, sys, weakref\nfrom cli import interrupts\n"
INSTALL = BEGIN + "interrupts.install()\n"
SAID = "mesh: interrupted\n"


@pytest.mark.parametrize(
    ("program", "code", "out", "err"),
    [
        pytest.param(INTERRUPT, 1, "", SAID, id="anywhere"),
        pytest.param(
            f"class A: pass\na = A()\nw = weakref.ref(a, lambda _: {INTERRUPT})\ndel a",
            1,
            "",
            SAID,
            id="where Python would swallow an exception",
        ),
        pytest.param(
            f"import trio\nasync def f(): {INTERRUPT}\ntrio.run(f)", 1, "", SAID, id="in trio"
        ),
        pytest.param(
            f"with interrupts.ending(3, 'said', '{{}}'): {INTERRUPT}",
            3,
            "{}\n",
            "said\n",
            id="ending",
        ),
        pytest.param(
            f"with interrupts.ending(3, 'said'): pass\n{INTERRUPT}", 1, "", SAID, id="after ending"
        ),
        pytest.param(
            f"with interrupts.ending(3, 'said'): interrupts.decided(5)\n{INTERRUPT}",
            5,
            "",
            "",
            id="decided",
        ),
        pytest.param(
            f"try:\n with interrupts.raising(): {INTERRUPT}\nfinally: print('undone')",
            -signal.SIGINT,
            "undone\n",
            None,
            id="raising",
        ),
        pytest.param(f"interrupts.ignore()\n{INTERRUPT}", 0, "", "", id="done"),
        pytest.param(
            f"interrupts.answering()\nwith interrupts.ending(3, 'said', '{{}}'): {INTERRUPT}",
            3,
            "",
            "said\n",
            id="while it answers",
        ),
        pytest.param(
            f"with interrupts.held():\n {INTERRUPT}\n print('whole', flush=True)\nprint('more')",
            1,
            "whole\n",
            SAID,
            id="held",
        ),
    ],
)
def test_what_an_interrupt_does(program: str, code: int, out: str, err: str | None) -> None:
    run = execute(INSTALL + program)
    assert (run.returncode, run.stdout) == (code, out)
    assert err is None or run.stderr == err


def test_without_installation_an_interrupt_is_python_s() -> None:
    run = execute(f"{BEGIN}\nwith interrupts.ending(0): {INTERRUPT}")
    assert run.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in run.stderr


def test_a_file_that_took_the_place_of_standard_error_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "file"
    program = f"assert os.open({str(file)!r}, os.O_CREAT | os.O_WRONLY) == 2\n{INTERRUPT}"
    run = execute(INSTALL + program, preexec_fn=lambda: os.close(2))
    assert run.returncode == 1
    assert file.read_bytes() == b""


def execute(program: str, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        **more,
    )


def test_under_json_the_answer_is_one_document(founded: Machine) -> None:
    """It is asked for at the start of the work, and never begun to be given."""
    slow = (
        "import os, signal\nfrom cli import interrupts, door\ninterrupts.install()\n"
        f"door.call = lambda *_, **__: {INTERRUPT}\n"
        f"from cli.main import main\nmain(['--home', {str(founded.home)!r}, '--json', 'list'])"
    )
    run = execute(slow)
    assert (run.returncode, run.stderr) == (1, SAID)
    assert json.loads(run.stdout)["error"]["message"] == "interrupted"


@pytest.mark.parametrize(
    ("name", "code"), [("list", 0), ("status", 0), ("doctor", 1), ("create", 0)]
)
def test_after_its_answer_a_command_has_its_own_exit_code(
    founded: Machine, name: str, code: int
) -> None:
    """And nothing follows the one document: what was answered has happened."""
    words = [name, "Seen"] if name == "create" else [name]
    program = (
        "import os, signal\nfrom cli import app, interrupts\ninterrupts.install()\n"
        "done = app.App.done\n"
        f"def answer(*a, **k): done(*a, **k); {INTERRUPT}\n"
        "app.App.done = answer\n"
        f"from cli.main import main\nmain(['--home', {str(founded.home)!r}, '--json', *{words}])"
    )
    run = execute(program)
    assert run.returncode == code
    assert "interrupted" not in run.stderr
    assert json.loads(run.stdout)["data"] is not None


def test_while_the_node_starts_behind_it_that_is_said(founded: Machine) -> None:
    program = (
        "import os, signal\nfrom cli import interrupts, spawn\ninterrupts.install()\n"
        f"spawn.start = lambda _: {INTERRUPT}\n"
        f"from cli.main import main\nmain(['--home', {str(founded.home)!r}, 'up'])"
    )
    run = execute(program)
    assert run.returncode == 1
    assert run.stderr.startswith("mesh: interrupted; the node goes on starting in the background")


def test_a_node_that_ends_at_its_start_is_said_to_have(
    founded: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not to be slow: its end of the pipe closes a moment before the system has its code."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    for _ in range(5):
        with pytest.raises(LocalError, match=r"the node ended at its start \(exit 1\)"):
            spawn.start(Options(home=str(founded.home), listen=(), peers=()))


def test_who_is_to_ignore_interrupts_does(running: Machine) -> None:
    """As a shell asks of what it starts in the background."""
    running.ok("create", "Seen")
    watch = begin(running.home, "watch", "--cursor", "0", preexec_fn=ignore_interrupts)
    assert watch.stdout is not None
    watch.stdout.readline()
    watch.send_signal(signal.SIGINT)
    running.ok("create", "More")
    while "More" not in (line := watch.stdout.readline()):
        assert line, "it has ended"
    watch.send_signal(signal.SIGTERM)
    watch.communicate(timeout=PATIENCE_S)


def ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
