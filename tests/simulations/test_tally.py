"""The count of seeds: it goes on where it stopped, and whatever breaks is kept with its seed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from simulations import tally
from simulations.run import Plan


def run(path: Path, most: int) -> Result:
    words = ["--file", str(path), "--most", str(most), "--nodes", "3", "--minutes", "0.1"]
    return CliRunner().invoke(tally.main, [*words, "--jobs", "1"])


def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "seeds.json"
    for most, seeds in ((1, 1), (2, 3)):
        done = run(path, most)
        assert done.exit_code == 0, done.output
        kept = json.loads(path.read_text())
        assert kept["next_seed"] == seeds and kept["found"] == []
        assert tally.runs(kept) == tally.runs(kept, tally.source_digest()) == seeds


def test_a_mistake_that_ends_a_run_is_kept_with_its_seed_and_ends_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tally.simulate

    def simulate(plan: Plan) -> object:
        assert plan.seed != 0, "not this one"
        return real(plan)

    monkeypatch.setattr(tally, "simulate", simulate)
    path = tmp_path / "seeds.json"
    done = run(path, 2)
    assert done.exit_code == 1
    assert "VIOLATION crash: AssertionError at test_tally.py:" in done.output
    kept = json.loads(path.read_text())
    assert kept["next_seed"] == 2 and tally.runs(kept) == 2
    (found,) = kept["found"]
    assert "--seed 0 " in found["command"] and "not this one" in found["said"][0]


def test_what_is_no_tally_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "seeds.json"
    for text, why in (("{", "no tally"), ('{"schema_version": 99}', "another version")):
        path.write_text(text)
        done = run(path, 1)
        assert done.exit_code == 1 and why in done.output and str(path) in done.output
        assert path.read_text() == text
