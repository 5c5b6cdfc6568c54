"""The clockwork of tests and campaigns."""

from core.settings import Timings, WebhookSettings

# The production clockwork divided by 20, with room for the slowness of a shared machine.
SCALED = Timings(
    lease=3.0,
    heartbeat=0.5,
    self_fence=2.0,
    reaper_interval=0.5,
    redispatch=4.0,
    kill_grace=2.0,
    drain=10.0,
)

# Receivers on loopback; a day of attempts takes three minutes, the first seven 13 s.
SCALED_WEBHOOKS = WebhookSettings(allow_private=True, timeout=1.0, backoff=0.002)
