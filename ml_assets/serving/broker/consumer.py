"""From a queue into the log: stored first, acknowledged then, and nothing in between is lost."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from time import monotonic

from ml_assets.core.errors import LogUnavailable, MlAssetsError, NotReady
from ml_assets.core.runtime.sparse_log import SparseLog
from ml_assets.serving.broker.address import BrokerAddress
from ml_assets.serving.broker.clients import MOST, BrokerSource, BrokerUnavailable
from ml_assets.serving.broker.door import Door
from ml_assets.serving.broker.messages import BrokerMessage, Refusal, dead_letter
from ml_assets.serving.broker.pace import Backoff, Progress

log = logging.getLogger(__name__)

TURN_SECONDS = 0.5
"""How long a look at an empty queue takes: so late SIGTERM is heard at most."""
LAG_SECONDS = 2.0


class Consumed:
    """What one consumer has done. Written by it alone, read on any thread.

    counts: messages by what became of them: `stored`, `dead`, `again` (delivered before)
    dead: dead letters by their code
    waited: times that the log or the broker was waited for
    lag: messages in the queue at the latest look, those at work among them; None before the first
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.dead: Counter[str] = Counter()
        self.waited: Counter[str] = Counter()
        self.lag: int | None = None


class Consumer:
    """Takes batches off a queue, whatever is there, and stores each as one.

    A message is acknowledged once it is in the log, so one that is delivered twice meets its event
    there. While the log cannot be written, or no model answers, the same batch is tried again and
    no more is taken off: the queue waits. What can never be taken in goes to the dead-letter
    queue, with its reason, and is acknowledged once it is there.

    open_source: opens the queue; called again whenever the connection was lost
    idle: called while nothing waits
    """

    def __init__(
        self, address: BrokerAddress, door: Door, open_source: Callable[[], BrokerSource],
        lines: SparseLog, *, idle: Callable[[], None] = lambda: None,
    ) -> None:
        self._address, self._door, self._open = address, door, open_source
        self._lines, self._idle = lines, idle
        self.consumed = Consumed()
        self._progress = Progress(log, f"messages of {address}")
        self._lag_at = float("-inf")

    def run(self, stopping: Callable[[], bool], *, most: int | None = None) -> None:
        """Until `stopping()`, or until `most` messages are done. What was stored is acknowledged.

        Raises QueueMissing, also if the queue goes away.
        """
        backoff = Backoff()
        while not stopping() and not self._done(most):
            try:
                source = self._open()
                backoff.reset()
                try:
                    self._read(source, stopping, most)
                finally:
                    source.close()
            except BrokerUnavailable as error:
                self.consumed.waited["broker"] += 1
                self._lines.say(log, logging.WARNING, "broker", "%s; trying again", error)
                backoff.sleep(stopping)
        self._say()

    def _read(
        self, source: BrokerSource, stopping: Callable[[], bool], most: int | None
    ) -> None:
        while not stopping() and not self._done(most):
            left = MOST if most is None else min(MOST, most - self._finished)
            messages = source.receive(left, TURN_SECONDS)
            if messages:
                if not self._store(source, messages, stopping):
                    return  # what is not acknowledged goes back
            else:
                self._idle()
            self._look(source, idle=not messages)

    def _store(
        self, source: BrokerSource, messages: Sequence[BrokerMessage],
        stopping: Callable[[], bool],
    ) -> bool:
        """Whether they are stored or buried, and acknowledged; False if told to stop before."""
        backoff = Backoff()
        while True:
            try:
                refusals = self._door.take(messages)
                break
            except (LogUnavailable, NotReady) as error:
                self._wait(error)
                if stopping():
                    return False
                source.keep(messages, backoff.wait_s())
        refused = [(message, refusal) for message, refusal in zip(messages, refusals, strict=True)
                   if refusal is not None]
        if refused:
            source.bury([dead_letter(*each, self._door.system.system.name) for each in refused])
        source.acknowledge(messages)
        self._count(messages, [refusal for _, refusal in refused])
        return True

    def _count(self, messages: Sequence[BrokerMessage], refusals: Sequence[Refusal]) -> None:
        counts = self.consumed.counts
        counts["stored"] += len(messages) - len(refusals)
        counts["dead"] += len(refusals)
        counts["again"] += sum(message.redelivered for message in messages)
        self.consumed.dead.update(refusal.code for refusal in refusals)
        for refusal in refusals:
            self._lines.say(log, logging.WARNING, ("dead", refusal.code),
                            "%s: a message goes to %s: %s: %s", self._address,
                            self._address.dead.name, refusal.code, refusal.reason)

    def _wait(self, error: MlAssetsError) -> None:
        why = "model" if isinstance(error, NotReady) else "log"
        self.consumed.waited[why] += 1
        self._lines.say(log, logging.WARNING, ("waits", why),
                        "%s waits, nothing is acknowledged meanwhile: %s", self._address, error)

    def _look(self, source: BrokerSource, *, idle: bool) -> None:
        if monotonic() - self._lag_at >= LAG_SECONDS or (idle and self.consumed.lag):
            self.consumed.lag, self._lag_at = source.lag(), monotonic()
        if self._progress.due:
            self._say()

    def _say(self) -> None:
        dead = self.consumed.counts["dead"]
        more = [f"{dead:,} in all went to {self._address.dead.name}"] if dead else []
        self._progress.say(self._finished, self.consumed.lag or 0, *more)

    @property
    def _finished(self) -> int:
        return self.consumed.counts["stored"] + self.consumed.counts["dead"]

    def _done(self, most: int | None) -> bool:
        return most is not None and self._finished >= most
