"""One example of each answer for the published document, built from the contract's own models."""

from typing import Any

from pydantic import BaseModel

from api import example_values as values
from api.views.operations import Health
from regraft.contract.administration import (
    Key,
    KeyNew,
    KeyRotation,
    KeyWithText,
    Merchant,
    MerchantChange,
    MerchantNew,
)
from regraft.contract.batch import Batch, BatchSubmission
from regraft.contract.drift import Drift
from regraft.contract.erasure import Erasure, ErasurePreview, ErasureRequest
from regraft.contract.job import JobSubmission
from regraft.contract.prediction import Embedding, Prediction
from regraft.contract.registry import Alias, AliasMove, AuditEntry, Deleted, Evaluate, NewClasses
from regraft.contract.resources import (
    Backbone,
    Checkpoint,
    Dataset,
    Image,
    Job,
    JobEstimate,
    JobEvent,
    MerchantUsage,
    MetricSeries,
    Model,
    ModelFile,
    Page,
    QueueShare,
    Strategy,
    Whoami,
)
from regraft.contract.search import Search
from regraft.contract.uploads import Upload, UploadRequest
from regraft.contract.webhooks import (
    Delivery,
    SecretRotation,
    Webhook,
    WebhookChange,
    WebhookEvent,
    WebhookNew,
    WebhookWithSecret,
)


def _page(model: type[BaseModel], *items: dict[str, Any]) -> dict[str, Any]:
    shown = [_one(model, item) for item in items]
    return {"object": "list", "data": shown, "has_more": False, "next_cursor": None}


def _one(model: type[BaseModel], values: dict[str, Any]) -> dict[str, Any]:
    return model.model_validate(values).model_dump(mode="json", by_alias=True)


