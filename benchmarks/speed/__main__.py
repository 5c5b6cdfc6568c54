"""`python -m benchmarks.speed`: each case in a process of its own; prints and writes one report.

What was measured is kept in <folder>/cases.json as it comes, and with `--keep` not measured again.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.speed import figures, networks
from benchmarks.speed.images import photos
from benchmarks.speed.picture import picture

_ROOT = Path(__file__).parents[2]
_MEASURES = {"head_only": "seconds", "head_only_by_processor": "processor_seconds"}
_PEERS = _ROOT / ".venv-peers" / "bin" / "python"


class Case(NamedTuple):
    """One process: its module, its network, what it is told besides, and how many photos."""

    name: str
    module: str
    network: str
    more: str
    photos: int
    python: str = sys.executable

    @property
    def key(self) -> str:
        """Return what the case is called among all."""
        return f"{self.network}.{self.name}"


def main() -> int:
    """Measure, print the report as JSON, and draw it; 0 whatever the figures say."""
    options = _options()
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "cases.json"
    found: dict[str, Any] = {}
    if options.keep and kept.is_file():
        found = json.loads(kept.read_text())
    for case in _cases(options):
        if case.key in found or (options.only and options.only not in case.key):
            continue
        sys.stderr.write(f"{case.key} ...\n")
        found[case.key] = _run(case, options)
        kept.write_text(json.dumps(found, indent=1))
    report = _report(found, options)
    (folder / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    if report["head_only"]:
        (folder / "speed.svg").write_text(picture(report))
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".regraft/bench-speed"))
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--tuned-photos", type=int, default=200, help="for fine-tuning")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10, help="of the last stage alone")
    parser.add_argument("--full-epochs", type=int, default=2, help="of all weights")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--networks", nargs="*", default=list(networks.NAMES))
    parser.add_argument("--merchants", type=int, default=100)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--only", help="a part of the names of cases")
    parser.add_argument("--keep", action="store_true", help="go on where an earlier run stopped")
    return parser.parse_args()


def _cases(options: argparse.Namespace) -> Iterator[Case]:
    many, few = options.photos, options.tuned_photos
    for network in options.networks:
        for name, module, more in (
            ("floor", "floor", ""),
            ("first", "ours", "first"),
            ("again", "ours", "again"),
            ("grown", "ours", "grown"),
            ("plain", "plain", "head"),
        ):
            yield Case(name, module, network, more, many)
        if _PEERS.exists():
            yield Case("hugging_face", "peers.hugging_face", network, "", many, str(_PEERS))
            yield Case("fastai", "peers.fast_ai", network, "", many, str(_PEERS))
        yield Case("half", "ours", network, "first", many // 2)
        yield Case("eager", "eager", network, "", few)
        for strategy in ("partial_finetune", "full_finetune"):
            yield Case(strategy, "ours", network, strategy, few)
            yield Case(f"plain_{strategy}", "plain", network, strategy, few)
    yield Case("warm", "warm", "efficientnet_lite0", "", few)
    yield Case("storage", "storage", "efficientnet_lite0", str(options.models), 0)
    if options.merchants:
        yield Case("merchants", "merchants", "efficientnet_lite0", str(options.merchants), 0)


def _run(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """Run one case in a process of its own, on photos written before."""
    folder: Path = options.folder.resolve()
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    shown = photos(folder / f"photos{case.photos}", case.photos)
    settings = {
        "backbone": case.network,
        "photos": shown,
        "work": work,
        "shared": folder / "shared",
        "weights": folder / "weights",
        "repeats": options.repeats,
        "epochs": _epochs(case.more, options),
        "threads": options.threads,
        "more": case.more,
    }
    listed = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
    command = [case.python, "-m", f"benchmarks.speed.{case.module}", *listed]
    # Threads that wait for each other sleep: on a busy machine they would burn what others need.
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(
        command, cwd=_ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    shutil.rmtree(work, ignore_errors=True)
    return found | {"photos": case.photos}


def _epochs(strategy: str, options: argparse.Namespace) -> int:
    found: int = options.full_epochs if strategy == "full_finetune" else options.epochs
    return found


def _report(found: Mapping[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    by_network = {
        network: {
            key.partition(".")[2]: case
            for key, case in found.items()
            if key.partition(".")[0] == network
        }
        for network in options.networks
    }
    report: dict[str, Any] = {"photos": options.photos, "threads": options.threads}
    for name, field in _MEASURES.items():
        report[name] = {
            network: figures.head_only(cases, field)
            for network, cases in by_network.items()
            if {"floor", "first", "again", "grown"} <= cases.keys()
        }
    for strategy in ("partial_finetune", "full_finetune"):
        report[strategy] = {
            network: figures.tuned(
                cases[strategy], cases[f"plain_{strategy}"], _epochs(strategy, options)
            )
            for network, cases in by_network.items()
            if {strategy, f"plain_{strategy}"} <= cases.keys()
        }
    for name in ("storage", "merchants"):
        case = found.get(f"efficientnet_lite0.{name}")
        if case is not None:
            report[name] = case["rows"][0]
    warm = found.get("efficientnet_lite0.warm")
    if warm is not None:
        report["second_job_computes_after_s"] = figures.median(warm)
    report["peak_mib"] = {network: figures.peaks(cases) for network, cases in by_network.items()}
    report["aims"] = [
        {"what": what, "found": value, "aim": aim, "met": value >= aim}
        for what, value, aim in figures.aims(report)
    ]
    return report


if __name__ == "__main__":
    sys.exit(main())
