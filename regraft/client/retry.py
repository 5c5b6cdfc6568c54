"""When to try a request again and how long to wait; may import httpx2 and the standard library.

A request that may have been carried out is sent twice only if that is harmless.
"""

import random
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import httpx2

BUSY = frozenset({429, 503})
_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class RetryPolicy(NamedTuple):
    """At most `attempts` requests; waits double from `first_wait` to `longest_wait` seconds.

    A `Retry-After` beyond `longest_retry_after` seconds is not waited for.
    """

    attempts: int = 5
    first_wait: float = 0.5
    longest_wait: float = 8.0
    longest_retry_after: float = 60.0

    def wait(self, failures: int, retry_after: float | None = None) -> float | None:
        """Return the seconds to wait after so many failures, or None to give up."""
        if failures >= self.attempts:
            return None
        if retry_after is not None:
            return retry_after if retry_after <= self.longest_retry_after else None
        ceiling = min(self.longest_wait, self.first_wait * 2.0 ** (failures - 1))
        return ceiling * random.uniform(0.5, 1.0)

    def pause(self, failures: int, retry_after: float | None = None) -> bool:
        """Sleep as `wait` says; return False at once when it is time to give up."""
        seconds = self.wait(failures, retry_after)
        if seconds is None:
            return False
        time.sleep(seconds)
        return True


def may_repeat(error: httpx2.TransportError, *, repeatable: bool) -> bool:
    """Tell whether a request that ended in `error` may be sent again."""
    if isinstance(error, httpx2.UnsupportedProtocol | httpx2.LocalProtocolError):
        return False
    return repeatable or isinstance(error, _NEVER_SENT)


def retry_after(headers: httpx2.Headers) -> float | None:
    """Return the seconds that `Retry-After` asks for, as a number or a date, or None."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())