_SPEC = JobSubmission.model_validate(values.SUBMISSION).spec().model_dump(mode="json")
_ONE: dict[type[BaseModel], dict[str, Any]] = {
    Dataset: {
        "id": values.DATASET,
        "name": "home goods",
        "version": 1,
        "status": "ready",
        "status_reason": None,
        "num_images": 240,
        "num_rejected": 3,
        "num_unlabelled": 0,
        "classes": [{"name": "mug", "num_images": 120}, {"name": "cup", "num_images": 120}],
        "warnings": [],
        "parent": None,
        "bytes": 1834921,
        "sha256": values.SHA,
        "created_at": values.NOW,
        "metadata": {},
    },
    Image: {
        "id": "img_01k8zr0m5f1a2b3c4d5e6f7g8h",
        "path": "mug/a.jpg",
        "label": "mug",
        "verdict": "ok",
        "message": None,
        "width": 640,
        "height": 480,
        "sha256": values.SHA,
    },
    Job: {
        "id": values.JOB,
        "name": "home goods, autumn",
        "status": "succeeded",
        "status_reason": None,
        "spec": _SPEC,
        "register_as": "home-goods",
        "progress": {"phase": "exporting", "fraction": 1.0},
        "queue": None,
        "priority": 0,
        "attempt": 1,
        "created_at": values.NOW,
        "started_at": values.NOW,
        "finished_at": values.NOW,
        "model": values.MODEL,
        "metrics": values.METRICS,
        "transfer": None,
        "usage": {"device_seconds": 21.4, "num_images": 240},
        "error": None,
        "metadata": {"season": "FW26"},
    },
    Batch: values.BATCH,
    Checkpoint: {
        "step": 420,
        "epoch": 7,
        "bytes": 53687091,
        "sha256": values.SHA,
        "created_at": values.NOW,
    },
    QueueShare: {
        "weight": 1,
        "share": 0.5,
        "max_running": None,
        "device_seconds": 321.5,
        "running": 1,
        "queued": 3,
        "queued_in_all": 5003,
        "devices": 2,
        "why": "A device is free: your next job starts now.",
    },
    JobEstimate: {
        "spec": _SPEC,
        "warnings": [],
        "queue": {"jobs_ahead": 2, "estimated_start": values.NOW},
        "typical_seconds": 21.4,
    },
    MerchantUsage: {
        "month": "2026-11",
        "device_seconds": 321.5,
        "stored_bytes": 1834921,
        "quotas": [values.QUOTA],
    },
    JobEvent: {
        "id": "evt_01k8zr1w3h2b3c4d5e6f7g8h9j",
        "created_at": values.NOW,
        "level": "info",
        "type": "status",
        "message": "Queued.",
        "data": {"from": None, "to": "queued"},
    },
    Model: {
        "id": values.MODEL,
        "name": "home-goods",
        "version": 1,
        "aliases": [],
        "job": values.JOB,
        "backbone": "efficientnet_lite0",
        "strategy": "linear_probe",
        "labels": ["cup", "mug"],
        "metrics": values.METRICS,
        "transfer": {},
        "files": [values.FILE],
        "lineage": {"dataset": values.DATASET},
        "created_at": values.NOW,
        "metadata": {},
    },
    ModelFile: values.FILE,
    Drift: {
        "model": values.MODEL,
        "status": "drifted",
        "message": "The newest photos look unlike the training images.",
        "collected": 40,
        "windows": [
            {
                "started_at": values.NOW,
                "ended_at": values.NOW,
                "num_images": 204,
                "shift": 1.31,
                "p_value": 4.1e-12,
                "drifted": True,
            }
        ],
        "suggested_job": {
            "dataset": values.DATASET,
            "base": {"model": values.MODEL},
            "strategy": {"type": "auto"},
            "register_as": "home-goods",
            "metadata": {"reason": "drift", "drifted_model": values.MODEL},
        },
    },
    Backbone: {
        "name": "efficientnet_lite0",
        "num_parameters": 4652008,
        "num_features": 1280,
        "input_size": 224,
        "stages": ["stage1"],
        "licence": "Apache-2.0",
        "weights_fingerprint": values.SHA,
    },
    Strategy: {
        "type": "linear_probe",
        "trains": "the head",
        "summary": "Logistic regression.",
        "reference": "Kornblith et al. 2019",
        "json_schema": {"type": "object"},
        "defaults": {"type": "linear_probe"},
    },
    MetricSeries: {"series": {"accuracy": [{"step": 1, "value": 0.98, "time": values.NOW}]}},
    Whoami: {
        "merchant": "mer_01k8zqzz5e9tq4x7c2v6b8n3hd",
        "merchant_name": "Acme Home Goods",
        "key": "key_01k8zqzz6e9tq4x7c2v6b8n3hd",
        "scopes": ["read", "write"],
        "quotas": [values.QUOTA],
    },
    Alias: values.ALIAS,
    AuditEntry: values.AUDIT,
    Deleted: {"id": values.MODEL, "object": "model"},
    Merchant: values.MERCHANT,
    Key: values.KEY,
    KeyWithText: {**values.KEY, "key": f"rg_8fddd283_{'A' * 43}"},
    Upload: {
        "id": "up_01k8zr2h6j8zt4e7g3n5r9v1wf",
        "status": "open",
        "bytes": 20000000,
        "sha256": values.SHA,
        "part_bytes": 8388608,
        "num_parts": 3,
        "parts": [{"number": 1, "bytes": 8388608, "sha256": values.SHA}],
        "created_at": values.NOW,
        "expires_at": values.NOW,
    },
    Webhook: values.WEBHOOK,
    WebhookWithSecret: {
        **values.WEBHOOK,
        "secret": "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    },
    Delivery: values.DELIVERY,
    Erasure: values.ERASURE,
    ErasurePreview: {
        "dataset": values.DATASET,
        "dataset_name": "home goods",
        "models": "keep",
        "num_images": 240,
        "num_shared": 12,
        "feature_packs": 1,
        "bytes": 1834921,
        "affected": [
            {
                "id": values.MODEL,
                "name": "home-goods",
                "version": 3,
                "aliases": ["production"],
                "made_from": "trained",
            }
        ],
        "versions": [],
        "jobs": [values.JOB],
        "blockers": [f"Jobs that have not ended use the dataset: {values.JOB}."],
    },
    Prediction: {"model": values.MODEL, "results": [values.PREDICTED, values.UNREAD]},
    Embedding: {
        "model": values.MODEL,
        "backbone_sha256": values.SHA,
        "results": [{**values.PHOTO, "vector": [0.125, -1.5], "error": None}],
    },
    Search: {
        "dataset": values.DATASET,
        "model": values.MODEL,
        "num_images": 240,
        "num_missing": 0,
        "exact": True,
        "recall": 1.0,
        "results": [values.SIMILAR],
        "errors": [],
    },
    Health: {"status": "ok"},
}

SUBJECTS = {
    "model": values.MODEL,
    "job": values.JOB,
    "batch": values.BATCH["id"],
    "dataset": values.DATASET,
    "webhook": str(values.WEBHOOK["id"]),
}
EXAMPLES: dict[type[BaseModel], dict[str, Any]] = {
    **{model: _one(model, values) for model, values in _ONE.items()},
    JobSubmission: values.SUBMISSION,
    AliasMove: {"to": 3},
    NewClasses: {"dataset": values.DATASET, "label": "teapot"},
    Evaluate: {"dataset": values.DATASET},
    UploadRequest: {"bytes": 20000000, "sha256": values.SHA},
    ErasureRequest: {"dataset": values.DATASET, "models": "delete"},
    Page[Erasure]: _page(Erasure, values.ERASURE),
    Page[Dataset]: _page(Dataset, _ONE[Dataset]),
    Page[Image]: _page(Image, _ONE[Image]),
    Page[Job]: _page(Job, _ONE[Job]),
    BatchSubmission: {"dataset": values.DATASET, "model": "home-goods@production", "format": "csv"},
    Page[Batch]: _page(Batch, values.BATCH),
    Page[Checkpoint]: _page(Checkpoint, _ONE[Checkpoint]),
    Page[JobEvent]: _page(JobEvent, _ONE[JobEvent]),
    Page[Model]: _page(Model, _ONE[Model]),
    MerchantNew: {"name": values.MERCHANT["name"], "limits": values.LIMITS},
    MerchantChange: {"weight": 2, "limits": {"jobs_queued": None}},
    KeyNew: {"merchant": values.MERCHANT["id"], "scopes": ["read"], "days": 90},
    KeyRotation: {"overlap_hours": 24},
    Page[Merchant]: _page(Merchant, values.MERCHANT),
    Page[Key]: _page(Key, values.KEY),
    WebhookEvent: {"type": "job.succeeded", "timestamp": values.NOW, "data": {"id": values.JOB}},
    WebhookNew: {"url": values.WEBHOOK["url"], "events": values.WEBHOOK["events"]},
    WebhookChange: {"enabled": True},
    SecretRotation: {"overlap_hours": 24},
    Page[Webhook]: _page(Webhook, values.WEBHOOK),
    Page[Delivery]: _page(Delivery, values.DELIVERY),
    Page[AuditEntry]: _page(AuditEntry, values.AUDIT),
    Page[ModelFile]: _page(ModelFile, values.FILE),
    Page[Backbone]: _page(Backbone, _ONE[Backbone]),
    Page[Strategy]: _page(Strategy, _ONE[Strategy]),
}
