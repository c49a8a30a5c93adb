"""The API as its clients see it: a real server in a separate process, over HTTP."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from ml_assets.core.errors import NotReady
from ml_assets.core.runtime import keeper
from ml_assets.core.settings import Settings
from ml_assets.core.source import ArchivedEvent
from ml_assets.core.time import WallClock
from ml_assets.registry.deployments import Deployment
from ml_assets.replay.people import Report
from ml_assets.serving.access.tokens import Tokens

KILLED = 128
"""A keeper's exit status for a command that a signal ended is this plus the signal's number."""
RESTARTS = 3
LARGEST_BODY = 4 * 2**20
"""Bytes of events in one request. The API takes twice as much."""
BUSY_S = 60.0
"""How long a call is sent again to an API that says it is busy."""


@dataclass(kw_only=True)
class Server:
    """The API as a process, on the installation in `var`; `log` is its output."""

    command: tuple[str, ...]
    var: Path
    log: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            # An interrupt of the replay must not kill it mid-answer; the replay's death must.
            self.process = keeper.start(
                self.command, output=output, env={**os.environ, "ML_ASSETS_VAR": str(self.var)}
            )

    def is_alive(self) -> bool:
        """Whether it still runs; waits a moment for a process that is just ending."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(1)
        return self.process.poll() is None

    def was_killed(self) -> bool:
        """Whether a signal has ended it."""
        return (self.process.poll() or 0) > KILLED

    def restart(self) -> None:
        keeper.stop(self.process)
        self.start()


