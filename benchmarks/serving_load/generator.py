"""The load generator: `python -m benchmarks.serving_load.generator`, a process of its own.

Reads a `Plan` from the first line of its input and writes an `Outcome` as the last line of its
output, preceded by one per interval if the plan asks for them. It ends early when its input does.

An open loop sends each request at an instant that was drawn beforehand, whether or not the
server keeps up: if all connections are busy a request waits for one, and its latency counts
from the instant at which it was meant to be sent. So a server that stalls for a second is seen
to have kept waiting everyone who came in that second, not only those who were being served
(what Gil Tene calls coordinated omission).
"""

from __future__ import annotations

import gc
import random
import select
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from benchmarks.serving_load.checks import Events, version_of
from benchmarks.serving_load.connection import Answer, Asked, Broken, Connection
from benchmarks.serving_load.plan import Outcome, Plan
from benchmarks.serving_load.process_tree import cpu_seconds

clock = time.perf_counter
LOOK_S = 0.5
"""How often requests that wait too long are looked for, and the longest wait for an answer."""
PAUSE_S = 0.01
"""How long a closed loop waits after a refused connection before it tries again."""
STDIN = 0


class Generator:
    """One run of a plan. `run` may be called once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.outcome = Outcome()
        self._interval = Outcome()
        self._told = (self.outcome, self._interval) if plan.every_s else (self.outcome,)
        self._events = Events(plan)
        self._poll = select.epoll()
        self._open: dict[int, Connection] = {}
        self._idle: deque[Connection] = deque()
        self._waiting: deque[Asked] = deque()
        self._draw = random.Random(plan.seed)
        self._number = 0
        self._queued_below = 0
        self._stopped = False
        self._resume = self._look = 0.0
        self._start = self._next = self._from = clock()
        self._until = self._interval_end = float("inf")

    def end_with_input(self) -> None:
        """Stop as soon as standard input ends."""
        self._poll.register(STDIN, select.EPOLLIN)

    def run(self) -> Outcome:
        """Return once every request was answered or given up."""
        plan = self.plan
        self._start = self._next = clock()
        self._from = float("inf")
        while clock() < self._start + plan.warm_s and not self._stopped:
            self._turn(until=self._start + plan.warm_s)
        # A look through /proc takes milliseconds: outside of the window.
        server, mine = self._server_cpu_s(), time.process_time()
        self._from = clock()
        self._until = self._from + plan.measured_s
        if not plan.warm_s:
            self._next = self._from
        if plan.every_s:
            self._interval_end = self._from + plan.every_s
        while clock() < self._until and not self._stopped:
            self._turn(until=self._until)
        if not self._stopped and plan.rate is not None:
            self._fill(self._until)  # those that were due since the last turn
        self._stopped, self._until = True, clock()
        self.outcome.generator_cpu_s = time.process_time() - mine
        self.outcome.server_cpu_s = self._server_cpu_s() - server
        self.outcome.seconds = self._until - self._from
        self._finish()
        return self.outcome

    def _server_cpu_s(self) -> float:
        return cpu_seconds(self.plan.server) if self.plan.server else 0.0

    def _finish(self) -> None:
        """Wait for outstanding answers, but not forever."""
        deadline = clock() + self.plan.timeout_s
        while clock() < deadline and (self._waiting or self._busy):
            self._turn(until=deadline)
        for asked in [*self._waiting, *(c.asked for c in self._open.values() if c.asked)]:
            self._fail(asked, "timeout", f"no answer within {self.plan.timeout_s:g} s")

    @property
    def _busy(self) -> int:
        return len(self._open) - len(self._idle)

    def _turn(self, *, until: float) -> None:
        """Send what is due, wait for the next instant or answer, read what has arrived."""
        now = clock()
        if not self._stopped:
            self._fill(now)
        while self._waiting and (connection := self._free()):
            self._send(connection, self._waiting.popleft())
        self._queued_below = self._number
        for fd, mask in self._wait(until):
            if fd == STDIN:
                self._stopped = True
                self._poll.unregister(STDIN)
            elif fd in self._open:
                self._advance(self._open[fd], mask)
        if now >= self._look:
            self._give_up(now)
            self._look = now + LOOK_S
        if now >= self._interval_end:
            self._report()

    def _fill(self, now: float) -> None:
        """The requests that are due: in a closed loop, one for each idle connection."""
        if self.plan.rate is not None:
            while self._next <= now:
                self._ask_at(self._next)
                self._next += self._draw.expovariate(self.plan.rate)
        elif now >= self._resume:
            for _ in range(self.plan.connections - self._busy - len(self._waiting)):
                self._ask_at(now)

    def _ask_at(self, meant: float) -> None:
        self._waiting.append(Asked(self._number, meant))
        self._number += 1

    def _free(self) -> Connection | None:
        """An idle connection, or a new one if there are fewer than planned."""
        if self._idle:
            return self._idle.popleft()
        if len(self._open) >= self.plan.connections:
            return None
        try:
            connection = Connection(self.plan.port, self._poll)
        except Broken as broken:
            self._fail(self._waiting.popleft(), str(broken), "nobody listens")
            self._resume = clock() + PAUSE_S
            self._stopped = self._stopped or self.plan.stop_when_refused
            return None
        self._open[connection.fd] = connection
        return connection

    def _send(self, connection: Connection, asked: Asked) -> None:
        request = self._events.request(asked.number)
        asked.sent = clock()
        if asked.number >= self._queued_below and asked.meant >= self._from:
            for outcome in self._told:
                outcome.lateness.add(asked.sent - asked.meant)
        try:
            connection.ask(asked, request)
        except Broken as broken:
            self._lose(connection, str(broken))

    def _wait(self, until: float) -> list[tuple[int, int]]:
        """What has become readable or writable until the next request is due."""
        if self._waiting and len(self._open) < self.plan.connections:
            return self._poll.poll(0)  # one was refused a connection; the next may get one
        limit = min(LOOK_S, until - clock())
        if self.plan.rate is not None and not self._stopped:
            limit = min(limit, self._next - clock())
        elif self._resume:
            limit = min(limit, PAUSE_S)
        if limit > 0:
            # epoll rounds up to milliseconds, select does not.
            select.select([self._poll], [], [], limit)
        return self._poll.poll(0)

    def _advance(self, connection: Connection, mask: int) -> None:
        try:
            if mask & select.EPOLLOUT:
                connection.write()
            answer = connection.read() if mask & ~select.EPOLLOUT else None
        except Broken as broken:
            self._lose(connection, str(broken))
            return
        if answer is None:
            return
        asked, connection.asked = connection.asked, None
        if asked is None or answer.last:
            self._close(connection)
        else:
            self._idle.append(connection)
        if asked is not None:
            self._take(asked, answer)

    def _take(self, asked: Asked, answer: Answer) -> None:
        now = clock()
        if answer.status != 200:
            said = answer.body[:200].decode(errors="replace")
            self._fail(asked, f"status {answer.status}", said)
            return
        fault = self._events.fault(asked.number, answer.body)
        if fault is not None:
            self._fail(asked, "wrong", fault)
            return
        if self.plan.keep_ids:
            self.outcome.answered_ids.append(asked.number)
        version = version_of(answer.body)
        for outcome in self._told:
            if self._from <= now < self._until:
                outcome.answered += 1
            if self._from <= asked.meant < self._until:
                outcome.latencies.add(now - asked.meant)
            if version is not None:
                outcome.versions[version] = outcome.versions.get(version, 0) + 1

    def _lose(self, connection: Connection, kind: str) -> None:
        asked = connection.asked
        self._close(connection)
        if asked is not None:
            self._fail(asked, kind, "the connection was lost before the answer")

    def _close(self, connection: Connection) -> None:
        connection.close()
        self._open.pop(connection.fd, None)
        if connection in self._idle:
            self._idle.remove(connection)

    def _fail(self, asked: Asked, kind: str, said: str) -> None:
        for outcome in self._told:
            outcome.fail(asked.meant - self._start, kind, said)
        if self.plan.keep_ids:
            self.outcome.unanswered_ids.append(asked.number)

    def _give_up(self, now: float) -> None:
        """Requests that have waited too long for an answer."""
        for connection in list(self._open.values()):
            if connection.asked and now - connection.asked.sent > self.plan.timeout_s:
                self._lose(connection, "timeout")

    def _report(self) -> None:
        self._interval.seconds = self.plan.every_s
        tell(self._interval)
        self._interval = Outcome()
        self._told = (self.outcome, self._interval)
        self._interval_end += self.plan.every_s


def tell(outcome: Outcome) -> None:
    sys.stdout.write(outcome.encoded() + "\n")
    sys.stdout.flush()


def main() -> None:
    plan = Plan.decoded(sys.stdin.readline())
    with suppress(OSError):
        # Wake up when it is time: the usual slack of 50 us would count as latency.
        Path("/proc/self/timerslack_ns").write_text("1")
    gc.disable()  # nothing here makes cycles
    generator = Generator(plan)
    generator.end_with_input()
    tell(generator.run())


if __name__ == "__main__":
    main()
