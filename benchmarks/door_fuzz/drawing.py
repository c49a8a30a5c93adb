"""What generators draw from: valid requests, and bytes to corrupt them with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

NAME = "returns"
PREDICT, BATCH, FEEDBACK = (
    f"/v1/{NAME}/{call}" for call in ("predict", "predict/batch", "feedback"))
CALLS = (PREDICT, PREDICT, BATCH, FEEDBACK)
"""Most go to the calls that have two paths in."""
AT = "2024-01-09T12:00:00Z"


@dataclass(frozen=True)
class Draw:
    """What generators draw from."""

    random: Random
    number: int
    known: Sequence[str]

    @property
    def event_id(self) -> str:
        """For this case only: concurrent cases must not depend on their order."""
        return f"case-{self.number}-{self.random.getrandbits(64):016x}"

    @property
    def prediction_id(self) -> str:
        return self.known[self.number % len(self.known)]

    def body(self, path: str) -> bytes:
        """A valid one for this URL."""
        return json.dumps(self.value(path)).encode()

    def value(self, path: str) -> dict[str, object]:
        if path == FEEDBACK:
            source = "buyer" if self.number % 50 == 0 else f"stranger {self.number}"
            return {"prediction_id": self.prediction_id, "label": self.random.random() < 0.5,
                    "source": source}
        if path == BATCH:
            return {"events": [self.event() for _ in range(self.random.randint(1, 4))]}
        return self.event()

    def event(self) -> dict[str, object]:
        return {"event_id": self.event_id, "event_timestamp": AT, "event": {
            "shop": f"store {self.random.randint(0, 20)}", "note": "it was a gift",
            "amount": round(self.random.uniform(0, 500), 2)}}


def request(
    path: str, body: bytes, *headers: bytes, method: bytes = b"POST", version: bytes = b"1.1",
    length: bytes | None = None,
) -> bytes:
    """length: what the header says instead of the true one; none if it is empty"""
    said = b"%d" % len(body) if length is None else length
    lines = [b"%b %b HTTP/%b" % (method, path.encode("latin-1", "replace"), version),
             b"Host: 127.0.0.1", *headers]
    if said:
        lines.append(b"Content-Length: " + said)
    return b"\r\n".join([*lines, b"", b""]) + body


def mutated(random: Random, sent: bytes) -> bytes:
    """With a few bytes changed, inserted, dropped or repeated."""
    bytes_ = bytearray(sent)
    for _ in range(random.randint(1, 5)):
        start = random.randint(0, len(bytes_))
        end = min(len(bytes_), start + random.choice([0, 0, 1, 1, 2, 8]))
        put = random.choice([
            random.randbytes(random.randint(0, 3)), bytes(bytes_[start:end]) * 2,
            random.choice(TOKENS),
        ])
        bytes_[start:end] = put
    return bytes(bytes_)


TOKENS = (
    b"\0", b"\xda", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b"\\", b"\\u", b"\\ud800", b"\\u0000", b"{",
    b"}", b"[", b"]", b",", b":", b"null", b"NaN", b"1e999", b"-", b"\r\n", b"\n", b"\t", b"\x7f",
    b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xe2\x80\xa8", b"true", b'"":', b"//",
)
