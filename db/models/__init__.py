"""The tables, one module for each subject; importing this package registers them all."""

from db.models.audit import AuditEntry
from db.models.batch import BatchFile, BatchPart
from db.models.blob import Blob, BlobChunk
from db.models.dataset import Dataset, Image
from db.models.drift import DriftWindow
from db.models.erasure import Erasure
from db.models.feature import FeatureImage, FeaturePack
from db.models.job import Job, JobCheckpoint, JobEvent, JobMetric, JobResult
from db.models.model import FileSegment, Model, ModelAlias, ModelFile
from db.models.slot import WorkerSlot
from db.models.tenant import ApiKey, DeviceUse, FairShare, Idempotency, Tenant
from db.models.upload import Upload, UploadPart
from db.models.webhook import Webhook, WebhookDelivery

__all__ = [
    "ApiKey",
    "AuditEntry",
    "BatchFile",
    "BatchPart",
    "Blob",
    "BlobChunk",
    "Dataset",
    "DeviceUse",
    "DriftWindow",
    "Erasure",
    "FairShare",
    "FeatureImage",
    "FeaturePack",
    "FileSegment",
    "Idempotency",
    "Image",
    "Job",
    "JobCheckpoint",
    "JobEvent",
    "JobMetric",
    "JobResult",
    "Model",
    "ModelAlias",
    "ModelFile",
    "Tenant",
    "Upload",
    "UploadPart",
    "Webhook",
    "WebhookDelivery",
    "WorkerSlot",
]
