"""What the examples of the published document are made of: one story, told with the same ids."""

from typing import Any

DATASET = "ds_01k8zr0m5e9tq4x7c2v6b8n3hd"
JOB = "job_01k8zr1w3g7ys5d9f2k4m6p8qa"
MODEL = "md_01k8zr2h6j8zt4e7g3n5r9v1wb"
SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
NOW = "2026-11-24T06:25:00.123Z"
MATRIX = {"labels": ["cup", "mug"], "counts": [[24, 1], [0, 25]]}
CLASS = {
    "label": "mug",
    "num_images": 25,
    "precision": 0.96,
    "recall": 1.0,
    "f1": 0.98,
    "threshold": 0.71,
    "num_answered": 23,
    "precision_answered": 1.0,
}
METRICS = {
    "validation": {
        "num_images": 50,
        "accuracy": 0.98,
        "accuracy_interval": [0.8951, 0.9965],
        "top5": 1.0,
        "macro_f1": 0.98,
        "per_class": [CLASS],
        "ece": 0.021,
        "ece_uncalibrated": 0.064,
        "abstention": {
            "num_answered": 46,
            "coverage": 0.92,
            "accuracy": 1.0,
            "accuracy_interval": [0.9229, 1.0],
        },
        "confusion_matrix": MATRIX,
    }
}
BATCH = {
    "id": "job_01k8zr1w3g7ys5d9f2k4m6p8qb",
    "name": "new arrivals",
    "status": "succeeded",
    "status_reason": None,
    "dataset": DATASET,
    "model": MODEL,
    "format": "csv",
    "top": 3,
    "limits": {"max_minutes": 60},
    "progress": {"phase": "evaluating", "fraction": 1.0},
    "queue": None,
    "priority": 0,
    "attempt": 1,
    "created_at": NOW,
    "started_at": NOW,
    "finished_at": NOW,
    "file": {
        "name": "predictions.csv",
        "bytes": 41230,
        "sha256": SHA,
        "num_rows": 243,
        "num_errors": 3,
    },
    "usage": {"device_seconds": 4.2, "num_images": 243},
    "error": None,
    "metadata": {},
}
FILE = {"name": "model.onnx", "bytes": 13559409, "sha256": SHA}
ALIAS = {
    "name": "home-goods",
    "alias": "production",
    "model": MODEL,
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
    "updated_at": NOW,
}
AUDIT = {
    "id": "aud_01k8zr2h6j8zt4e7g3n5r9v1wc",
    "action": "model.promoted",
    "actor": "key_01k8zqzz6e9tq4x7c2v6b8n3hd",
    "subject": "home-goods@production",
    "request_id": "req_4f0c",
    "data": {"from": None, "to": {"model": MODEL, "version": 3}},
    "created_at": NOW,
}
QUOTA = {"name": "stored_bytes", "used": 1834921, "limit": 5000000, "left": 3165079}
LIMITS = {"stored_bytes": 5000000, "jobs_queued": 100}
MERCHANT = {
    "id": "mer_01k8zqzz5e9tq4x7c2v6b8n3hd",
    "name": "Acme Home Goods",
    "weight": 1,
    "limits": {**LIMITS, "jobs_running": None, "device_minutes": None},
    "created_at": NOW,
}
KEY = {
    "id": "key_01k8zqzz6e9tq4x7c2v6b8n3hd",
    "merchant": MERCHANT["id"],
    "name": "the shop's server",
    "prefix": "8fddd283",
    "scopes": ["read", "write"],
    "created_at": NOW,
    "expires_at": None,
    "revoked_at": None,
}
WEBHOOK = {
    "id": "whk_01k8zr2h6j8zt4e7g3n5r9v1wd",
    "url": "https://hooks.example.com/regraft",
    "description": None,
    "events": ["job.succeeded", "job.failed"],
    "enabled": True,
    "disabled_reason": None,
    "failing_since": None,
    "previous_secret_until": None,
    "created_at": NOW,
}
DELIVERY = {
    "id": "whd_01k8zr2h6j8zt4e7g3n5r9v1we",
    "webhook": WEBHOOK["id"],
    "event": "evt_01k8zr1w3h2b3c4d5e6f7g8h9j",
    "type": "job.succeeded",
    "subject": JOB,
    "status": "succeeded",
    "num_attempts": 1,
    "attempts": [{"at": NOW, "status_code": 204, "error": None, "seconds": 0.118}],
    "next_attempt_at": None,
    "created_at": NOW,
}
ERASURE = {
    "id": "era_01k8zr2h6j8zt4e7g3n5r9v1wd",
    "dataset": DATASET,
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
    "created_at": NOW,
    "finished_at": NOW,
}
SIMILAR = {
    "image": "img_01k8zr0m5e9tq4x7c2v6b8n3he",
    "name": "mug/red.jpg",
    "group": "SKU-1",
    "label": "mug",
    "score": 0.91,
    "url": f"/v1/datasets/{DATASET}/images/img_01k8zr0m5e9tq4x7c2v6b8n3he",
}
PHOTO = {"image": "a.jpg", "group": None, "num_images": 1}
PREDICTED = {
    **PHOTO,
    "label": "mug",
    "probability": 0.93,
    "abstained": False,
    "top": [{"label": "mug", "probability": 0.93}, {"label": "cup", "probability": 0.07}],
    "error": None,
}
UNREAD: dict[str, Any] = {
    **PHOTO,
    "image": "b.jpg",
    "label": None,
    "probability": None,
    "abstained": True,
    "top": [],
    "error": {"code": "truncated", "message": "The JPEG ends before the image does."},
}
SUBMISSION = {
    "name": "home goods, autumn",
    "register_as": "home-goods",
    "dataset": DATASET,
    "base": {"backbone": "efficientnet_lite0"},
    "strategy": {"type": "linear_probe"},
    "metadata": {"season": "FW26"},
}
