"""Parquet files of images, as Hugging Face's `datasets` writes them."""

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
NAMES = ("mug", "plate")


def features(**kinds: Mapping[str, Any]) -> dict[bytes, bytes]:
    """Return a schema's metadata, which says of what kind columns are."""
    return {b"huggingface": json.dumps({"info": {"features": kinds}}).encode()}


def named(labels: Sequence[str] = NAMES) -> dict[bytes, bytes]:
    """Return the metadata of `image` and `label`."""
    return features(image={"_type": "Image"}, label={"_type": "ClassLabel", "names": list(labels)})


def rows(images: Sequence[bytes | None], labels: Sequence[int | None]) -> pa.Table:
    """Return a table of images and numbered labels."""
    cells = [None if data is None else {"bytes": data, "path": None} for data in images]
    table = pa.table({"image": pa.array(cells, IMAGE), "label": pa.array(labels, pa.int64())})
    return table.replace_schema_metadata(named())


def written(table: pa.Table, **options: Any) -> bytes:
    """Return the bytes of a table's file."""
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()
