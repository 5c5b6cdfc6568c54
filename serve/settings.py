"""What only the serving process may be told, read from `REGRAFT_SERVE_…` variables.

Times are in seconds, sizes in bytes.
"""

import os

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.settings import MIB, Settings

_HERE = ("127.", "localhost:", "[::1]:", "unix:")


class ServeSettings(BaseSettings):
    """Threads and limits of the serving process.

    `batch` photos at most pass a backbone together; the first of them waits `linger` for others.
    `queued` photos at most wait for each backbone, and for the decoders. Fine-tuned models share
    `model_bytes` of memory, heads `head_bytes`, the vectors of searched datasets
    `vector_bytes`, those of one merchant half of it; a set of up to `exact_vectors` is compared
    whole. `num_threads` are ONNX Runtime's, 0 for all cores. What is known of the traffic is
    written every `drift_seconds`, and deleted models are let go of every `upkeep` seconds.
    """

    model_config = SettingsConfigDict(
        env_prefix="REGRAFT_SERVE_", frozen=True, protected_namespaces=()
    )

    bind: str = "127.0.0.1:8090"
    threads: int = Field(default=32, ge=1)
    num_threads: int = Field(default=0, ge=0)
    decoders: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    decode_seconds: float = Field(default=10.0, gt=0)
    batch: int = Field(default=16, ge=1)
    linger: float = Field(default=0.002, ge=0)
    queued: int = Field(default=512, ge=1)
    model_bytes: int = Field(default=1024 * MIB, ge=0)
    drift_seconds: float = Field(default=5.0, gt=0)
    head_bytes: int = Field(default=256 * MIB, ge=0)
    vector_bytes: int = Field(default=1024 * MIB, ge=0)
    exact_vectors: int = Field(default=50_000, ge=0)
    upkeep: float = Field(default=10.0, gt=0)


def faults(given: ServeSettings, settings: Settings) -> list[str]:
    """Return what is unsafe about these settings outside development."""
    if settings.serving.secret or given.bind.startswith(_HERE):
        return []
    fault = (
        "REGRAFT_SERVE_SECRET is empty and REGRAFT_SERVE_BIND is not of this machine alone: set "
        "the same secret here and for the API."
    )
    return [fault]
