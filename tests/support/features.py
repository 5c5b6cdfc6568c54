"""Stored features for the tests, as a worker leaves them."""

import json
from collections.abc import Mapping

import numpy as np
from sqlalchemy import select

from db.blobs import SqlBlobStore
from db.models import FeatureImage, FeaturePack
from db.session import Database
from worker.engine.shipped.predict import Floats
from worker.engine.tensorfile import Entry, header

KEY = "a" * 64


def store_features(
    database: Database, tenant_id: str, rows: Mapping[str, Floats], key: str = KEY
) -> str:
    """Store a pack with the features of images by hash once, and return the hash of its blob."""
    values = np.stack(list(rows.values())).astype(np.float16)
    entries = [Entry("features", "F16", values.shape, values.nbytes)]
    content = header(entries, {"key": key, "images": json.dumps(list(rows))}) + values.tobytes()
    blob = SqlBlobStore(database).put_bytes(tenant_id, content)
    with database.write() as session:
        mine = (FeaturePack.tenant_id == tenant_id) & (FeaturePack.sha256 == blob.sha256)
        if session.scalar(select(FeaturePack.id).where(mine)):
            return blob.sha256
        pack = FeaturePack(
            tenant_id=tenant_id,
            key=key,
            backbone="efficientnet_lite0",
            name=blob.sha256[:32],
            sha256=blob.sha256,
            size=blob.size,
            num_images=len(rows),
        )
        session.add(pack)
        session.flush()
        for sha256 in rows:
            owner = {"tenant_id": tenant_id, "image_sha256": sha256}
            session.add(FeatureImage(**owner, pack_id=pack.id))
    return blob.sha256
