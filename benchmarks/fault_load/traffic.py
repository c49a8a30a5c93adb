"""A separate client beside the replay, which keeps its answers."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ml_assets.systems.spam import SPAM

MESSAGE = ("From: {sender}@faults.example\nTo: us@faults.example\nSubject: report {number}\n"
           "Date: Thu, 22 Aug 2002 12:00:00 +0000\n\nThe figures of today: {number}.\n")
SENDERS = 7
FEEDBACK_EVERY = 4


@dataclass(kw_only=True)
class Traffic:
    """Posts mails and words of feedback, one at a time, to whatever API there is.

    Unanswered requests are resent under the same id until they are answered. answered: prediction
    id by event id; said: (prediction id, source) of acknowledged words; interrupted: how often a
    request had no answer; changed: event ids whose answer changed when resent; errors: refusals
    by a living server
    """

    port: Callable[[], int | None]
    pause_s: float = 0.1
    answered: dict[str, str] = field(default_factory=dict)
    said: set[tuple[str, str]] = field(default_factory=set)
    interrupted: int = 0
    changed: int = 0
    errors: list[str] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until `stopping` is set and nothing waits for an answer, or there is no API left."""
        number = 0
        while not self.stopping.is_set():
            event_id = f"fault-{number:06d}"
            if not self._predict(event_id, number):
                continue
            if number % FEEDBACK_EVERY == 0:
                while not (self._say(self.answered[event_id], f"faults-{number}")
                           or self.stopping.is_set()):
                    pass
                # Asked again, it gets the same answer.
                self._predict(event_id, number)
            number += 1
            self.stopping.wait(self.pause_s)

    def _predict(self, event_id: str, number: int) -> bool:
        message = MESSAGE.format(sender=f"sender{number % SENDERS}", number=number)
        answer = self._post("predict", {"event_id": event_id, "event": {"message": message}})
        if answer is None:
            return False
        before = self.answered.setdefault(event_id, answer["prediction_id"])
        self.changed += before != answer["prediction_id"]
        return True

    def _say(self, prediction_id: str, source: str) -> bool:
        answer = self._post("feedback", {
            "prediction_id": prediction_id, "label": False, "source": source})
        if answer is not None:
            self.said.add((prediction_id, source))
        return answer is not None

    def _post(self, path: str, body: object) -> dict[str, str] | None:
        """The answer; None if there was none. An API that is not ready yet says 503."""
        port = self.port()
        if port is None:
            self.stopping.wait(0.2)
            return None
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("POST", f"/v1/{SPAM.name}/{path}", json.dumps(body),
                               {"content-type": "application/json"})
            answer = connection.getresponse()
            said = answer.read()
        except ConnectionRefusedError:
            time.sleep(0.2)
            return None
        except (OSError, http.client.HTTPException):
            self.interrupted += 1
            return None
        finally:
            connection.close()
        if answer.status == 200:
            return dict(json.loads(said))
        if answer.status != 503:
            self.errors.append(f"{path}: {answer.status} {said[:200]!r}")
        time.sleep(0.2)
        return None
