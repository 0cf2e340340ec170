"""A few fresh seeds on every run of the tests; what fails is printed as the line to repeat."""

import os
import random

import pytest

from simulations.command import in_words
from simulations.run import simulate
from simulations.scenarios import plan_of
from simulations.shrink import command_of

#: Seeds of one run of the tests: some tens of seconds.
SEEDS = 6


def test_fresh_seeds_break_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    given = os.environ.get("MESH_SIM_SEED")
    first = int(given) if given else random.SystemRandom().randrange(1 << 32)
    broken = []
    for seed in range(first, first + SEEDS):
        plan = plan_of("hunt", seed=seed, nodes=15, minutes=1)
        result = simulate(plan)
        with capsys.disabled():
            print(f"\n{in_words(result)}", end="")
        if result.violations:
            broken.append(f"{command_of(plan)}\n{result.violations}")
    assert not broken, "\n".join(broken)
