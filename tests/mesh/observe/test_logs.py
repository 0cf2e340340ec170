"""The log is lines of JSON without secrets, bounded in size and in repetition."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mesh.core.effects import Log
from mesh.observe import LogLimiter
from mesh.observe.logs import NodeLog, RotatingFile, safe


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_line_is_one_json_object(tmp_path: Path) -> None:
    log = NodeLog.at(tmp_path / "node.log")
    log(Log("info", "link.closed", (("reason", "a\nb\x1b[31mü"), ("link", 3))))
    log(Log("debug", "not at this level"))
    log.close()
    (line,) = lines_of(tmp_path / "node.log")
    assert (line["event"], line["level"], line["link"]) == ("link.closed", "info", 3)
    assert line["reason"] == "a\nb\x1b[31mü"
    assert "\x1b" not in (tmp_path / "node.log").read_text()
    assert str(line["at"]).endswith("Z")
    assert (tmp_path / "node.log").stat().st_mode & 0o777 == 0o600


def test_a_field_cannot_pass_itself_off_as_an_event(tmp_path: Path) -> None:
    log = NodeLog.at(tmp_path / "node.log")
    log(Log("warning", "true", (("event", "false"), ("level", "x"), ("at", "y"))))
    (line,) = lines_of(tmp_path / "node.log")
    assert (line["event"], line["level"]) == ("true", "warning")
    assert line["at"] != "y"


def test_each_line_says_whose_it_is(tmp_path: Path) -> None:
    log = NodeLog.at(tmp_path / "node.log", ids={"mesh": b"m" * 32, "node": b"n" * 32})
    log(Log("info", "x", (("node", "somebody else"),)))
    (line,) = lines_of(tmp_path / "node.log")
    assert (line["mesh"], line["node"]) == ("6d" * 8, "6e" * 8)


@pytest.mark.parametrize("name", ["seed", "join_seed", "static_private", "ticket", "Password"])
def test_secrets_are_not_written(name: str) -> None:
    assert safe(name, "s3cret") == "(hidden)"
    assert safe(name, b"s3cret") == "(hidden)"


def test_bytes_are_cut_to_a_prefix() -> None:
    assert safe("node", bytes(32)) == "0" * 16
    assert safe("nodes", (bytes(32),)) == ["0" * 16]
    assert safe("node", bytes(32).hex()) == safe("node", bytes(32)), "one form in every log"
    assert safe("text", "0" * 33) == "0" * 33
    assert len(str(safe("text", "x" * 10_000))) < 600


def test_the_log_is_bounded(tmp_path: Path) -> None:
    file = RotatingFile(tmp_path / "node.log", bytes_max=10_000)
    for number in range(2_000):
        file.write(f"line {number:06}")
    file.close()
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["node.log", "node.log.1"]
    assert all(path.stat().st_size <= 10_000 for path in tmp_path.iterdir())
    assert (tmp_path / "node.log").read_text().endswith("line 001999\n")


def test_a_log_goes_on_where_it_was_and_survives_a_disk_that_refuses(tmp_path: Path) -> None:
    for _ in range(2):
        file = RotatingFile(tmp_path / "node.log")
        file.write("x")
        file.close()
    assert (tmp_path / "node.log").read_text() == "x\nx\n"
    nowhere = RotatingFile(tmp_path / "missing" / "node.log")
    nowhere.write("x")
    assert nowhere.lost_lines == 1


def test_a_line_that_comes_again_and_again_is_counted_not_written() -> None:
    limiter = LogLimiter(lines_max=3, period_s=10)
    line = Log("warning", "link.refused")
    passed = [limiter.pass_on(line, now_s=i * 0.1) for i in range(50)]
    assert passed.count(None) == 47
    assert limiter.pass_on(Log("info", "other"), now_s=5) is not None
    again = limiter.pass_on(line, now_s=11)
    assert again is not None
    assert again.fields == (("swallowed_before", 47),)
