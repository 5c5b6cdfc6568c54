"""What the measured seconds mean: medians, ratios, and whether an aim was met."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

EPOCHS = 20
_PEERS = ("plain", "hugging_face", "fastai")

Found = Mapping[str, Mapping[str, Any]]


def median(case: Mapping[str, Any], field: str = "seconds") -> float:
    """Return the median of one field over a case's repeats."""
    return float(statistics.median(row[field] for row in case["rows"]))


def head_only(found: Found, field: str = "seconds", epochs: int = EPOCHS) -> dict[str, Any]:
    """Compare a head-only job with the peers' `epochs` epochs and with the floor, one network."""
    peers = {name: epochs * median(found[name], field) for name in _PEERS if name in found}
    first, again = median(found["first"], field), median(found["again"], field)
    return {
        "ours_s": round(first, 2),
        "again_s": round(again, 3),
        "grown_s": round(median(found["grown"], field), 2),
        "floor_s": round(median(found["floor"], field), 2),
        "peers_s": {name: round(value, 1) for name, value in peers.items()},
        "times_faster": {name: round(value / first, 1) for name, value in peers.items()},
        "again_times_faster": {name: round(value / again) for name, value in peers.items()},
        "of_the_floor": round(first / median(found["floor"], field), 2),
        "images_per_second": {
            name: round(found[name]["photos"] / median(found[name], field), 1)
            for name in ("eager", "floor")
            if name in found
        },
    }


def tuned(ours: Mapping[str, Any], plain: Mapping[str, Any], epochs: int) -> dict[str, Any]:
    """Compare fine-tuning with as many epochs of the plain loop."""
    loop, training = epochs * median(plain), median(ours, "training_seconds")
    return {
        "epochs": epochs,
        "ours_s": round(training, 2),
        "whole_job_s": round(median(ours), 2),
        "plain_s": round(loop, 2),
        "times_faster": round(loop / training, 2),
    }


def peaks(found: Found) -> dict[str, int]:
    """Return the peak of memory of each case, MiB, its child processes' largest on top."""
    return {name: case["peak_mib"] + case["peak_child_mib"] for name, case in found.items()}


def aims(report: Mapping[str, Any]) -> Sequence[tuple[str, float, float]]:
    """Return each aim that the report has a figure for: its name, the figure, what was aimed at."""
    listed: list[tuple[str, float, float]] = []
    for name, aim in (("resnet18", 30.0), ("efficientnet_lite0", 60.0)):
        heads = report["head_only"].get(name)
        if heads is None:
            continue
        listed += [
            (f"{name} faster than {peer}", x, aim) for peer, x in heads["times_faster"].items()
        ]
        again = heads["again_times_faster"].items()
        listed += [(f"{name} again, faster than {peer}", x, 300.0) for peer, x in again]
        listed.append(
            (f"{name} floor / ours", round(1 / heads["of_the_floor"], 2), round(1 / 1.15, 2))
        )
    for name, wanted in (("partial_finetune", 2.5), ("full_finetune", 1.0)):
        for network, one in report.get(name, {}).items():
            listed.append((f"{network} {name}, faster than plain", one["times_faster"], wanted))
    if "storage" in report:
        listed.append(("full copies / bytes stored", report["storage"]["ratio"], 100.0))
    return listed
