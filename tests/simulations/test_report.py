"""The report: one file that loads nothing, the same for the same run, figures beside it."""

import json
import re
from pathlib import Path

import pytest
from attrs import evolve

pytest.importorskip("matplotlib", reason="needs the extra for pictures: pip install -e '.[sim]'")

from simulations import command
from simulations.meters import DOWN
from simulations.report.writing import Measured, measure, write
from simulations.run import Plan, Result, simulate
from simulations.scenarios import plan_of
from simulations.strike import SECOND_US, Strike

STRIKES = (
    Strike(10 * SECOND_US, 15 * SECOND_US, "halves", (0, 1)),
    Strike(12 * SECOND_US, 10 * SECOND_US, "kill", (2,)),
)
PLAN = evolve(plan_of("split_brain", seed=7, nodes=4, minutes=0.6), strikes=STRIKES)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Result]]:
    folder = tmp_path_factory.mktemp("report")
    results = [simulate(evolve(PLAN, seed=seed)) for seed in (7, 8)]
    write(folder, measure(PLAN), results)
    return folder, results


def test_the_page_loads_nothing(written: tuple[Path, list[Result]]) -> None:
    text = (written[0] / "report.html").read_text()
    assert not re.findall(r"(?:src|href)=\"(?!#|data:)[^\"]*", text)
    assert not re.findall(r"url\((?!#)[^)]*\)|@import", text)
    assert text.count("<svg") == 7


def test_meters_change_nothing(written: tuple[Path, list[Result]]) -> None:
    data = json.loads((written[0] / "report.json").read_text())
    assert data["run"]["result"]["trace_hash"] == written[1][0].trace_hash


def test_the_figures_tell_what_happened(written: tuple[Path, list[Result]]) -> None:
    run = json.loads((written[0] / "report.json").read_text())["run"]
    samples = run["samples"]
    seen = dict(zip(samples["at_s"], samples["reach"], strict=True))
    # Members take a second to be admitted and ten to be linked; the strikes count from there.
    apart = next(reach for at_s, reach in seen.items() if at_s > 30)
    assert apart == [0, 0, DOWN, 3]
    assert samples["reach"][-1] == [0, 0, 0, 0]
    assert samples["states"][-1] == 1
    assert max(samples["states"]) > 1
    assert run["redundancy"] >= 1.0
    assert run["result"]["faults"] == {"halves": 1, "kill": 1}


def test_the_same_run_gives_the_same_page(
    written: tuple[Path, list[Result]], tmp_path: Path
) -> None:
    write(tmp_path, measure(PLAN), written[1])
    for name in ("report.html", "report.json"):
        one, two = ((folder / name).read_text() for folder in (tmp_path, written[0]))
        machine = re.compile(r'<p class="note" id="machine">.*?</p>|"machine": {.*?}', re.DOTALL)
        assert machine.sub("", one) == machine.sub("", two)


def test_what_a_member_begins_with_need_not_be_carried() -> None:
    run = measure(Plan(nodes=6, minutes=0.3, strikes=()))
    entries, founding = run.result.entries, 1 + 5
    # The founder's grants are there from the start; all else five take in.
    assert run.meters.received == pytest.approx((entries - founding) * 5, abs=12)
    assert run.meters.carried >= run.meters.received


def test_the_page_says_what_one_host_sent(written: tuple[Path, list[Result]]) -> None:
    text = (written[0] / "report.html").read_text()
    sent = json.loads((written[0] / "report.json").read_text())["run"]["sent"]
    messages = sorted(item["messages"] for item in sent)
    assert f"least {messages[0]:,}, median" in text
    assert f"most {messages[-1]:,}<" in text


def test_one_run_is_measured_as_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Plan] = []
    monkeypatch.setattr(
        command,
        "measure",
        lambda plan: made.append(plan) or measure(plan),  # type: ignore[func-returns-value]
    )
    plan = Plan(nodes=2, minutes=0.1, strikes=())
    request = command.Request(*([None] * 12), report=str(tmp_path))  # type: ignore[arg-type]
    measured: list[Measured] = []
    results = list(command.run_all(request, [plan], measured))
    assert command.write_report(request, [plan], results, measured).exists()
    assert made == [plan]


def test_words_of_a_run_are_no_markup(tmp_path: Path) -> None:
    run = measure(Plan(nodes=2, minutes=0.1, strikes=()))
    write(tmp_path, run, [evolve(run.result, violations=("<b>x</b>",))])
    text = (tmp_path / "report.html").read_text()
    assert "<b>x</b>" not in text
    assert "&lt;b&gt;x&lt;/b&gt;" in text
