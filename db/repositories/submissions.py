"""What a new job names: datasets and a model of the tenant's, which must fit its strategy.

Everything that can be known before a worker has the images is judged here, at once.
"""

from sqlalchemy import func
from sqlalchemy.orm import Session

from core.refusals import ConflictError, InvalidError, NotFoundError, RefusedError
from db.models import Dataset, Image, Job, Model
from db.repositories import datasets, models
from db.tenancy import scoped
from regraft.contract.catalog import BACKBONES
from regraft.contract.errors import ErrorCode
from regraft.contract.job import DATASETS, FromModel, JobSubmission, stage_fault
from regraft.contract.labels import LabelSpaces, label_spaces
from regraft.contract.strategies import MIN_NEW, Dann, Prototype

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
        _check_extension(session, tenant_id, submission, found["dataset"])
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


def _check_extension(
    session: Session, tenant_id: str, submission: JobSubmission, dataset: Dataset
) -> None:
    """Raise `RefusedError` where a model is extended by what the dataset has not."""
    options, base = submission.strategy, submission.base
    if not (isinstance(options, Prototype) and options.extends and isinstance(base, FromModel)):
        return
    known = set(models.find(session, tenant_id, base.model).labels)
    if options.label in known:
        message = f"The model knows {options.label!r} already."
        raise RefusedError(ErrorCode.LABEL_EXISTS, message, "strategy.label")
    counts = {str(one["name"]): int(str(one["num_images"])) for one in dataset.classes}
    if not counts and options.label is not None:
        counts = {options.label: dataset.num_unlabelled}
    wanted = {options.label} if options.label else set(counts) - known
    if not wanted:
        message = "The dataset has no label that the model does not know."
        raise RefusedError(ErrorCode.LABEL_EXISTS, message, "dataset")
    few = {label: counts.get(label, 0) for label in wanted if counts.get(label, 0) < MIN_NEW}
    if few:
        listed = ", ".join(f"{label} ({count})" for label, count in sorted(few.items()))
        message = f"A new label needs {MIN_NEW} images at least, and the dataset has: {listed}."
        raise RefusedError(ErrorCode.TOO_FEW_IMAGES, message, "dataset")


def measurable(session: Session, tenant_id: str, model: Model, dataset_id: str) -> str | None:
    """Return what to warn of before a model is measured on a dataset.

    Raises `RefusedError` where no image has a label that the model knows.
    """
    dataset = datasets.find(session, tenant_id, dataset_id, param="dataset")
    known = _labels(dataset) & set(model.labels)
    if not known:
        message = "The dataset has no image with a label that the model knows."
        raise RefusedError(ErrorCode.LABEL_SPACES_DISJOINT, message, "dataset")
    learned = learned_from(session, tenant_id, model.id)
    hashes = scoped(Image, tenant_id).where(Image.dataset_id.in_(learned))
    seen = scoped(Image, tenant_id).where(
        Image.dataset_id == dataset_id, Image.sha256.in_(hashes.with_only_columns(Image.sha256))
    )
    count = session.scalar(seen.with_only_columns(func.count())) or 0
    if count == 0:
        return None
    return (
        f"{count} of the images are in a dataset that the model was made from: what it learned "
        "from proves little."
    )


def learned_from(session: Session, tenant_id: str, model_id: str) -> list[str]:
    """Return the datasets that a model learned its labels from, those that are ready still.

    A model that was extended learned from the datasets of the model that it extends, too.
    """
    named: list[str] = []
    while model_id:
        job = session.scalar(
            scoped(Job, tenant_id).join(Model, Model.job_id == Job.id).where(Model.id == model_id)
        )
        if job is None:
            break
        named.append(job.dataset_id)
        strategy, base = job.spec.get("strategy"), job.spec.get("base")
        is_extended = isinstance(strategy, dict) and strategy.get("extends")
        model_id = str(base.get("model", "")) if is_extended and isinstance(base, dict) else ""
    ready = datasets.live(tenant_id).where(Dataset.id.in_(named), Dataset.status == "ready")
    return sorted(session.scalars(ready.with_only_columns(Dataset.id)))


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
