"""Which backbone a run starts from, where the job allows several: the one of the highest LogME.

May import the contract and the engine's own modules.
"""

from math import inf, isfinite

from regraft.contract.status import Phase
from worker.engine import backbone as backbones
from worker.engine.backbone import Backbone
from worker.engine.context import Context, Silent
from worker.engine.inputs import read_inputs
from worker.engine.runspec import RunSpec
from worker.engine.strategies.planner.ranking import log_me

_BEFORE = 0.05  # of the run: where the features' share of the progress begins


def selected(spec: RunSpec, context: Context) -> tuple[Backbone, str]:
    """Return the backbone, and a sentence on the choice; nothing where there was none.

    Features of the training images are computed once on each; held-out images play no part in
    the ranking.
    """
    if len(spec.backbones) == 1:
        return backbones.starting(spec), ""
    turns = {name: _Turn(context, turn, spec) for turn, name in enumerate(spec.backbones)}
    scores = {name: _score(spec, name, turn) for name, turn in turns.items()}
    ranked = sorted(scores, key=lambda name: -scores[name])
    shown = ", ".join(f"{name} {scores[name]:.3f}" for name in ranked)
    sentence = f"Of {len(ranked)} backbones {ranked[0]} suits the labels best, by LogME ({shown}). "
    known = {name: score for name, score in scores.items() if isfinite(score)}
    context.event(sentence.strip(), scores=known)
    return backbones.prepared(ranked[0], spec.weights_dir), sentence


def _score(spec: RunSpec, name: str, context: Context) -> float:
    """Return LogME; minus infinity where features hardly differ and there is no evidence."""
    context.check()
    given = read_inputs(spec, backbones.prepared(name, spec.weights_dir), context)
    train = given.parts.train
    found = log_me(given.features.of(train), given.truth(train), len(given.labels))
    return found if isfinite(found) else -inf


class _Turn(Silent):
    """Reports how far one of several readings is: silence would look like a trainer that hangs."""

    def __init__(self, outer: Context, turn: int, spec: RunSpec) -> None:
        super().__init__(outer)
        self._turn = turn
        self._count = len(spec.backbones)

    def progress(
        self, phase: Phase, fraction: float, done: int | None = None, total: int | None = None
    ) -> None:
        """Pass it on, as a part of the little that comes before the features."""
        share = _BEFORE * (self._turn + fraction) / self._count
        self._outer.progress(phase, share, done, total)
