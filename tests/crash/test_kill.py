"""
kill -9 in a storm of writes: what was acknowledged is there, nothing forks, peers agree. In the
long run the power goes, too, with every other kill.

The long run keeps count of the campaigns that are done, so that it may be stopped and resumed.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Final

import pytest
from attrs import evolve

from mesh.node import crashpoints
from tests.crash.rounds import ROOT, Kill, yard

TALLY: Final = ROOT / ".slow" / "crash.jsonl"
#: Pairs of homes in the long run; each is killed at all crash points and as often at random.
CAMPAIGNS: Final = 8
KILLS_MIN: Final = 200
#: Outages worked out for each kill that has any: the last one is what the next round begins with.
OUTAGES: Final = 10


def kills_of(seed: int, *, points: tuple[str, ...], at_random: int, outages: int = 0) -> list[Kill]:
    """
    Each of *points* once, and so many at random times, in an order of the seed's.

    Every other one with *outages*, if any; over four seeds each point with and without them.
    """
    rnd = random.Random(seed)
    kills = [Kill(point=f"{point}:{rnd.randint(1, 40)}") for point in points]
    kills += [Kill(after_s=rnd.uniform(0.0, 0.5)) for _ in range(at_random)]
    if outages:
        # Founder and member storm by turns, so each of them gets both halves in four seeds.
        half = seed // 2 % 2
        kills[half::2] = [evolve(kill, outages=outages) for kill in kills[half::2]]
    rnd.shuffle(kills)
    return kills


@pytest.mark.parametrize("storms", ["founder", "member"])
async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, storms: str) -> None:
    seed = 48213 if storms == "founder" else 48214
    # Every other crash point here, the rest in the other case.
    points = crashpoints.NAMES[storms == "founder" :: 2]
    async with yard(tmp_path, storms=storms) as made:
        for kill in kills_of(seed, points=points, at_random=2):
            await made.round(kill, seed=seed)
        assert made.acknowledged > 10 * made.rounds


async def campaign(folder: Path, seed: int) -> dict[str, int]:
    """All crash points and as many random kills, on one home."""
    points = crashpoints.NAMES
    async with yard(folder, storms=("founder", "member")[seed % 2]) as made:
        for kill in kills_of(seed, points=points, at_random=len(points), outages=OUTAGES):
            await made.round(kill, seed=seed)
        return {
            "seed": seed,
            "kills": made.rounds,
            "outages": made.outages,
            "acknowledged": made.acknowledged,
        }


def tallied() -> list[dict[str, int]]:
    return [json.loads(line) for line in TALLY.read_text().splitlines()] if TALLY.exists() else []


@pytest.mark.slow
async def test_two_hundred_kills_lose_nothing(tmp_path: Path) -> None:
    TALLY.parent.mkdir(exist_ok=True)
    for seed in sorted(set(range(CAMPAIGNS)) - {row["seed"] for row in tallied()}):
        row = await campaign(tmp_path / f"{seed}", seed)
        with TALLY.open("a") as file:
            file.write(json.dumps(row) + "\n")
    kills = sum(row["kills"] for row in tallied())
    outages = sum(row["outages"] for row in tallied())
    acknowledged = sum(row["acknowledged"] for row in tallied())
    print(
        f"{kills} kills and {outages} losses of power, {acknowledged} acknowledged writes: "
        "0 lost, 0 forks"
    )
    assert kills >= KILLS_MIN
    # The next run begins anew.
    TALLY.unlink()
