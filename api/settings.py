"""What only the API's processes may be told, read from `REGRAFT_API_…` variables.

Times are in seconds, sizes in bytes.
"""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.settings import Settings

SMALL_BODY = 16 * 1024  # gathered before a request gets a thread


class ApiSettings(BaseSettings):
    """Threads and limits of one API process.

    A request's head, with its body if that is small, must be here after `head_seconds`; a body
    may then be `body_seconds` behind what `min_rate` bytes a second would have brought, and may
    pause for `idle_seconds`, as may whoever reads an answer. Each key may send `rate_requests` in
    `rate_seconds`, over all `workers`. `allowed_hosts` are names with commas between them.
    """

    model_config = SettingsConfigDict(env_prefix="REGRAFT_API_", frozen=True)

    workers: int = Field(default=1, ge=1)
    uploads: int = Field(default=8, ge=1)
    downloads: int = Field(default=8, ge=1)
    streams: int = Field(default=32, ge=1)
    predictions: int = Field(default=16, ge=1)
    other_threads: int = Field(default=8, ge=8)
    bind: str = "127.0.0.1:8080"
    max_json_bytes: int = 1024 * 1024
    max_field_bytes: int = 64 * 1024
    max_parts: int = 8
    head_seconds: float = 15.0
    body_seconds: float = 30.0
    idle_seconds: float = 30.0
    min_rate: int = 16 * 1024
    retry_after: int = 5
    rate_requests: int = Field(default=1000, ge=1)
    rate_seconds: float = Field(default=10.0, gt=0)
    allowed_hosts: str = ""

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names that a request may give as its `Host`; none stands for any."""
        return tuple(name.strip() for name in self.allowed_hosts.split(",") if name.strip())

    @property
    def threads(self) -> int:
        """One for each slow request that is let in, and some that those can never hold."""
        slow = self.uploads + self.downloads + self.streams + self.predictions
        return slow + self.other_threads


def faults(given: ApiSettings, settings: Settings) -> list[str]:
    """Return what is unsafe about these settings outside development."""
    found = []
    if not given.hosts:
        found.append(
            "REGRAFT_API_ALLOWED_HOSTS is empty: set the names that clients use, with commas."
        )
    if settings.url.startswith("postgresql") and settings.app_url == settings.url:
        found.append(
            "REGRAFT_DATABASE_APP_URL is empty: set the URL of a role that row-level security "
            "holds (docs/security.md)."
        )
    return found
