"""Every kind of fault meets every checker; the count is kept, and is of one source."""

from pathlib import Path

import pytest

from simulations import meetings
from simulations.checkers import CHECKERS
from simulations.coverage import key
from simulations.faults import FAULTS
from simulations.meetings import DEFAULT_FILE, LEAST, gather, lacks, load, plan_of_seed, table
from simulations.tally import source_digest


def test_every_kind_strikes_in_every_run() -> None:
    for seed in range(5):
        strikes = plan_of_seed(seed).strikes
        assert strikes is not None
        assert {strike.kind for strike in strikes} == set(FAULTS)
        assert list(strikes) == sorted(strikes, key=lambda strike: strike.at_us)


def test_the_count_is_taken_up_where_it_was_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meetings, "MINUTES", 0.2)
    path = tmp_path / "slow" / "meetings.json"
    first = gather(path, most=1)
    assert first["next_seed"] == 1
    second = gather(path, most=1)
    assert second["next_seed"] == 2
    assert second["met"]["kill × bounds"] > first["met"]["kill × bounds"]
    assert second == load(path, source_digest())
    assert load(path, "another source")["next_seed"] == 0


def test_it_ends_when_all_have_met_or_something_was_found(tmp_path: Path) -> None:
    path = tmp_path / "meetings.json"
    tally = load(path, source_digest())
    tally["met"] = {key(fault, name): 3 for fault in FAULTS for name in CHECKERS}
    assert lacks(tally, 3) == {}
    assert len(lacks(tally, 4)) == len(FAULTS) * len(CHECKERS)
    meetings.save(path, tally)
    assert gather(path, least=3) == tally
    tally["found"].append("seed 1: tree: n1: above itself")
    meetings.save(path, tally)
    assert gather(path, least=4) == tally
    del tally["met"]["kill × tree"]
    assert any(line.split() == ["kill", "0", "0", "tree"] for line in table(tally).splitlines())


@pytest.mark.slow
def test_each_kind_of_fault_meets_each_checker_often(capsys: pytest.CaptureFixture[str]) -> None:
    tally = gather(DEFAULT_FILE)
    with capsys.disabled():
        print(f"\n{table(tally)}")
    assert tally["found"] == []
    assert lacks(tally, LEAST) == {}
