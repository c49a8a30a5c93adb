"""Bodies decoded to requests, or refused with the problem that the client is told."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TypeVar

import msgspec

from ml_assets.core.errors import InvalidRequest
from ml_assets.core.runtime.isolation import isolate
from ml_assets.core.texts import NAME
from ml_assets.serving.contract.encoding import BOM, foreign
from ml_assets.serving.contract.protocol import PostedBatchRequest, PredictBatchRequest, Problem

MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_BATCH = 256
LONGEST_MESSAGE = 400
"""Characters of what the decoder says."""

T = TypeVar("T")
Batch = TypeVar("Batch", PredictBatchRequest, PostedBatchRequest)
_AT_PATH = re.compile(r" - at `\$\.?(.*)`$")
_NAMED = re.compile(r"field `(\w+)`")
_AT_BYTE = re.compile(r"\(byte (\d+)\)")


class RequestRefused(InvalidRequest):
    """A request that gets a problem for an answer.

    Its arguments are (status, code, message, field, headers), so that it survives pickling.
    """

    def __init__(
        self, status: int, code: str, message: str, field: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, code, message, field, headers)
        self.status, self.code, self.headers = status, code, headers
        self.problem = Problem(code=code, message=message, field=field)

    def __str__(self) -> str:
        return self.problem.message


def decode(decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw) -> T:
    """The request in `body`. Raises RequestRefused, saying where it goes wrong."""
    try:
        return decoder.decode(body)
    except MemoryError:
        raise
    except Exception as error:  # whatever the decoder raises, it is about these bytes
        fault, posted = error, bytes(body)
    if posted.startswith(BOM):
        posted = posted.removeprefix(BOM)
        try:
            return decoder.decode(posted)
        except Exception as error:
            fault = error
    raise _refusal(fault, posted)


def _refusal(error: Exception, body: bytes) -> RequestRefused:
    if isinstance(error, msgspec.ValidationError):
        message, field = _explained(_shortened(str(error)))
        return RequestRefused(422, "invalid_request", message, field)
    if (looks := foreign(body)) is not None:
        return not_accepted(looks)
    if isinstance(error, RecursionError):
        return RequestRefused(422, "malformed_json", "the JSON is nested too deeply")
    try:
        body.decode()
    except UnicodeDecodeError as fault:  # msgspec counts from where a name or a text begins
        return RequestRefused(
            422, "malformed_json", f"the body is not UTF-8: at byte {fault.start}, {fault.reason}"
        )
    message = _shortened(str(error))
    return RequestRefused(422, "malformed_json", f"{message}{_position(message, body)}")


def decode_batch(
    many: msgspec.json.Decoder[Batch],
    one: msgspec.json.Decoder[T],
    body: bytes,
) -> list[T | Exception]:
    """The requests of a batch, as `decode_each`. Raises RequestRefused if it is no batch."""
    events: Sequence[msgspec.Raw] = decode(many, body).events
    require_few(len(events), "events")
    return decode_each(one, events)


def require_few(count: int, field: str) -> None:
    """Raise RequestRefused if a batch has too many of what `field` holds."""
    if count > MAX_BATCH:
        raise RequestRefused(
            413, "batch_too_large", f"the batch has {count} {field}; at most {MAX_BATCH} are "
            "answered at once", field)


def decode_each(
    decoder: msgspec.json.Decoder[T], bodies: Sequence[bytes | msgspec.Raw]
) -> list[T | Exception]:
    """The request in each body; if one cannot be decoded, its refusal in its place."""
    return isolate(partial(decode, decoder), bodies)


def not_accepted(written: str) -> RequestRefused:
    """The refusal of a body that is compressed or in another encoding."""
    return RequestRefused(
        415, "unsupported_encoding", f"the body is {written}; send JSON in UTF-8, uncompressed "
        "and without Content-Encoding",
        headers={"accept-encoding": "identity"},
    )


def _shortened(message: str) -> str:
    """As much of it as helps: a name that does not belong here may be as long as the body."""
    if len(message) <= LONGEST_MESSAGE:
        return message
    half = LONGEST_MESSAGE // 2
    return f"{message[:half]} ... {message[-half:]}"


def _explained(message: str) -> tuple[str, str | None]:
    """msgspec's message without its path, and the field that it is about."""
    path = _AT_PATH.search(message)
    inside = path.group(1) if path else ""
    named = _NAMED.search(message)
    field = ".".join(part for part in (inside, named.group(1) if named else "") if part)
    text = _AT_PATH.sub("", message)
    if text.endswith(f"matching regex {NAME!r}"):
        text = "Expected a text of one line, without control characters"
    return (f"{field}: {text}" if field else text), field or None


def _position(message: str, body: bytes) -> str:
    """Line and column of the byte that msgspec names."""
    byte = _AT_BYTE.search(message)
    offset = int(byte.group(1)) if byte else len(body)
    before = body[:offset]
    line, column = before.count(b"\n") + 1, offset - before.rfind(b"\n")
    return f", line {line}, column {column}"
