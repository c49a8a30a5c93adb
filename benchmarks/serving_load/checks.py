"""The request for each event, and whether an answer is the right one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from hashlib import blake2b

from benchmarks.serving_load.plan import Plan, Template

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_VERSION = re.compile(rb'"model_version":(\d+)')
_OWN = re.compile(r"<(\w+)>")
_SPREAD = 2_654_435_761
"""Knuth's multiplicative hash (The Art of Computer Programming, volume 3, section 6.4)."""

Own = Callable[[int], str]
"""The event-specific text for an event number. Always of the same length."""


class Events:
    """The requests of a plan, made quickly: all but what each has of its own is built before."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._own: dict[str, Own] = {"id": lambda number: event_id(plan.id_prefix, number)}
        for place, (name, count) in enumerate(plan.entities.items()):
            self._own[name] = _entity(place + 1, count)
        self._texts = [_parts(_head(plan, self.body(0, template)) + template.body, self._own)
                       for template in plan.templates]

    def request(self, number: int) -> bytes:
        """Event `number` as an HTTP/1.1 request."""
        texts, own = self._texts[number % len(self._texts)]
        return (texts % tuple([of(number) for of in own])).encode()

    def body(self, number: int, template: Template | None = None) -> str:
        """What is posted for event `number`."""
        template = template or self._plan.templates[number % len(self._plan.templates)]
        texts, own = _parts(template.body, self._own)
        return texts % tuple([of(number) for of in own])

    def fault(self, number: int, body: bytes) -> str | None:
        """What is wrong with the body of the answer to event `number`; None if nothing is."""
        check = self._plan.check
        if check.kind == "prediction":
            # As `ml_assets.ingest.log.served.prediction_id` makes it.
            event = f"{check.system}\0{event_id(self._plan.id_prefix, number)}"
            wanted = blake2b(event.encode(), digest_size=12).hexdigest()
            if b'"prediction_id":"%b"' % wanted.encode() not in body:
                return f"expected prediction id {wanted}, found {_shown(body)}"
            if b'"degraded":true' in body:
                return f"expected a full answer, found {_shown(body)}"
        elif check.kind == "score":
            template = self._plan.templates[number % len(self._texts)]
            return _wrong_score(template, check.tolerance, body)
        return None


def event_id(prefix: str, number: int) -> str:
    return f"{prefix}{number:010d}"


def version_of(body: bytes) -> str | None:
    """The model version that an answer names, if it names one."""
    found = _VERSION.search(body)
    return found[1].decode() if found else None


def _entity(place: int, count: int) -> Own:
    """Which of `count` entities an event belongs to: each about equally often, in no order."""
    return lambda number: f"{(number * place * _SPREAD >> 8) % count:08d}"


def _parts(text: str, own: Mapping[str, Own]) -> tuple[str, list[Own]]:
    """`text` with `%s` for each mark, and what fills them."""
    names = [name for name in _OWN.findall(text) if name in own]
    marked = _OWN.sub(lambda mark: "%s" if mark[1] in own else mark[0], text.replace("%", "%%"))
    return marked, [own[name] for name in names]


def _head(plan: Plan, body: str) -> str:
    return (
        f"POST {plan.path} HTTP/1.1\r\nHost: 127.0.0.1:{plan.port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body.encode())}\r\n\r\n"
    )


def _wrong_score(template: Template, tolerance: float, body: bytes) -> str | None:
    found = _NUMBER.search(body)
    if found is None or template.score is None:
        return f"expected a score, found {_shown(body)}"
    if abs(float(found[0]) - template.score) > tolerance:
        return f"expected score {template.score:.6f}, found {_shown(body)}"
    return None


def _shown(body: bytes) -> str:
    return body[:200].decode(errors="replace")
