"""From the log to a queue: each exactly in order, at least once, with an id of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ml_assets.core.errors import LogUnavailable, StateDamaged
from ml_assets.core.runtime.sparse_log import SparseLog
from ml_assets.serving.broker.address import BrokerAddress
from ml_assets.serving.broker.clients import BrokerSink, BrokerUnavailable
from ml_assets.serving.broker.outbox import Outbox
from ml_assets.serving.broker.pace import Backoff, Progress

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.05
"""Between two looks at a log that had nothing new: 40 us each."""


class Publisher:
    """Follows the log. The place is noted once the broker has confirmed what came before it.

    So whoever goes on after a crash publishes at most one portion again, under the same ids.

    open_sink: opens the queue; called again whenever the connection was lost
    """

    def __init__(
        self, address: BrokerAddress, outbox: Outbox, open_sink: Callable[[], BrokerSink],
        lines: SparseLog,
    ) -> None:
        self._address, self._outbox, self._open, self._lines = address, outbox, open_sink, lines
        self.published = 0
        self._progress = Progress(log, f"messages to {address}")

    @property
    def lag(self) -> int:
        """Positions of the log that were not looked at yet."""
        return self._outbox.last - self._outbox.position

    def run(self, stopping: Callable[[], bool]) -> None:
        """Until `stopping()`.

        Raises QueueMissing if nobody keeps what is published, StateDamaged if another log has
        taken the place of this one.
        """
        backoff = Backoff()
        while not stopping():
            sink = None
            try:
                sink = self._open()
                self._follow(sink, stopping, backoff)
            except BrokerUnavailable as error:
                self._lines.say(log, logging.WARNING, "broker", "%s; trying again", error)
                backoff.sleep(stopping)
            finally:
                if sink is not None:
                    sink.close()
        self._progress.say(self.published, self.lag)

    def _follow(
        self, sink: BrokerSink, stopping: Callable[[], bool], backoff: Backoff
    ) -> None:
        while not stopping():
            try:
                portion = self._outbox.next()
                if portion.messages:
                    sink.publish(portion.messages)
                    self.published += len(portion.messages)
                self._outbox.note(portion.position, durably=bool(portion.messages))
                backoff.reset()
            except (LogUnavailable, OSError) as error:
                if isinstance(error, BrokerUnavailable | StateDamaged):
                    raise
                self._lines.say(log, logging.WARNING, "log", "%s; trying again", error)
                sink.keep(backoff.wait_s())
                continue
            if not portion.messages:
                sink.keep(LOOK_SECONDS)
            if self._progress.due:
                self._progress.say(self.published, self.lag)
