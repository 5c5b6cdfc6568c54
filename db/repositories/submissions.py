"""What a new job names: datasets and a model of the tenant's, which must fit its strategy.

Everything that can be known before a worker has the images is judged here, at once.
"""

from sqlalchemy.orm import Session

from core.refusals import ConflictError, InvalidError, NotFoundError, RefusedError
from db.models import Dataset
from db.repositories import datasets, models
from regraft.contract.catalog import BACKBONES
from regraft.contract.errors import ErrorCode
from regraft.contract.job import DATASETS, FromModel, JobSubmission, stage_fault
from regraft.contract.labels import LabelSpaces, label_spaces
from regraft.contract.strategies import Dann

WEIGHTS_FILE = "model.safetensors"
LABELS_FILE = "labels.json"
_MIN_CLASSES = 2
_NEGATIVE_TRANSFER = (
    "The source and the dataset share only some labels: aligning domains whose classes differ "
    "can make a model worse than none of the source would. The report compares both."
)


def resolved(session: Session, tenant_id: str, submission: JobSubmission) -> JobSubmission:
    """Return the submission with its base model by id, as the reference reads now.

    Raises `NotFoundError` for a model that the tenant has not.
    """
    if not isinstance(submission.base, FromModel):
        return submission
    model = models.find(session, tenant_id, submission.base.model, param="base.model")
    return submission.model_copy(update={"base": FromModel(model=model.id)})


def check(session: Session, tenant_id: str, submission: JobSubmission) -> list[str]:
    """Return what the merchant should be warned of.

    Raises `NotFoundError` for a dataset or a model that the tenant has not, `ConflictError` for
    one that is not ready or has no weights, `RefusedError` for a source whose labels do not fit;
    `param` names the field.
    """
    named = {param: getattr(submission, param) for param in DATASETS}
    found = {
        param: datasets.ready(session, tenant_id, dataset_id, param)
        for param, dataset_id in named.items()
        if dataset_id is not None
    }
    if isinstance(submission.base, FromModel):
        _check_model(session, tenant_id, submission, submission.base)
    source = found.get("source_dataset")
    return [] if source is None else _judged(submission, _labels(source), found["dataset"])


def _check_model(
    session: Session, tenant_id: str, submission: JobSubmission, base: FromModel
) -> None:
    if models.held(session, tenant_id, base.model) is None:
        raise NotFoundError("model", "base.model")
    found = models.show(session, tenant_id, base.model)
    backbone = found.model.backbone
    if WEIGHTS_FILE not in {file.name for file in found.files}:
        raise ConflictError("The model's weights were not kept.", "base.model")
    if backbone not in BACKBONES:
        raise ConflictError(f"This service has no backbone {backbone} any more.", "base.model")
    fault = stage_fault(submission.strategy, backbone)
    if fault is not None:
        raise InvalidError("strategy.freeze_until", fault)


def _labels(dataset: Dataset) -> set[str]:
    return {str(entry["name"]) for entry in dataset.classes}


def _judged(submission: JobSubmission, source: set[str], dataset: Dataset) -> list[str]:
    """Return warnings about the labels of a source; raise where they cannot be used."""
    if len(source) < _MIN_CLASSES:
        message = f"A source needs labelled images of two classes at least; it has {len(source)}."
        raise RefusedError(ErrorCode.TOO_FEW_CLASSES, message, "source_dataset")
    strategy = submission.strategy
    relation = label_spaces(source, _labels(dataset))
    if strategy.needs_shared_labels and relation is LabelSpaces.DISJOINT:
        message = f"{strategy.type} needs labels in common, and the source has none of the dataset."
        raise RefusedError(ErrorCode.LABEL_SPACES_DISJOINT, message, "source_dataset")
    is_risky = isinstance(strategy, Dann) and relation is LabelSpaces.OVERLAPPING
    return [_NEGATIVE_TRANSFER] if is_risky else []
