"""JSON log lines on standard error, one shape for every process.

Values are bound by name and rendered by structlog; keys, headers and image bytes are never bound,
and what looks like a key all the same is taken out of the finished line.
"""

import logging
import re
import sys
from typing import Any

import structlog

_SECRET = re.compile(
    r"rg_[0-9A-Za-z]{8}_[A-Za-z0-9_-]+|whsec_[A-Za-z0-9+/=]+"
    r"|(?<=bearer )[^\s\"'\\]+|(?<=basic )[^\s\"'\\]+",
    re.IGNORECASE,
)
_SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
_render = structlog.processors.JSONRenderer()


def configure(process: str, level: str = "INFO") -> None:
    """Set up structlog and the standard library's logging alike; call once, at start."""
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    structlog.contextvars.bind_contextvars(process=process)


def formatter() -> logging.Formatter:
    """Return what makes a line of a record, whoever logged it."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _line,
        ],
    )


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger that renders as this process's lines do."""
    bound: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return bound


def redacted(line: str) -> str:
    """Return a line without API keys and without what follows `Bearer` or `Basic`."""
    return _SECRET.sub("[redacted]", line)


def _line(of: Any, name: str, event: structlog.typing.EventDict) -> str:
    return redacted(str(_render(of, name, event)))
