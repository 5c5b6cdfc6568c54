"""One example of each answer for the published document, built from the contract's own models."""

from typing import Any

from pydantic import BaseModel

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

_DATASET = "ds_01k8zr0m5e9tq4x7c2v6b8n3hd"
_JOB = "job_01k8zr1w3g7ys5d9f2k4m6p8qa"
_MODEL = "md_01k8zr2h6j8zt4e7g3n5r9v1wb"
_SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_NOW = "2026-11-24T06:25:00.123Z"
_MATRIX = {"labels": ["cup", "mug"], "counts": [[24, 1], [0, 25]]}
_CLASS = {
    "label": "mug",
    "num_images": 25,
    "precision": 0.96,
    "recall": 1.0,
    "f1": 0.98,
    "threshold": 0.71,
    "num_answered": 23,
    "precision_answered": 1.0,
}
_METRICS = {
    "validation": {
        "num_images": 50,
        "accuracy": 0.98,
        "accuracy_interval": [0.8951, 0.9965],
        "top5": 1.0,
        "macro_f1": 0.98,
        "per_class": [_CLASS],
        "ece": 0.021,
        "ece_uncalibrated": 0.064,
        "abstention": {
            "num_answered": 46,
            "coverage": 0.92,
            "accuracy": 1.0,
            "accuracy_interval": [0.9229, 1.0],
        },
        "confusion_matrix": _MATRIX,
    }
}
_BATCH = {
    "id": "job_01k8zr1w3g7ys5d9f2k4m6p8qb",
    "name": "new arrivals",
    "status": "succeeded",
    "status_reason": None,
    "dataset": _DATASET,
    "model": _MODEL,
    "format": "csv",
    "top": 3,
    "limits": {"max_minutes": 60},
    "progress": {"phase": "evaluating", "fraction": 1.0},
    "queue": None,
    "priority": 0,
    "attempt": 1,
    "created_at": _NOW,
    "started_at": _NOW,
    "finished_at": _NOW,
    "file": {
        "name": "predictions.csv",
        "bytes": 41230,
        "sha256": _SHA,
        "num_rows": 243,
        "num_errors": 3,
    },
    "usage": {"device_seconds": 4.2, "num_images": 243},
    "error": None,
    "metadata": {},
}
_FILE = {"name": "model.onnx", "bytes": 13559409, "sha256": _SHA}
_ALIAS = {
    "name": "home-goods",
    "alias": "production",
    "model": _MODEL,
    "version": 3,
    "previous": "md_01k8zr2h6j8zt4e7g3n5r9v1wa",
    "comparison": {
        "compared_with": "md_01k8zr2h6j8zt4e7g3n5r9v1wa",
        "images": "test",
        "num_images": 100,
        "num_right": 94,
        "num_right_before": 91,
        "gain": {"points": 3.0, "interval": [-1.2, 7.4]},
    },
    "updated_at": _NOW,
}
_AUDIT = {
    "id": "aud_01k8zr2h6j8zt4e7g3n5r9v1wc",
    "action": "model.promoted",
    "actor": "key_01k8zqzz6e9tq4x7c2v6b8n3hd",
    "subject": "home-goods@production",
    "request_id": "req_4f0c",
    "data": {"from": None, "to": {"model": _MODEL, "version": 3}},
    "created_at": _NOW,
}
_QUOTA = {"name": "stored_bytes", "used": 1834921, "limit": 5000000, "left": 3165079}
_LIMITS = {"stored_bytes": 5000000, "jobs_queued": 100}
_MERCHANT = {
    "id": "mer_01k8zqzz5e9tq4x7c2v6b8n3hd",
    "name": "Acme Home Goods",
    "weight": 1,
    "limits": {**_LIMITS, "jobs_running": None, "device_minutes": None},
    "created_at": _NOW,
}
_KEY = {
    "id": "key_01k8zqzz6e9tq4x7c2v6b8n3hd",
    "merchant": _MERCHANT["id"],
    "name": "the shop's server",
    "prefix": "8fddd283",
    "scopes": ["read", "write"],
    "created_at": _NOW,
    "expires_at": None,
    "revoked_at": None,
}
_WEBHOOK = {
    "id": "whk_01k8zr2h6j8zt4e7g3n5r9v1wd",
    "url": "https://hooks.example.com/regraft",
    "description": None,
    "events": ["job.succeeded", "job.failed"],
    "enabled": True,
    "disabled_reason": None,
    "failing_since": None,
    "previous_secret_until": None,
    "created_at": _NOW,
}
_DELIVERY = {
    "id": "whd_01k8zr2h6j8zt4e7g3n5r9v1we",
    "webhook": _WEBHOOK["id"],
    "event": "evt_01k8zr1w3h2b3c4d5e6f7g8h9j",
    "type": "job.succeeded",
    "subject": _JOB,
    "status": "succeeded",
    "num_attempts": 1,
    "attempts": [{"at": _NOW, "status_code": 204, "error": None, "seconds": 0.118}],
    "next_attempt_at": None,
    "created_at": _NOW,
}
_ERASURE = {
    "id": "era_01k8zr2h6j8zt4e7g3n5r9v1wd",
    "dataset": _DATASET,
    "dataset_name": "home goods",
    "models": "delete",
    "status": "done",
    "status_reason": None,
    "deleted": {
        "images": 240,
        "blobs": 247,
        "bytes": 1834921,
        "models": 1,
        "model_files": 6,
        "checkpoints": 0,
    },
    "actor": "key_01k8zqzz6e9tq4x7c2v6b8n3hd",
    "created_at": _NOW,
    "finished_at": _NOW,
}
_SIMILAR = {
    "image": "img_01k8zr0m5e9tq4x7c2v6b8n3he",
    "name": "mug/red.jpg",
    "group": "SKU-1",
    "label": "mug",
    "score": 0.91,
    "url": f"/v1/datasets/{_DATASET}/images/img_01k8zr0m5e9tq4x7c2v6b8n3he",
}
_PHOTO = {"image": "a.jpg", "group": None, "num_images": 1}
_PREDICTED = {
    **_PHOTO,
    "label": "mug",
    "probability": 0.93,
    "abstained": False,
    "top": [{"label": "mug", "probability": 0.93}, {"label": "cup", "probability": 0.07}],
    "error": None,
}
_UNREAD: dict[str, Any] = {
    **_PHOTO,
    "image": "b.jpg",
    "label": None,
    "probability": None,
    "abstained": True,
    "top": [],
    "error": {"code": "truncated", "message": "The JPEG ends before the image does."},
}
_SUBMISSION = {
    "name": "home goods, autumn",
    "register_as": "home-goods",
    "dataset": _DATASET,
    "base": {"backbone": "efficientnet_lite0"},
    "strategy": {"type": "linear_probe"},
    "metadata": {"season": "FW26"},
}


