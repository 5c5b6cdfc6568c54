"""Fetch a weight file from where torchvision publishes it, where the network allows.

May import torchvision, the contract and the standard library.
"""

import os
import shutil
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torchvision

from regraft.contract.catalog import BackboneRecord
from worker.engine.files import file_hash

_TIMEOUT = 20.0  # seconds without a byte


def url_of(record: BackboneRecord) -> str:
    """Return the address that torchvision's enum gives for a record's weights."""
    models: Any = torchvision.models
    return str(models.get_model_weights(record.architecture)[record.weights_name].url)


def fetch(record: BackboneRecord, path: Path, url: str | None = None) -> str | None:
    """Bring the weight file to `path`, which appears whole and checked; return why not, or null."""
    address = url or url_of(record)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if urlsplit(address).scheme not in {"https", "http"}:
            return f"{address} is no web address"
        with (
            urllib.request.urlopen(address, timeout=_TIMEOUT) as answer,  # noqa: S310 - see above
            partial.open("wb") as out,
        ):
            shutil.copyfileobj(answer, out)
        if not file_hash(partial).startswith(record.weights_fingerprint):
            return f"what {address} gave has another sha256"
        partial.replace(path)
    except OSError as error:
        return f"{address}: {error}"
    finally:
        partial.unlink(missing_ok=True)
    return None
