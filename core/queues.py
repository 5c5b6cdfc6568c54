"""The one task's name and the queues' names: all that crosses Redis besides a job's id."""

from regraft.contract.status import TRAINER_KINDS, JobKind

RUN_TASK = "regraft.run"
INGEST_CLASS = "ingest"


def queue_name(device_class: str) -> str:
    """Return the Celery queue of a device class (`cpu`, `cuda`, `ingest`)."""
    return f"regraft.{device_class}"


def device_class_of(kind: JobKind, trainer_class: str) -> str:
    """Return the device class that a job of this kind needs."""
    return trainer_class if kind in TRAINER_KINDS else INGEST_CLASS
