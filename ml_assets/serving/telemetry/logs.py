"""What the API writes to its log: lines for people, or one JSON object a line for machines."""

from __future__ import annotations

import logging
import re
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import msgspec

from ml_assets.core.runtime.sparse_log import SparseLog, more
from ml_assets.core.settings import LogFormat

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request that this task answers; None elsewhere, such as on a worker's thread."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


def configure(form: LogFormat) -> None:
    """Write the log to standard error in this form: ours from INFO, others' from WARNING.

    What the server says of connections, such as that one brought no HTTP, is limited to a line
    of a kind and minute.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else HumanLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("ml_assets").setLevel(logging.INFO)
    server = logging.getLogger("uvicorn.error")
    if not any(isinstance(each, OncePerMinute) for each in server.filters):
        server.addFilter(OncePerMinute())


class OncePerMinute(logging.Filter):
    """Lets one warning of a text and minute pass, with the count of those before it."""

    def __init__(self) -> None:
        super().__init__()
        self._lines = SparseLog()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        held = self._lines.let(record.msg)
        if held:
            record.msg = f"{record.msg}{more(held)}"
        return held is not None


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, request_id, what `about` adds, trace.

    `about` is a mapping that the caller gives as `extra={"about": ...}`. A message with line
    breaks stays one line, so that no request can write lines of its own.
    """

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": REQUEST_ID.get(),
            **getattr(record, "about", {}),
        }
        if record.exc_info:
            said["trace"] = self.formatException(record.exc_info)
        # What clients send may hold half a character: replaced, not raised.
        return msgspec.json.encode(_writable(said)).decode()


class HumanLines(logging.Formatter):
    """Time, level, logger, message and request id; traces on lines of their own."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        line = _CONTROL.sub(lambda found: repr(found.group())[1:-1], super().formatMessage(record))
        request_id = REQUEST_ID.get()
        return line if request_id is None else f"{line} [request {request_id}]"


def _writable(said: dict[str, Any]) -> dict[str, Any]:
    return {key: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
            for key, value in said.items()}
