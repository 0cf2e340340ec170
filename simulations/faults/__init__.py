"""All kinds of faults by name, in groups; `--faults` and scenarios choose among them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from simulations.faults import clocks, disks, liars, links, members, paths, processes, quality
from simulations.strike import Fault

GROUPS: Final[dict[str, dict[str, Fault]]] = {
    "partitions": {
        "halves": paths.Halves(),
        "minority": paths.Minority(),
        "isolated": paths.Isolated(),
        "ring": paths.Ring(),
        "bridge": paths.Bridge(),
        "one_way": paths.OneWay(),
        "one_way_halves": paths.OneWayHalves(),
        "flapping": paths.Flapping(),
        "pair": paths.PairCut(),
        "region_loss": paths.RegionLoss(),
    },
    "network": {
        "slow_link": quality.SlowLink(),
        "heavy_tail": quality.HEAVY_TAIL,
        "bandwidth": quality.NARROW,
        "loss": quality.LOSS_RATE,
        "drop": quality.DROP,
        "duplicate": quality.DUPLICATE,
        "reorder": quality.REORDER,
        "flip": quality.FLIP,
        "truncate": links.Truncate(),
        "reset": links.Reset(),
        "half_open": links.HalfOpen(),
    },
    "disk": {
        "disk_full": disks.Full(),
        "slow_disk": disks.Slow(),
        "commit_lost": disks.COMMIT_LOST,
        "commit_kept": disks.COMMIT_KEPT,
        "torn_commit": disks.TORN_COMMIT,
        "damage": disks.Damage(),
        "snapshot": disks.Snapshot(is_damaged=False),
        "snapshot_damage": disks.Snapshot(is_damaged=True),
        "put_back": disks.PutBack(),
    },
    "clocks": {
        "drift": clocks.Drift(),
        "step": clocks.Step(),
        "freeze": clocks.Freeze(),
    },
    "processes": {
        "pause": processes.Pause(),
        "kill": processes.KILL,
        "power_loss": processes.POWER_LOSS,
        "region_power_loss": processes.REGION_POWER_LOSS,
        "crash_storm": processes.CRASH_STORM,
        "restart_loop": processes.RestartLoop(),
        "churn": processes.Churn(),
        "join": members.Join(),
        "double": members.Double(),
    },
    "byzantine": dict(liars.LIES),
}
FAULTS: Final[dict[str, Fault]] = {
    name: fault for group in GROUPS.values() for name, fault in group.items()
}


def kinds(names: Iterable[str]) -> tuple[str, ...]:
    """
    The kinds that *names* stand for, each of them a kind or a group, without repetition.

    Raises:
        ValueError: One is neither.
    """
    found: dict[str, None] = {}
    for name in names:
        if name not in FAULTS and name not in GROUPS:
            known = ", ".join([*GROUPS, *FAULTS])
            raise ValueError(f"no kind or group of faults is called {name!r}; there are {known}")
        found.update(dict.fromkeys(GROUPS.get(name, (name,))))
    return tuple(found)


__all__ = ["FAULTS", "GROUPS", "kinds"]
