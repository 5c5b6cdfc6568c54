"""One typed settings class for every process, read from `REGRAFT_…` variables.

Times are in seconds, sizes in bytes.
"""

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024


class UploadLimits(BaseSettings):
    """What one upload may hold; the container is checked before a row exists.

    A dataset takes no further version with more files once it has `max_images`.
    """

    model_config = SettingsConfigDict(env_prefix="REGRAFT_UPLOAD_", frozen=True)

    max_bytes: int = 512 * MIB
    max_uncompressed_bytes: int = 2048 * MIB
    max_entries: int = 20_000
    max_images: int = 200_000
    max_classes: int = 1_000
    max_ratio: int = 100
    max_name_bytes: int = 255
    max_image_bytes: int = 64 * MIB
    max_pixels: int = 25_000_000
    min_side: int = 8
    max_aspect_ratio: int = 50
    max_cpu_seconds: float = 3600.0


class Timings(BaseSettings):
    """The durable runtime's clockwork; tests scale it down."""

    model_config = SettingsConfigDict(env_prefix="REGRAFT_TIMING_", frozen=True)

    lease: float = 60.0
    heartbeat: float = 10.0
    self_fence: float = 40.0
    reaper_interval: float = 5.0
    redispatch: float = 30.0
    dispatch_interval: float = 0.025
    stall: float = 600.0
    kill_grace: float = 10.0
    drain: float = 60.0


class WebhookSettings(BaseSettings):
    """How merchants' endpoints are called.

    `key` goes into every secret: a copy of the database alone does not tell them. `allow_private`
    lets http and private addresses through, in development. Waits between attempts are multiplied
    by `backoff`; what fails for `disable_after` is disabled. `slots` calls run at once.
    """

    model_config = SettingsConfigDict(env_prefix="REGRAFT_WEBHOOK_", frozen=True)

    key: SecretStr = SecretStr("")
    allow_private: bool = False
    timeout: float = Field(default=10.0, gt=0)
    backoff: float = Field(default=1.0, gt=0)
    disable_after: float = 5 * 86_400.0
    slots: int = Field(default=16, ge=2)
    max_endpoints: int = Field(default=10, ge=1)


class Serving(BaseSettings):
    """Where the serving process is, and what one request of it may hold.

    `url` is `http://host:port`, or `unix:` and a path; `secret` is shared by the two processes.
    """

    model_config = SettingsConfigDict(env_prefix="REGRAFT_SERVE_", frozen=True)

    url: str = "http://127.0.0.1:8090"
    secret: str = ""
    seconds: float = Field(default=8.0, gt=0)
    max_images: int = Field(default=32, ge=1)
    max_bytes: int = Field(default=32 * MIB, ge=1)


class Settings(BaseSettings):
    """Everything a process of ours may be told from outside."""

    model_config = SettingsConfigDict(env_prefix="REGRAFT_", frozen=True)

    env: Literal["development", "production"] = "development"
    home: Path = Path(".regraft")
    database_url: str = ""
    database_app_url: str = ""
    database_owner_url: str = ""
    redis_url: str = "redis://127.0.0.1:6379/0"
    device_class: str = "cpu"
    weights_dir: Path | None = None
    trainer_threads: int | None = None
    runtime: Literal["eager", "onnxruntime", "cuda", "cuda_compiled"] | None = None
    trainer_max_runs: int = 50
    trainer_memory: int | None = None
    cache_bytes: int = 20 * 1024 * MIB
    feature_bytes: int = 4 * 1024 * MIB
    trainer_command: tuple[str, ...] | None = None
    log_level: str = "INFO"
    max_losses: int = 3
    max_retries: int = 3
    uploads: UploadLimits = Field(default_factory=UploadLimits)
    timings: Timings = Field(default_factory=Timings)
    webhooks: WebhookSettings = Field(default_factory=WebhookSettings)
    serving: Serving = Field(default_factory=Serving)

    @property
    def url(self) -> str:
        """The database's SQLAlchemy URL; SQLite below `home` unless one is set."""
        return self.database_url or f"sqlite:///{self.home.resolve() / 'regraft.db'}"

    @property
    def app_url(self) -> str:
        """The URL for merchants' requests, with the role that row-level security holds."""
        return self.database_app_url or self.url

    @property
    def owner_url(self) -> str:
        """The URL for migrations, with the role that owns the tables."""
        return self.database_owner_url or self.url


@cache
def settings() -> Settings:
    """Return this process's settings, read once."""
    return Settings()
