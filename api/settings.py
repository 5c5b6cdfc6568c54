"""What only the API's processes may be told, read from `REGRAFT_API_…` variables.

Times are in seconds, sizes in bytes.
"""

from pydantic_settings import BaseSettings, SettingsConfigDict


class ApiSettings(BaseSettings):
    """Threads and limits of one API process.

    A body may take `body_seconds` and what its size takes at `min_rate` bytes a second, and may
    pause for `idle_seconds`.
    """

    model_config = SettingsConfigDict(env_prefix="REGRAFT_API_", frozen=True)

    workers: int = 1
    threads: int = 24
    bind: str = "127.0.0.1:8080"
    max_json_bytes: int = 1024 * 1024
    max_field_bytes: int = 64 * 1024
    max_parts: int = 8
    body_seconds: float = 60.0
    idle_seconds: float = 30.0
    min_rate: int = 64 * 1024
    retry_after: int = 5
