"""Times as the contract writes them: RFC 3339 in UTC, to the millisecond."""

from datetime import UTC, datetime


def when(seconds: float) -> str:
    """Return `2026-11-24T06:25:00.123Z` for seconds since the epoch."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
