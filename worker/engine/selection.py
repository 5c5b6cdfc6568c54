"""Which backbone a run starts from, where the job allows several: the one of the highest LogME.

May import the contract and the engine's own modules.
"""

from worker.engine import backbone as backbones
from worker.engine.backbone import Backbone
from worker.engine.context import Context, Silent
from worker.engine.inputs import read_inputs
from worker.engine.runspec import RunSpec
from worker.engine.strategies.planner.ranking import log_me


def selected(spec: RunSpec, context: Context) -> tuple[Backbone, str]:
    """Return the backbone, and a sentence on the choice; nothing where there was none.

    Features of the training images are computed once on each; held-out images play no part in
    the ranking.
    """
    if len(spec.backbones) == 1:
        return backbones.starting(spec), ""
    scores = {name: _score(spec, name, context) for name in spec.backbones}
    ranked = sorted(scores, key=lambda name: -scores[name])
    shown = ", ".join(f"{name} {scores[name]:.3f}" for name in ranked)
    sentence = f"Of {len(ranked)} backbones {ranked[0]} suits the labels best, by LogME ({shown}). "
    context.event(sentence.strip(), scores=scores)
    return backbones.prepared(ranked[0], spec.weights_dir), sentence


def _score(spec: RunSpec, name: str, context: Context) -> float:
    context.check()
    given = read_inputs(spec, backbones.prepared(name, spec.weights_dir), Silent(context))
    train = given.parts.train
    return log_me(given.features.of(train), given.truth(train), len(given.labels))
