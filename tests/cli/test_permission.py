"""A home that the user may not touch: one line, the cause and the remedy, from real processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.cli.machine import APART, ROOT, Machine

#: Root may do everything, unless it is deprived of that.
AS_USER = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if not os.getuid() else ()
COMMANDS = [
    ("up", *APART),
    ("up", "--foreground", *APART),
    ("init", "--name", "x"),
    ("join", "TICKET"),
    ("status",),
    ("doctor",),
    ("list",),
    ("down",),
]

pytestmark = pytest.mark.skipif(
    bool(AS_USER) and shutil.which("setpriv") is None, reason="root without setpriv"
)


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o000)
    yield folder
    folder.chmod(0o700)


def run(home: Path, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MESH_")}
    return subprocess.run(
        [*AS_USER, sys.executable, "-m", "cli", "--home", str(home), *words],
        env=environment | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def ticket(tmp_path_factory: pytest.TempPathFactory) -> str:
    founder = Machine(tmp_path_factory.mktemp("founder") / "home")
    founder.ok("init", "--name", "acme")
    return str(founder.ok("invite", "--no-address")["ticket"])


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("below", ["", "below"], ids=["the home", "a folder above it"])
def test_a_home_that_may_not_be_looked_into(
    locked: Path, ticket: str, words: Sequence[str], below: str
) -> None:
    """It is not said that no node is there: nobody can say."""
    home = locked / below
    done = run(home, [ticket if word == "TICKET" else word for word in words])
    assert done.returncode == 5, done
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    where = f"{home}, nor {locked}" if below else str(home)
    said = f"mesh: user {os.getuid()} may not look into {where}: Permission denied — run as "
    assert done.stderr.startswith(said), done.stderr
    assert f"its owner, user {os.getuid()}, or choose another --home" in done.stderr


@pytest.mark.parametrize("words", [("init",), ("join", "TICKET")], ids=" ".join)
def test_a_folder_in_which_no_home_can_be_made(
    tmp_path: Path, ticket: str, words: Sequence[str]
) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    done = run(folder / "home", [ticket if word == "TICKET" else word for word in words])
    assert done.returncode == 1, done
    assert done.stderr.count("\n") == 1
    assert f"cannot make the folder: Permission denied — see that you may write in {folder}" in (
        done.stderr
    )


@pytest.mark.parametrize("name", ["mesh.db", "node.lock", "identity.key"])
def test_a_file_that_may_not_be_touched(founded: Machine, name: str) -> None:
    path = founded.home / name
    path.chmod(0o000)
    for words in (("up", *APART), ("status",), ("create", "x")):
        done = run(founded.home, words)
        assert done.returncode in (1, 5), done
        last = done.stderr.splitlines()[-1]
        assert last.startswith(f"mesh: {path}"), done.stderr
        assert "Permission denied" in last
        assert " — " in last


def test_doctor_does_not_take_a_closed_database_for_a_damaged_one(founded: Machine) -> None:
    (founded.home / "mesh.db").chmod(0o000)
    done = run(founded.home, ["--json", "doctor"])
    checks = {each["check"]: each for each in json.loads(done.stdout)["data"]}
    assert checks["integrity"]["ok"] is False
    assert "may not be read by this user" in checks["integrity"]["found"]
    assert "--repair" not in checks["integrity"]["remedy"]
