"""The replay itself: history, a first champion, then day after day of live traffic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from ml_assets.automation.sensors import next_closed_day
from ml_assets.core.settings import Settings
from ml_assets.core.source import ArchivedEvent
from ml_assets.core.system import System
from ml_assets.core.time import DAY, EARLIEST, EventClock, midnight
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.registry.deployments import Deployment, Deployments
from ml_assets.registry.models import ModelRegistry
from ml_assets.registry.promotion import admit
from ml_assets.replay.api import Client, running_api
from ml_assets.replay.live_days import LiveDays
from ml_assets.replay.people import People
from ml_assets.replay.runs import Runs, StoppedByCheck
from ml_assets.replay.slates import answered, ask
from ml_assets.replay.told import OtherStreams
from ml_assets.replay.waves import Waves

AT_ONCE = 256
"""Words in one request, at most; as many as the API takes at once."""

Say = Callable[[datetime, str], None]
"""Reports progress to whoever watches the loop, on the event clock."""


@dataclass(kw_only=True)
class Journey:
    """One replay of one system, from wherever the last one stopped.

    All state is in the installation (event log, lake, deployments, clock), so an interrupt at any
    moment loses nothing: closed days stay closed, and answered predictions are found again under
    their event ids.
    """

    system: System
    settings: Settings
    runs: Runs
    say: Say
    step: Callable[[datetime, int], None] = lambda at, done: None
    answered: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    _several: bool = False
    """Whether more than one version scores each event."""

    @property
    def clock(self) -> EventClock:
        return EventClock(self.settings.clock_file(self.system.name))

    @property
    def deployments(self) -> Deployments:
        return Deployments(self.settings.deployments)

    def go(self, events: LiveDays, until: date) -> None:
        """History, a first champion, then the live days up to `until` (exclusive)."""
        self._take_in_history()
        first = next_closed_day(self.system, self.settings, midnight(until))
        trained = self.deployments.current(self.system.name) is not None
        if first is None and trained and not self.clock.stands_still():
            return
        # The API takes ten seconds to start: the first training need not wait for it.
        with running_api(self.settings, self.system) as api:
            self._deploy_first()
            api.await_ready()
            current = self.deployments.current(self.system.name)
            self._several = current is not None and len(current.named) > 1
            if trained and self.clock.now() == midnight(first or until):
                # The last replay died between closing that day and the first event after it.
                self._ask_sensors(api, self.clock.now())
            if first is not None:
                self._travel(api, events, first, until)
        self.runs.batch(until - timedelta(days=1))
        self.clock.start()

    def _take_in_history(self) -> None:
        live_from = self.system.calendar.live_from
        if not self.clock.path.exists():
            self.clock.set(live_from)
        unread = next_closed_day(self.system, self.settings, live_from)
        if unread is not None:
            self.say(live_from, f"ingesting the recorded days from {unread}")
            self.runs.history(self.system.calendar.go_live)

    def _deploy_first(self) -> None:
        live_from = self.system.calendar.live_from
        if self.deployments.current(self.system.name) is None:
            self.say(live_from, "training the first model")
            self.runs.retraining({"ml_assets/reason": "first"})
            self.say(live_from, told(self.deployments.current(self.system.name)))
        if (self.system.target.slates is not None
                and not self.settings.candidates(self.system.name).exists()):
            # From the first live day on, each closed day makes the next one's.
            self.runs.candidates(self.system.calendar.go_live - DAY)

    def _travel(
        self, api: Client, events: LiveDays, first: date, until: date
    ) -> None:
        """Replay the days from `first` to `until` (exclusive), one by one."""
        if not self.clock.stands_still():
            self.clock.set(midnight(first))  # it has been running since an earlier replay ended
        people = self._people_after(events, midnight(first))
        told = OtherStreams(self.system, self.settings.cache, midnight(first))
        self.answered = events.count(first)
        waves = Waves.of(self.system, self.settings)
        for offset in range((until - first).days):
            day = first + timedelta(days=offset)
            end, today, done = midnight(day) + DAY, events.day(day), 0
            while done < len(today):
                at = today[done].event_timestamp
                self._tell(api, told, at)
                self._report(api, people, at)
                wave = waves.take(today, done, min(people.next_due or end, told.next_at or end))
                self._predict(api, people, wave)
                done += len(wave)
            self._tell(api, told, end)
            self._report(api, people, end)
            self._close(api, day)

    def _predict(self, api: Client, people: People, wave: Sequence[ArchivedEvent]) -> None:
        self._advance(wave[-1].event_timestamp)
        for each in ask(api, self.system, wave):
            self.latencies_ms += each.latencies_ms
            people.receive(each.event, prediction_id=each.prediction_id, decision=each.decision)
        if self._several:
            api.await_shadows()  # else what is scored in time would depend on the machine
        self.answered += len(wave)
        self.step(wave[-1].event_timestamp, self.answered)

    def _tell(self, api: Client, told: OtherStreams, until: datetime) -> None:
        """What happened in the other streams before `until`."""
        for some in told.due(until):
            self._advance(some[-1].at)
            api.tell(some[0].stream, [each.event for each in some])

    def _advance(self, at: datetime) -> None:
        """Never back, although a replay that resumes in mid-day repeats answered requests.

        Whatever other clients send meanwhile must not appear to precede those answers.
        """
        if at > self.clock.now():
            self.clock.set(at)

    def _report(self, api: Client, people: People, until: datetime) -> None:
        """What is said before `until`, many words in a request: nothing happens between them."""
        due = people.due(until)
        while some := due[:AT_ONCE]:
            self._advance(some[-1].due)
            api.report(some)
            due = due[AT_ONCE:]

    def _close(self, api: Client, day: date) -> None:
        """A day is over: ingest it, then evaluate the sensors."""
        now = midnight(day) + DAY
        self._advance(now)
        before = self.deployments.history(self.system.name)
        self.runs.day(day)
        self._follow(api, before, now)
        self._ask_sensors(api, now)

    def _follow(self, api: Client, before: Sequence[Deployment], now: datetime) -> bool:
        """Let the API do what has been recorded since, and say it; whether anything has."""
        history = self.deployments.history(self.system.name)
        for record in history[len(before):]:
            self.say(now, told(record))
        self._several = bool(history) and len(history[-1].named) > 1
        if len(history) > len(before):
            api.await_rollout(history[-1])
        return len(history) > len(before)

    def _ask_sensors(self, api: Client, now: datetime) -> None:
        """Retrain for those that fire. At the same instant, none fires twice."""
        for name, request in self.runs.ticks():
            self.say(now, f"{name}: {request.tags['ml_assets/why']}")
            before = self.deployments.history(self.system.name)
            try:
                self.runs.retraining(dict(request.tags), asked_by=name)
            except StoppedByCheck as stopped:
                # A candidate that is not good enough is a result; the champion stays.
                self.say(now, str(stopped))
                continue
            if not self._follow(api, before, now):
                self.say(now, self.kept())

    def kept(self) -> str:
        """Why the latest candidate did not come in."""
        registry = ModelRegistry(self.settings)
        candidate = registry.latest(self.system.name)
        report = candidate and registry.evaluation(self.system.name, candidate.version)
        if not report:
            return "the champion stays"
        return admit(report, self.deployments.history(self.system.name)).reason

    def _people_after(self, events: LiveDays, start: datetime) -> People:
        """People who were served before `start` and have said nothing yet.

        Nobody speaks after the maturity of an event: earlier ones are not looked at.
        """
        people, name = People(system=self.system), self.system.name
        since = max(EARLIEST, start - self.system.truth.maturity - DAY)
        log = EventLog(self.settings.event_log)
        said = {f.prediction_id for f in log.feedback.between(name, since, start)}
        for today in events.days(start.date(), since=since.date()):
            for _, rows in answered(self.system, log, today):
                for event, answer in rows:
                    if answer.prediction_id not in said:
                        people.receive(
                            event, prediction_id=answer.prediction_id, decision=answer.decision)
        log.close()
        return people


def told(record: Deployment | None) -> str:
    """What was decided, in a line."""
    if record is None:
        return "no model passed its gates: nothing is deployed"
    return f"{record.action}: {record.reason} ({record.told})"
