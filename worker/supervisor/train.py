"""Kind `train`: let the trainer train, store its checkpoints, publish the model's files."""

from functools import partial

from core.logs import logger
from db.lifecycle.finish import Trained
from regraft.contract.errors import ErrorCode
from worker.engine.messages import Answered, CheckpointReport, Done, FromTrainer, Produced, Run
from worker.engine.runspec import RunSpec
from worker.supervisor import outcome
from worker.supervisor.attempt import Attempt
from worker.supervisor.checkpoints import store
from worker.supervisor.conversation import Conversation
from worker.supervisor.materialise import run_spec
from worker.supervisor.outcome import Outcome
from worker.supervisor.publish import ProducedError, publish

_log = logger(__name__)


def train(attempt: Attempt) -> Outcome:
    """Run one training to its end."""
    return Training(attempt, run_spec(attempt)).run()


class Training(Conversation[CheckpointReport]):
    """The conversation about one training."""

    def __init__(self, attempt: Attempt, spec: RunSpec) -> None:
        super().__init__(attempt, Run(spec=spec), partial(store, attempt))
        self._spec = spec
        self._produced: Produced | None = None

    def _keep(self, message: FromTrainer) -> None:
        match message:
            case CheckpointReport():
                self._keeper.keep(message)
            case Produced():
                self._produced = message
            case _:
                pass

    def _done(self, done: Done | Answered) -> Outcome:
        attempt = self._attempt
        if not isinstance(done, Done):
            return self._refused(f"it answered a training with {done.type}")
        try:
            files = publish(attempt, self._produced or Produced(blobs=[], files=[]))
        except ProducedError as error:
            _log.exception("trainer's files refused")
            return self._refused(str(error))
        result = Trained(
            backbone=done.backbone,
            strategy=str(done.lineage.get("strategy", self._spec.spec.strategy.type)),
            labels=done.labels,
            metrics=done.metrics.model_dump(mode="json"),
            transfer=done.transfer.model_dump(mode="json"),
            lineage=done.lineage,
            num_images=done.num_images,
            files=files,
        )
        return outcome.trained(attempt.claim, result)

    def _refused(self, why: str) -> Outcome:
        self._attempt.station.trainer.discard()
        message = f"The trainer's files are not what it said: {why}."
        return outcome.failed(self._attempt.claim, ErrorCode.INTERNAL, message)
