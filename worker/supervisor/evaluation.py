"""Kind `evaluate`: let the trainer measure a finished model on a dataset; nothing is trained."""

import json

from regraft.contract.job import FromModel, JobSpec
from worker.engine.messages import Answered, Done
from worker.engine.runspec import DataSource, RunSpec
from worker.supervisor import outcome
from worker.supervisor.attempt import Attempt
from worker.supervisor.base_model import base_model, finished_files
from worker.supervisor.materialise import pack_of, surroundings
from worker.supervisor.outcome import Outcome
from worker.supervisor.train import Training


def evaluate(attempt: Attempt) -> Outcome:
    """Run one evaluation to its end."""
    return _Evaluation(attempt, _run_spec(attempt)).run()


class _Evaluation(Training):
    """The conversation about one evaluation."""

    def _done(self, done: Done | Answered) -> Outcome:
        if not isinstance(done, Done):
            return self._refused(f"it answered an evaluation with {done.type}")
        metrics = done.metrics.model_dump(mode="json")
        return outcome.evaluated(self._attempt.claim, metrics, done.num_images)


def _run_spec(attempt: Attempt) -> RunSpec:
    """Bring the model and the images to this host."""
    claim = attempt.claim
    given = {**claim.spec, "strategy": JobSpec.model_fields["strategy"].default.model_dump()}
    spec = JobSpec.model_validate_json(json.dumps(given))
    model_id = spec.base.model if isinstance(spec.base, FromModel) else ""
    return RunSpec(
        task="evaluate",
        name=claim.register_as or "model",
        job=claim.job_id,
        spec=spec,
        data=DataSource(pack=pack_of(attempt, claim.dataset_id)),
        base_model=base_model(attempt, model_id),
        finished=finished_files(attempt, model_id),
        **surroundings(attempt),
    )
