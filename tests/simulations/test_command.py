"""`mesh sim`: its JSON, its exit codes, and how a failure is made small."""

import errno
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from attrs import evolve

from cli.main import main
from mesh.core.errors import LocalError
from simulations import __main__ as module
from simulations import command
from simulations.checkers import CHECKERS
from simulations.checkers.checker import Checker
from simulations.run import Plan, strikes_of
from simulations.scenarios import SCENARIOS, plan_of
from simulations.shrink import command_of, fails, promise_of, shrink
from simulations.strike import Strike

KEYS = {
    "scenario",
    "seed",
    "trace_hash",
    "violations",
    "converged_after_s",
    "messages",
    "bytes",
    "faults",
}


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(["sim", *arguments])
    return int(ended.value.code or 0), capsys.readouterr().out


class Grumbler(Checker):
    """Objects to everything."""

    NAME = "grumbler"

    def quiesced(self) -> None:
        self.object(self.world.hosts[0], "it is too quiet")


def test_one_run_has_the_keys_that_others_rely_on(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "calm", "--nodes", "2", "--minutes", "0.1", "--json")
    data = json.loads(out)["data"]
    assert code == 0
    assert data.keys() >= KEYS
    assert data["scenario"] == "calm"
    assert data["violations"] == []


def test_many_runs_are_a_list_by_seed(capsys: pytest.CaptureFixture[str]) -> None:
    given = ("calm", "--nodes", "2", "--minutes", "0.1", "--runs", "3", "--seed", "5", "--json")
    data = json.loads(run(capsys, *given)[1])["data"]
    assert [item["seed"] for item in data] == [5, 6, 7]


def test_a_violation_is_exit_code_1_and_says_how_to_run_it_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CHECKERS, "grumbler", Grumbler)
    with pytest.raises(SystemExit) as ended:
        main(["sim", "split_brain", "--nodes", "2", "--minutes", "0.2"])
    told = capsys.readouterr()
    assert ended.value.code == 1
    assert "VIOLATION grumbler: n0: it is too quiet (at " in told.out
    assert "python -m simulations split_brain --seed 0 --nodes 2 --minutes 0.2" in told.err
    assert "--only none" in told.err


@pytest.mark.parametrize(
    "given",
    [("--faults", "gremlins"), ("--only", "x"), ("split_brain", "--only", "7"), ("nosuch",)],
)
def test_a_wrong_argument_is_named(
    given: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["sim", *given])
    assert ended.value.code == 2
    assert given[-1] in capsys.readouterr().err


def test_shrinking_keeps_only_the_strikes_that_matter() -> None:
    strikes = tuple(Strike(at, 0, "kill", (0,)) for at in range(20))
    plan = Plan(strikes=strikes)
    small = shrink(plan, is_failing=lambda p: {3, 17} <= set(p.only or ()))
    assert small.only == (3, 17)


def parsed(words: Sequence[str]) -> list[Plan]:
    @click.command()
    @command.options
    def parse(**given: object) -> command.Request:
        return command.Request(**given)  # type: ignore[arg-type]

    return command.plans_of(parse.main(list(words), standalone_mode=False))


def test_shrinking_keeps_the_promise_that_was_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    # Strike 1 breaks "tree"; without it the last strike befalls nobody, which is another failure.
    def simulate(plan: Plan) -> SimpleNamespace:
        only = set(plan.only or ())
        said = "tree: n1: a cycle" if {1, 2} <= only else "coverage: all: none took effect"
        return SimpleNamespace(violations=(said,) if only else ())

    monkeypatch.setattr("simulations.shrink.simulate", simulate)
    plan = Plan(strikes=tuple(Strike(at, 0, "kill", (0,)) for at in range(8)))
    promises = [promise_of("tree: n1: a cycle")]
    assert promises == ["tree"]
    small = shrink(plan, is_failing=partial(fails, promises=promises))
    assert small.only == (1, 2)


