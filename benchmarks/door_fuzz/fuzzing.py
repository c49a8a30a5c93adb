"""The same bytes down both paths, beside honest requests: where do answers differ, who fails?"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.door_fuzz.cases import Case, case
from benchmarks.door_fuzz.drawing import AT, NAME, PREDICT, request
from benchmarks.door_fuzz.ways import (
    LAST,
    PATIENT_S,
    PROMPT_S,
    Answer,
    Connection,
    Way,
    known_predictions,
    way,
)
from ml_assets.ingest.log.event_log import EventLog

_ALL = (datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC))
AT_ONCE = 6
"""Hostile cases in flight at once, with HONEST others beside them."""
HONEST = 2
UNSPOKEN = (501, 505)
"""The answers to a client with an unknown HTTP version or transfer coding."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that must not happen. said: the answer of each path, or what the log says"""

    what: str
    case: Case | None
    said: tuple[bytes, ...] = ()

    def __str__(self) -> str:
        if self.case is None:
            return f"{self.what}: {self.said!r}"
        return (f"{self.what}: case {self.case.number} ({self.case.kind})\n"
                f"  sent {self.case.sent[:1000]!r}\n  got  "
                + "\n  and  ".join(repr(said[:1000]) for said in self.said))


@dataclass(kw_only=True)
class Found:
    """The result.

    honest: requests beside the cases, each of which must be answered
    batched: events that the fast path logged together, on average; tested is whether those in one
        batch harm each other
    statuses: by kind, how often the first answer had which status; `waits` if the server waited
        for more, `none` if it ended the connection without one
    """

    cases: int = 0
    honest: int = 0
    batched: float = 0.0
    faults: list[Fault] = field(default_factory=list)
    statuses: dict[str, Counter[str]] = field(default_factory=dict)


def fuzz(
    *, cases: int, seed: int, progress: Callable[[int], object] = lambda done: None,
    first: int = 0,
) -> Found:
    """Send `cases` cases drawn from `seed`, starting at number `first`.

    progress: called with the number of cases that were sent since its last call
    """
    found = Found()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="ml_assets-fuzz-")))
        logged = stack.enter_context(_listening())
        ways = [stack.enter_context(way(folder / name, direct=name == "direct"))
                for name in ("direct", "app")]
        known = known_predictions(ways)
        honest = [[each.connect() for _ in range(HONEST)] for each in ways]
        for kept in (kept for each in honest for kept in each):
            stack.callback(kept.close)
        for start in range(first, first + cases, AT_ONCE):
            some = [case(seed, number, known)
                    for number in range(start, min(start + AT_ONCE, first + cases))]
            _compare(some, ways, honest, found, str(folder).encode())
            progress(len(some))
        for each in ways:
            _require_logged(each, found)
        found.batched = ways[0].batched
        found.faults += [Fault(what="a traceback in the log", case=None, said=(line.encode(),))
                         for line in logged]
    return found


def _compare(
    some: Sequence[Case], ways: Sequence[Way], honest: Sequence[Sequence[Connection]],
    found: Found, secret: bytes,
) -> None:
    """honest: two connections to each way, which are kept from one call to the next"""
    beside = [_honest(some[0].number, place) for place in range(HONEST)]
    connections = [_send(each, some, kept, beside)
                   for each, kept in zip(ways, honest, strict=True)]
    for place in range(HONEST):
        ours, theirs = (kept[place].answer() for kept in honest)
        found.honest += 1
        if ours.alike != theirs.alike or ours.statuses != [200]:
            found.faults.append(Fault(what="an honest neighbour was harmed", case=some[0],
                                      said=(ours.received, theirs.received)))
    for one, pair in zip(some, zip(*connections, strict=True), strict=True):
        found.cases += 1
        answers = [each.read(PROMPT_S) for each in pair]
        if answers[0].alike != answers[1].alike or answers[0].waits != answers[1].waits:
            answers = [each.read(PATIENT_S) if answer.waits else answer
                       for each, answer in zip(pair, answers, strict=True)]
            for kept in honest:  # so long none of them has said anything, and may be closed
                for each in kept:
                    each.reopen()
        for each in pair:
            each.close()
        found.statuses.setdefault(one.kind, Counter())[_status(answers[0])] += 1
        for what in _wrong(answers, secret):
            found.faults.append(Fault(what=what, case=one,
                                      said=tuple(answer.received for answer in answers)))


def _send(
    to: Way, some: Sequence[Case], kept: Sequence[Connection], beside: Sequence[bytes]
) -> list[Connection]:
    """Everything at once, so whatever can share a batch does."""
    made = [to.connect() for _ in some]
    for connection, one in zip(made[: len(made) // 2], some, strict=False):
        connection.send(one.sent + LAST)
    for connection, sent in zip(kept, beside, strict=True):
        connection.send(sent)
    for connection, one in list(zip(made, some, strict=True))[len(made) // 2 :]:
        connection.send(one.sent + LAST)
    return made


def _honest(number: int, place: int) -> bytes:
    body = {"event_id": f"honest-{number}-{place}", "event_timestamp": AT,
            "event": {"shop": f"honest {place}", "note": "thank you", "amount": number % 500}}
    return request(PREDICT, json.dumps(body).encode())


def _wrong(answers: Sequence[Answer], secret: bytes) -> Iterator[str]:
    ours, theirs = answers
    if ours.alike != theirs.alike or ours.waits != theirs.waits:
        yield "the two ways differ"
    for answer in answers:
        if any(status >= 500 and status not in UNSPOKEN for status in answer.statuses):
            yield "an answer of 5xx"
        if secret in answer.received or b"Traceback" in answer.received:
            yield "an answer tells of the server"


def _status(answer: Answer) -> str:
    final = [status for status in answer.statuses if status >= 200]
    return str(final[0]) if final else "waits" if answer.waits else "none"


def _require_logged(each: Way, found: Found) -> None:
    """Every honest prediction was acknowledged, so each is in the log, once."""
    log = EventLog(each.settings.event_log)
    answered = [p.event_id for p in log.predictions(NAME, *_ALL)]
    log.close()
    honest = sum(event_id.startswith("honest-") for event_id in answered)
    if honest != found.honest or len(set(answered)) != len(answered):
        found.faults.append(Fault(what="the log lacks what was acknowledged, or has it twice",
                                  case=None, said=(b"%d of %d" % (honest, found.honest),)))


@contextmanager
def _listening() -> Iterator[list[str]]:
    """The tracebacks logged in the block."""
    traces: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info:
                traces.append(logging.Formatter().format(record))

    handler = Handler()
    logging.getLogger().addHandler(handler)
    try:
        yield traces
    finally:
        logging.getLogger().removeHandler(handler)