def _page(model: type[BaseModel], *items: dict[str, Any]) -> dict[str, Any]:
    shown = [_one(model, item) for item in items]
    return {"object": "list", "data": shown, "has_more": False, "next_cursor": None}


def _one(model: type[BaseModel], values: dict[str, Any]) -> dict[str, Any]:
    return model.model_validate(values).model_dump(mode="json", by_alias=True)


_SPEC = JobSubmission.model_validate(_SUBMISSION).spec().model_dump(mode="json")
_ONE: dict[type[BaseModel], dict[str, Any]] = {
    Dataset: {
        "id": _DATASET,
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
        "sha256": _SHA,
        "created_at": _NOW,
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
        "sha256": _SHA,
    },
    Job: {
        "id": _JOB,
        "name": "home goods, autumn",
        "status": "succeeded",
        "status_reason": None,
        "spec": _SPEC,
        "register_as": "home-goods",
        "progress": {"phase": "exporting", "fraction": 1.0},
        "queue": None,
        "priority": 0,
        "attempt": 1,
        "created_at": _NOW,
        "started_at": _NOW,
        "finished_at": _NOW,
        "model": _MODEL,
        "metrics": _METRICS,
        "transfer": None,
        "usage": {"device_seconds": 21.4, "num_images": 240},
        "error": None,
        "metadata": {"season": "FW26"},
    },
    Batch: _BATCH,
    Checkpoint: {
        "step": 420,
        "epoch": 7,
        "bytes": 53687091,
        "sha256": _SHA,
        "created_at": _NOW,
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
        "queue": {"jobs_ahead": 2, "estimated_start": _NOW},
        "typical_seconds": 21.4,
    },
    MerchantUsage: {
        "month": "2026-11",
        "device_seconds": 321.5,
        "stored_bytes": 1834921,
        "quotas": [_QUOTA],
    },
    JobEvent: {
        "id": "evt_01k8zr1w3h2b3c4d5e6f7g8h9j",
        "created_at": _NOW,
        "level": "info",
        "type": "status",
        "message": "Queued.",
        "data": {"from": None, "to": "queued"},
    },
    Model: {
        "id": _MODEL,
        "name": "home-goods",
        "version": 1,
        "aliases": [],
        "job": _JOB,
        "backbone": "efficientnet_lite0",
        "strategy": "linear_probe",
        "labels": ["cup", "mug"],
        "metrics": _METRICS,
        "transfer": {},
        "files": [_FILE],
        "lineage": {"dataset": _DATASET},
        "created_at": _NOW,
        "metadata": {},
    },
    ModelFile: _FILE,
    Drift: {
        "model": _MODEL,
        "status": "drifted",
        "message": "The newest photos look unlike the training images.",
        "collected": 40,
        "windows": [
            {
                "started_at": _NOW,
                "ended_at": _NOW,
                "num_images": 204,
                "shift": 1.31,
                "p_value": 4.1e-12,
                "drifted": True,
            }
        ],
        "suggested_job": {
            "dataset": _DATASET,
            "base": {"model": _MODEL},
            "strategy": {"type": "auto"},
            "register_as": "home-goods",
            "metadata": {"reason": "drift", "drifted_model": _MODEL},
        },
    },
    Backbone: {
        "name": "efficientnet_lite0",
        "num_parameters": 4652008,
        "num_features": 1280,
        "input_size": 224,
        "stages": ["stage1"],
        "licence": "Apache-2.0",
        "weights_fingerprint": _SHA,
    },
    Strategy: {
        "type": "linear_probe",
        "trains": "the head",
        "summary": "Logistic regression.",
        "reference": "Kornblith et al. 2019",
        "json_schema": {"type": "object"},
        "defaults": {"type": "linear_probe"},
    },
    MetricSeries: {"series": {"accuracy": [{"step": 1, "value": 0.98, "time": _NOW}]}},
    Whoami: {
        "merchant": "mer_01k8zqzz5e9tq4x7c2v6b8n3hd",
        "merchant_name": "Acme Home Goods",
        "key": "key_01k8zqzz6e9tq4x7c2v6b8n3hd",
        "scopes": ["read", "write"],
        "quotas": [_QUOTA],
    },
    Alias: _ALIAS,
    AuditEntry: _AUDIT,
    Deleted: {"id": _MODEL, "object": "model"},
    Merchant: _MERCHANT,
    Key: _KEY,
    KeyWithText: {**_KEY, "key": f"rg_8fddd283_{'A' * 43}"},
    Upload: {
        "id": "up_01k8zr2h6j8zt4e7g3n5r9v1wf",
        "status": "open",
        "bytes": 20000000,
        "sha256": _SHA,
        "part_bytes": 8388608,
        "num_parts": 3,
        "parts": [{"number": 1, "bytes": 8388608, "sha256": _SHA}],
        "created_at": _NOW,
        "expires_at": _NOW,
    },
    Webhook: _WEBHOOK,
    WebhookWithSecret: {
        **_WEBHOOK,
        "secret": "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    },
    Delivery: _DELIVERY,
    Erasure: _ERASURE,
    ErasurePreview: {
        "dataset": _DATASET,
        "dataset_name": "home goods",
        "models": "keep",
        "num_images": 240,
        "num_shared": 12,
        "feature_packs": 1,
        "bytes": 1834921,
        "affected": [
            {
                "id": _MODEL,
                "name": "home-goods",
                "version": 3,
                "aliases": ["production"],
                "made_from": "trained",
            }
        ],
        "versions": [],
        "jobs": [_JOB],
        "blockers": [f"Jobs that have not ended use the dataset: {_JOB}."],
    },
    Prediction: {"model": _MODEL, "results": [_PREDICTED, _UNREAD]},
    Embedding: {
        "model": _MODEL,
        "backbone_sha256": _SHA,
        "results": [{**_PHOTO, "vector": [0.125, -1.5], "error": None}],
    },
    Search: {
        "dataset": _DATASET,
        "model": _MODEL,
        "num_images": 240,
        "num_missing": 0,
        "exact": True,
        "recall": 1.0,
        "results": [_SIMILAR],
        "errors": [],
    },
    Health: {"status": "ok"},
}

SUBJECTS = {
    "model": _MODEL,
    "job": _JOB,
    "batch": _BATCH["id"],
    "dataset": _DATASET,
    "webhook": str(_WEBHOOK["id"]),
}
EXAMPLES: dict[type[BaseModel], dict[str, Any]] = {
    **{model: _one(model, values) for model, values in _ONE.items()},
    JobSubmission: _SUBMISSION,
    AliasMove: {"to": 3},
    NewClasses: {"dataset": _DATASET, "label": "teapot"},
    Evaluate: {"dataset": _DATASET},
    UploadRequest: {"bytes": 20000000, "sha256": _SHA},
    ErasureRequest: {"dataset": _DATASET, "models": "delete"},
    Page[Erasure]: _page(Erasure, _ERASURE),
    Page[Dataset]: _page(Dataset, _ONE[Dataset]),
    Page[Image]: _page(Image, _ONE[Image]),
    Page[Job]: _page(Job, _ONE[Job]),
    BatchSubmission: {"dataset": _DATASET, "model": "home-goods@production", "format": "csv"},
    Page[Batch]: _page(Batch, _BATCH),
    Page[Checkpoint]: _page(Checkpoint, _ONE[Checkpoint]),
    Page[JobEvent]: _page(JobEvent, _ONE[JobEvent]),
    Page[Model]: _page(Model, _ONE[Model]),
    MerchantNew: {"name": _MERCHANT["name"], "limits": _LIMITS},
    MerchantChange: {"weight": 2, "limits": {"jobs_queued": None}},
    KeyNew: {"merchant": _MERCHANT["id"], "scopes": ["read"], "days": 90},
    KeyRotation: {"overlap_hours": 24},
    Page[Merchant]: _page(Merchant, _MERCHANT),
    Page[Key]: _page(Key, _KEY),
    WebhookEvent: {"type": "job.succeeded", "timestamp": _NOW, "data": {"id": _JOB}},
    WebhookNew: {"url": _WEBHOOK["url"], "events": _WEBHOOK["events"]},
    WebhookChange: {"enabled": True},
    SecretRotation: {"overlap_hours": 24},
    Page[Webhook]: _page(Webhook, _WEBHOOK),
    Page[Delivery]: _page(Delivery, _DELIVERY),
    Page[AuditEntry]: _page(AuditEntry, _AUDIT),
    Page[ModelFile]: _page(ModelFile, _FILE),
    Page[Backbone]: _page(Backbone, _ONE[Backbone]),
    Page[Strategy]: _page(Strategy, _ONE[Strategy]),
}
