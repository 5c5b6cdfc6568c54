"""What a log line never shows."""

from core.logs import redacted


def test_secrets_are_taken_out() -> None:
    """Whoever reads the logs could act for a merchant, or sign as the service."""
    line = (
        "rg_01234567_abcDEF-_ Bearer abc whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw== job_01 basic dXNl"
    )
    assert redacted(line) == "[redacted] Bearer [redacted] [redacted] job_01 basic [redacted]"
