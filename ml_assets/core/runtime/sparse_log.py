"""One log line per kind and minute, so a flood of requests does not flood the log."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from time import monotonic

MINUTE_S = 60.0
MOST_KINDS = 500
"""Kinds beyond this number share one."""
LONGEST_SAID = 200
"""Characters of the line that reports suppressed lines."""


@dataclass(kw_only=True)
class _Kind:
    """said: its latest line. held: how many were suppressed since."""

    logger: logging.Logger | None
    level: int
    said: str
    since: float
    held: int = 0


class SparseLog:
    """Writes the first line of a kind in a minute, and counts the others. Thread-safe.

    The count is in the kind's next line, or in a separate one once the minute is over: see
    `tell_rest`. A kind is whatever an operator would want to distinguish. It comes from a small
    vocabulary, never from a client's input.

    now: seconds, which never go back
    """

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._kinds: dict[Hashable, _Kind] = {}
        self._lock = threading.Lock()

    def say(
        self, logger: logging.Logger, level: int, kind: Hashable, message: str, *values: object,
        error: BaseException | None = None, about: Mapping[str, object] | None = None,
    ) -> None:
        """Log `message` if it is the first of its kind within a minute.

        error: its traceback is logged too. about: as `logs.JsonLines` takes it
        """
        held = self.let(kind, logger, level, message, *values)
        if held is not None:
            logger.log(level, "%s%s", message % values, more(held), exc_info=error,
                       extra=None if about is None else {"about": about})

    def let(
        self, kind: Hashable, logger: logging.Logger | None = None, level: int = logging.WARNING,
        message: str = "", *values: object,
    ) -> int | None:
        """How many were suppressed before this one; None if this one is to be suppressed too.

        logger, level, message: how `tell_rest` reports suppressed lines; it does not without them
        """
        now = self._now()
        with self._lock:
            if kind not in self._kinds and len(self._kinds) >= MOST_KINDS:
                kind = None
            known = self._kinds.get(kind)
            if known is not None and now - known.since < MINUTE_S:
                known.held += 1
                return None
            self._kinds[kind] = _Kind(logger=logger, level=level, since=now,
                                      said=(message % values)[:LONGEST_SAID])
        return 0 if known is None else known.held

    def tell_rest(self, *, all_of_them: bool = False) -> None:
        """Report how many lines were suppressed, for each kind whose minute is over.

        all_of_them: for the other kinds too, at shutdown
        """
        with self._lock:
            ended = self._now() - MINUTE_S
            over = {name: kind for name, kind in self._kinds.items()
                    if all_of_them or kind.since <= ended}
            for name in over:
                del self._kinds[name]
        for kind in over.values():
            if kind.held and kind.logger is not None:
                kind.logger.log(kind.level, "%d more lines like this one were not logged: %s",
                                kind.held, kind.said)


def more(held: int) -> str:
    """For the end of a line: how many like it were suppressed before it."""
    return f" ({held} more like it before this one were not logged)" if held else ""
