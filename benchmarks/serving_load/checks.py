"""What is asked for each event, and whether an answer is the right one to it."""

from __future__ import annotations

import re
from hashlib import blake2b

from benchmarks.serving_load.plan import Plan, Template

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_VERSION = re.compile(rb'"model_version":(\d+)')
_ID = "{:010d}"


class Events:
    """The requests of a plan, made quickly: all but the ids is built beforehand."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._parts = [_parts(plan, template) for template in plan.templates]

    def request(self, number: int) -> bytes:
        """Event `number` as an HTTP/1.1 request."""
        before, after = self._parts[number % len(self._parts)]
        return b"%b%b%b" % (before, self.id(number).encode(), after)

    def id(self, number: int) -> str:
        """The event's id, empty where the target wants none."""
        return event_id(self._plan.id_prefix, number) if self._plan.id_prefix else ""

    def fault(self, number: int, body: bytes) -> str | None:
        """What is wrong with the body of the answer to event `number`; None: nothing is."""
        check = self._plan.check
        if check.kind == "prediction":
            # As `ml_assets.serving.predictor.prediction_id` makes it.
            event = f"{check.system}\0{self.id(number)}"
            wanted = blake2b(event.encode(), digest_size=12).hexdigest()
            if b'"prediction_id":"%b"' % wanted.encode() not in body:
                return f"expected prediction id {wanted}, found {_shown(body)}"
        elif check.kind == "score":
            template = self._plan.templates[number % len(self._parts)]
            return _wrong_score(template, check.tolerance, body)
        return None


def event_id(prefix: str, number: int) -> str:
    """Always of one length, so that all requests of a template are."""
    return prefix + _ID.format(number)


def version_of(body: bytes) -> str | None:
    """The model version that an answer names, if it names one."""
    found = _VERSION.search(body)
    return found[1].decode() if found else None


def _parts(plan: Plan, template: Template) -> tuple[bytes, bytes]:
    """What comes before the event's id, and after it."""
    before, after = template.before.encode(), template.after.encode()
    between = len(event_id(plan.id_prefix, 0)) if plan.id_prefix else 0
    head = (
        f"POST {plan.path} HTTP/1.1\r\nHost: 127.0.0.1:{plan.port}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(before) + between + len(after)}\r\n\r\n"
    )
    return head.encode() + before, after


def _wrong_score(template: Template, tolerance: float, body: bytes) -> str | None:
    found = _NUMBER.search(body)
    if found is None or template.score is None:
        return f"expected a score, found {_shown(body)}"
    if abs(float(found[0]) - template.score) > tolerance:
        return f"expected score {template.score:.6f}, found {_shown(body)}"
    return None


def _shown(body: bytes) -> str:
    return body[:200].decode(errors="replace")
