"""Bodies decoded to requests, or refused with the problem that their sender is told."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec

from ml_assets.core.errors import InvalidRequest
from ml_assets.core.texts import NAME
from ml_assets.serving.protocol import PredictBatchRequest, PredictRequest, Problem

MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_BATCH = 256

T = TypeVar("T")
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
        self.status, self.headers = status, headers
        self.problem = Problem(code=code, message=message, field=field)

    def __str__(self) -> str:
        return self.problem.message


def decode(decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw) -> T:
    """The request in `body`. Raises RequestRefused, saying where it goes wrong."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise RequestRefused(422, "invalid_request", *_explained(str(error))) from None
    except msgspec.DecodeError as error:
        raise RequestRefused(
            422, "malformed_json", f"{error}{_position(str(error), bytes(body))}"
        ) from None
    except RecursionError:
        raise RequestRefused(422, "malformed_json", "the JSON is nested too deeply") from None


def decode_batch(
    many: msgspec.json.Decoder[PredictBatchRequest],
    one: msgspec.json.Decoder[PredictRequest],
    body: bytes,
) -> list[PredictRequest | RequestRefused]:
    """The requests of a batch, as `decode_each`. Raises RequestRefused where it is no batch."""
    events: Sequence[msgspec.Raw] = decode(many, body).events
    if len(events) > MAX_BATCH:
        raise RequestRefused(
            413, "batch_too_large",
            f"the batch has {len(events)} events; at most {MAX_BATCH} are answered at once",
            "events",
        )
    return decode_each(one, events)


def decode_each(
    decoder: msgspec.json.Decoder[T], bodies: Sequence[bytes | msgspec.Raw]
) -> list[T | RequestRefused]:
    """The request in each body; one that cannot be decoded is a refusal in its place."""
    decoded: list[T | RequestRefused] = []
    for body in bodies:
        try:
            decoded.append(decode(decoder, body))
        except RequestRefused as refused:
            decoded.append(refused)
    return decoded


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