@dataclass(frozen=True, kw_only=True)
class Client:
    """Talks to the API of one system. All calls are safe to repeat.

    A killed API is restarted, and unanswered requests are resent, at most RESTARTS times: a
    request that kills every API it reaches must not be sent forever.
    """

    http: httpx.Client
    system: str
    server: Server

    def await_ready(self, *, seconds: float = 120) -> None:
        """Return once the server can answer.

        Raises NotReady, with the end of its log, if it has ended or is not ready in time.
        """
        self._await(f"/readyz/{self.system}", seconds)

    def await_alive(self, *, seconds: float = 120) -> None:
        """Return once the server takes in events, though it may have no model yet."""
        self._await("/healthz", seconds)

    def _await(self, path: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        reason, restarts = "it did not answer", 0
        while time.monotonic() < deadline:
            if self.server.process.poll() is not None:
                if restarts == RESTARTS or not self.server.was_killed():
                    break
                restarts += 1
                self.server.restart()
            try:
                answer = self.http.get(path)
                if answer.status_code == 200:
                    return
                reason = answer.text
            except httpx.TransportError as error:
                reason = str(error)
            time.sleep(0.1)
        raise NotReady(
            f"the API did not become ready: {reason}\n{self.server.log.read_text()[-2000:]}"
        )

    def predict(self, event_id: str, at: datetime, event: object) -> dict[str, Any]:
        """The answer to one event; `latency_ms` is measured here, on the client's side."""
        started = time.perf_counter()
        body = {"event_id": event_id, "event_timestamp": at.isoformat(), "event": event}
        answer = self._call("POST", "predict", body)
        return {**answer, "latency_ms": (time.perf_counter() - started) * 1000}

    def predict_together(self, events: Sequence[ArchivedEvent]) -> list[dict[str, Any]]:
        """The answers to several events, in order. Raises NotReady if one is refused."""
        if len(events) == 1:
            return [self.predict(events[0].event_id, events[0].event_timestamp,
                                 dict(events[0].request))]
        answers: list[dict[str, Any]] = []
        bodies = [json.dumps({
            "event_id": each.event_id, "event_timestamp": each.event_timestamp.isoformat(),
            "event": dict(each.request)}).encode() for each in events]
        for some in _fitting(bodies):
            started = time.perf_counter()
            told = self._call("POST", "predict/batch", b'{"events": [%s]}' % b", ".join(some))
            latency_ms = (time.perf_counter() - started) * 1000
            answers += [{**answer, "latency_ms": latency_ms} for answer in told["predictions"]]
        for event, answer in zip(events, answers, strict=True):
            if "error" in answer:
                raise NotReady(f"the API refuses the event {event.event_id!r}: {answer['error']}")
        return answers

    def rank(self, event_id: str, at: datetime, event: object) -> dict[str, Any]:
        """The slate for one request; `latency_ms` is measured here, on the client's side."""
        started = time.perf_counter()
        body = {"event_id": event_id, "event_timestamp": at.isoformat(), "event": event}
        answer = self._call("POST", "rank", body)
        return {**answer, "latency_ms": (time.perf_counter() - started) * 1000}

    def tell(self, stream: str, events: Sequence[ArchivedEvent]) -> None:
        """Events that only feed features. What is no event of the stream is refused alone."""
        self._call("POST", f"events/{stream}/batch", {"events": [
            {"event_id": each.event_id, "event_timestamp": each.event_timestamp.isoformat(),
             "event": dict(each.request)} for each in events
        ]})

    def report(self, reports: Sequence[Report]) -> None:
        """Say what was true, each in somebody's name and at its time.

        reports: at most as many as the API takes at once
        """
        told = self._call("POST", "feedback/batch", {"feedback": [
            {"prediction_id": each.prediction_id, "label": each.label, "source": each.source,
             "said_at": each.due.isoformat()} for each in reports]})
        for report, answer in zip(reports, told["feedback"], strict=True):
            if "error" in answer:
                raise NotReady(f"the API refuses the feedback on {report.prediction_id!r}: "
                               f"{answer['error']}")

    def version(self) -> int | None:
        """The model version with which this server answers now."""
        loaded: int | None = self._call("GET", "version")["loaded"]
        return loaded

    def await_rollout(self, record: Deployment, *, seconds: float = 30) -> None:
        """Return once the server does what `record` says. Raises NotReady after `seconds`."""
        deadline = time.monotonic() + seconds
        while not _does(shown := self._call("GET", "version"), record):
            if time.monotonic() > deadline:
                raise NotReady(
                    f"the API has not followed record {record.id} of {self.system!r} ("
                    f"{record.told}) after {seconds:.0f} s; it has loaded {shown['serving']}. Its "
                    "log says why."
                )
            time.sleep(0.05)

    def await_shadows(self, *, seconds: float = 30) -> None:
        """Return once no answer waits for other versions to score it, or after `seconds`."""
        deadline = time.monotonic() + seconds
        while self._call("GET", "version")["counts"]["shadow_waiting"]:
            if time.monotonic() > deadline:
                return
            time.sleep(0.005)

    def judge(self) -> None:
        """Let the API take out versions that are broken, by what they have done so far."""
        self._call("POST", "guardrails")

    def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """The answer. Raises NotReady if there is none, or if it is an error."""
        path = f"/v1/{self.system}/{path}"
        for attempt in range(RESTARTS + 1):
            try:
                return _checked(self._send(method, path, body))
            except httpx.TransportError as error:
                alive = self.server.is_alive()
                if attempt == RESTARTS or not (alive or self.server.was_killed()):
                    raise NotReady(
                        f"{method} {path}: no answer ({error}) from the API in {attempt + 1} "
                        f"attempts; its log, {self.server.log}, may say why"
                    ) from error
            if not alive:  # a living one may have closed an idle connection just as we used it
                self.server.restart()
                self.await_ready()
        raise AssertionError("the last attempt returns or raises")

    def _send(self, method: str, path: str, body: object) -> httpx.Response:
        """What the API says once it is not busy: a 503 names the seconds to wait."""
        deadline = time.monotonic() + BUSY_S
        while True:
            answer = (
                self.http.request(method, path, content=body,
                                  headers={"content-type": "application/json"})
                if isinstance(body, bytes) else self.http.request(method, path, json=body))
            wait_s = answer.headers.get("retry-after")
            if answer.status_code != 503 or wait_s is None or time.monotonic() > deadline:
                return answer
            time.sleep(float(wait_s))


@contextmanager
def let_in(settings: Settings, *sources: str) -> Iterator[dict[str, str]]:
    """The headers that a client needs: with tokens in use, a temporary token of its own.

    sources: as which it speaks
    """
    tokens = Tokens(settings.tokens)
    if not tokens.read():
        yield {}
        return
    token, shown = tokens.create(
        f"replay-{secrets.token_hex(4)}", ("predict", "feedback"), sources, WallClock().now())
    try:
        yield {"authorization": f"Bearer {shown}"}
    finally:
        tokens.revoke(token.id, WallClock().now())


def _does(shown: Mapping[str, Any], record: Deployment) -> bool:
    """Whether a server has all versions of the record in their roles, or refuses some of them."""
    refused = {each["version"] for each in shown["refused"]}
    roles = {each["version"]: each["role"] for each in shown["serving"]}
    return (shown["deployment"] or {}).get("id") == record.id and all(
        version in refused or roles.get(version) == record.role(version)
        for version in record.named) and roles.get(record.version) == "champion"


def _fitting(bodies: list[bytes]) -> Iterator[list[bytes]]:
    """In order, as many at a time as the API reads at once."""
    some: list[bytes] = []
    for body in bodies:
        if some and sum(map(len, some)) + len(body) > LARGEST_BODY:
            yield some
            some = []
        some.append(body)
    yield some


def _checked(answer: httpx.Response) -> dict[str, Any]:
    if answer.is_error:
        raise NotReady(f"{answer.request.method} {answer.request.url} -> {answer.status_code}: "
                       f"{answer.text[:500]}")
    body: dict[str, Any] = answer.json()
    return body