@pytest.mark.parametrize("name", ["everything", "hunt"])
def test_the_command_of_a_plan_gives_the_plan_again(name: str) -> None:
    plan = evolve(plan_of(name, seed=8, nodes=5, minutes=2), all_kinds=True, only=(0, 2))
    assert parsed(command_of(plan).split()[3:]) == [plan]


@pytest.mark.parametrize("name", ["everything", "split_brain", "calm"])
@pytest.mark.parametrize(
    "given",
    ["", "--faults none", "--overlay full", "--overlay tree", "--minutes 1.2345678", "--only none"],
)
def test_the_command_says_what_was_given_in_place_of_the_scenario_s(name: str, given: str) -> None:
    plans = parsed([name, *given.split()])
    again = parsed(command_of(plans[0]).split()[3:])
    assert [evolve(plan, faults=()) for plan in again] == [evolve(plans[0], faults=())]
    assert strikes_of(again[0]) == strikes_of(plans[0])


def test_each_of_many_runs_is_the_plan_of_its_own_seed() -> None:
    plans = parsed(["hunt", "--runs", "12", "--seed", "3"])
    assert plans == [plan_of("hunt", seed=seed) for seed in range(3, 15)]


def test_a_strike_that_one_of_the_seeds_has_not_is_named() -> None:
    with pytest.raises(click.BadParameter, match="--only: seed 0 has strikes 0 to 59, got '70'"):
        parsed(["everything", "--runs", "3", "--only", "70"])
    last = len(strikes_of(plan_of("everything", seed=3))) - 1
    with pytest.raises(click.BadParameter, match="--only: seed 4 has"):
        parsed(["everything", "--runs", "2", "--seed", "3", "--only", str(last)])


def test_a_hunt_draws_its_load_from_the_seed_alone() -> None:
    rates = [plan_of("hunt", seed=seed).load.local_per_s for seed in range(40)]
    assert rates == [plan_of("hunt", seed=seed).load.local_per_s for seed in range(40)]
    assert set(rates) == {1.0, 0.3, 0.1}
    assert {plan_of("everything", seed=seed).load.local_per_s for seed in range(40)} == {1.0}


def test_a_schedule_is_the_seed_s_alone() -> None:
    plan = plan_of("everything", seed=4)
    assert strikes_of(plan) == strikes_of(plan)
    assert strikes_of(plan) != strikes_of(evolve(plan, seed=5))


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_every_scenario_strikes_hosts_that_it_has(name: str) -> None:
    plan = plan_of(name, nodes=4, minutes=1.0)
    for strike in strikes_of(plan):
        assert all(0 <= host < 4 for host in strike.hosts)
        assert 0 <= strike.at_us <= 60_000_000


@pytest.mark.parametrize("below", ["", "below"])
def test_a_folder_for_the_report_that_cannot_be_written_is_said_before_the_runs(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    below: str,
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: name)
    monkeypatch.setattr(command, "run_all", None)
    taken = tmp_path / "taken"
    taken.touch()
    with pytest.raises(SystemExit) as ended:
        main(["sim", "calm", "--report", str(taken / below)])
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"mesh: --report {taken / below}: ")
    assert "name a folder that you may write to" in err


def test_a_disk_that_is_full_when_the_report_is_written_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(command, "write", full)
    plan = plan_of("calm", seed=0, nodes=2, minutes=0.1)
    request = command.Request(*([None] * 12), report=str(tmp_path))  # type: ignore[arg-type]
    with pytest.raises(click.ClickException, match="No space left on device; name a folder"):
        command.write_report(request, [plan], [])


def test_the_module_has_the_exit_codes_of_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: name)
    (tmp_path / "taken").touch()
    with pytest.raises(SystemExit) as ended:
        module.run(["calm", "--report", str(tmp_path / "taken")])
    assert ended.value.code == 2
    assert "name a folder that you may write to" in capsys.readouterr().err

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "plans_of", interrupted)
    with pytest.raises(SystemExit) as ended:
        module.run(["calm"])
    assert ended.value.code == LocalError.exit_code
