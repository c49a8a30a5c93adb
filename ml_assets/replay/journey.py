"""A system's part in a replay: history, a first champion, then day after day of live traffic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from ml_assets.automation.sensors import next_closed_day, next_lent_day
from ml_assets.core.settings import Settings
from ml_assets.core.source import ArchivedEvent
from ml_assets.core.storage.mounts import current
from ml_assets.core.system import System
from ml_assets.core.time import DAY, EARLIEST, EventClock, midnight
from ml_assets.features.manifest import load_manifest
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.registry.deployments import Deployment, Deployments
from ml_assets.registry.models import ModelRegistry
from ml_assets.registry.promotion import admit
from ml_assets.replay.api import Client
from ml_assets.replay.live_days import LiveDays
from ml_assets.replay.people import People
from ml_assets.replay.runs import Runs, StoppedByCheck
from ml_assets.replay.slates import answered, ask
from ml_assets.replay.told import OtherStreams
from ml_assets.replay.waves import Waves

AT_ONCE = 256
"""Words in one request, at most; as many as the API takes at once."""

LOOKS = timedelta(hours=1)
"""So often, and at the end of a day, guardrails judge if several versions score; never between."""

RESOLUTION = timedelta(microseconds=1)
Say = Callable[[datetime, str], None]
"""Reports progress to whoever watches the loop, on the event clock."""


@dataclass(kw_only=True)
class Journey:
    """One system's part in a replay, from wherever the last one stopped; see `travel`.

    All state is in the installation (event log, lake, deployments, clock), so an interrupt at any
    moment loses nothing: closed days stay closed, and answered predictions are found again under
    their event ids.

    events: of the live days; until: the day before which it ends
    asks: whether predictions are asked for. If not, its other streams are told all the same, for
        systems that read its views
    """

    system: System
    settings: Settings
    runs: Runs
    say: Say
    events: LiveDays
    until: date
    asks: bool = True
    step: Callable[[datetime, int], None] = lambda at, done: None
    answered: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    _today: Sequence[ArchivedEvent] = ()
    _done: int = 0
    _end: datetime = EARLIEST
    _several: bool = False
    """Whether more than one version scores each event."""
    _unshadowed: int = 0
    """Answers that other versions may not have scored yet."""
    _looked: datetime = EARLIEST
    """When guardrails were looked at."""

    @property
    def clock(self) -> EventClock:
        return EventClock(self.settings.clock_file(self.system.name))

    @property
    def deployments(self) -> Deployments:
        return Deployments(self.settings.deployments)

    @property
    def is_trained(self) -> bool:
        return self.deployments.current(self.system.name) is not None

    @property
    def next_day(self) -> date | None:
        """The first day that is not closed yet; None if all are."""
        if self.asks:
            return next_closed_day(self.system, self.settings, midnight(self.until))
        day = next_lent_day(self.system, self.settings)
        return day if day < self.until else None

    @property
    def is_over(self) -> bool:
        """Whether it had ended before."""
        return (self.next_day is None and not self.clock.stands_still()
                and (self.is_trained or not self.asks))

    def take_in_history(self) -> None:
        live_from = self.system.calendar.live_from
        if not self.clock.path.exists():
            self.clock.set(live_from)
        unread = (next_closed_day(self.system, self.settings, live_from) if self.asks
                  else next_lent_day(self.system, self.settings))
        if unread is not None and unread < self.system.calendar.go_live:
            self.say(live_from, f"ingesting the recorded days from {unread}")
            self.runs.history(self.system.calendar.go_live, lent=not self.asks)

    def begin(self, api: Client) -> None:
        """A first champion if there is none, and whatever the last replay has left undone."""
        first, trained = self.next_day, self.is_trained
        if self.asks:
            self._deploy_first()
            api.await_ready()
            current = self.deployments.current(self.system.name)
            self._several = current is not None and len(current.named) > 1
        else:
            api.await_alive()
        if trained and self.clock.now() == midnight(first or self.until):
            # The last replay died between closing that day and the first event after it.
            self.ask_sensors(api)
        if first is not None:
            self.start(first)

    def start(self, first: date) -> None:
        """From the beginning of a live day on."""
        if not self.clock.stands_still():
            self.clock.set(midnight(first))  # it has been running since an earlier replay ended
        self._people = self._people_after(midnight(first))
        self._told = OtherStreams(self.system, self.settings.cache, midnight(first),
                                  None if self.asks else load_manifest(
                                      self.settings).borrowed_tables(self.system))
        self._waves = Waves.of(self.system, self.settings)
        self.answered = self.events.count(first)

    def _deploy_first(self) -> None:
        live_from = self.system.calendar.live_from
        if not self.is_trained:
            self.say(live_from, "training the first model")
            self.runs.retraining({"ml_assets/reason": "first"})
            self.say(live_from, told(self.deployments.current(self.system.name)))
        if (self.system.target.slates is not None
                and not current(self.settings.candidates(self.system.name)).exists()):
            # From the first live day on, each closed day makes the next one's.
            self.runs.candidates(self.system.calendar.go_live - DAY)

    def open_day(self, day: date) -> None:
        """From now on `advance` goes through the events of this day."""
        self._end, self._done = midnight(day) + DAY, 0
        self._today = self.events.day(day) if self.asks else ()

    @property
    def next_at(self) -> datetime:
        """When the next thing of the open day happens; its end if nothing does any more."""
        asked = self._today[self._done].event_timestamp if self._done < len(self._today) else None
        happens = (asked, self._people.next_due, self._told.next_at)
        return min([self._end, *(at for at in happens if at is not None)])

    def advance(self, api: Client, until: datetime) -> None:
        """Let happen what does before `until`, which is not after the day's end."""
        while (self._done < len(self._today)
               and (at := self._today[self._done].event_timestamp) < until):
            self._tell(api, at)
            self._report(api, at)
            wave = self._waves.take(self._today, self._done, min(
                self._people.next_due or self._end, self._told.next_at or self._end,
                until - RESOLUTION))
            self._predict(api, wave)
            self._done += len(wave)
        self._tell(api, until)
        self._report(api, until)

    def close_day(self, api: Client, day: date) -> None:
        """Ingest a day that is over."""
        now = midnight(day) + DAY
        self._await_shadows(api)
        self._advance(now)
        self._look(api)
        before = self.deployments.history(self.system.name)
        self.runs.day(day, lent=not self.asks)
        self._follow(api, before, now)

    def end(self) -> None:
        """From now on the clock runs with the wall clock."""
        if self.asks:
            self.runs.batch(self.until - timedelta(days=1))
        self.clock.start()

    def _predict(self, api: Client, wave: Sequence[ArchivedEvent]) -> None:
        self._advance(wave[-1].event_timestamp)
        for each in ask(api, self.system, wave):
            self.latencies_ms += each.latencies_ms
            self._people.receive(
                each.event, prediction_id=each.prediction_id, decision=each.decision)
            self._unshadowed += self._several
        if self._unshadowed >= AT_ONCE or self.clock.now() - self._looked >= LOOKS:
            self._look(api)
        self.answered += len(wave)
        try:
            self.step(wave[-1].event_timestamp, self.answered)
        except KeyboardInterrupt:
            self._await_shadows(api)  # they would be lost with the server
            raise

    def _await_shadows(self, api: Client) -> None:
        """What is scored in time must not depend on the machine: no more may wait than the API
        keeps (512), and nothing when a day is judged."""
        if self._unshadowed:
            api.await_shadows()
            self._unshadowed = 0

    def _look(self, api: Client) -> None:
        """Let versions that are broken by now leave."""
        self._looked = self.clock.now()
        if not self._several:
            return
        self._await_shadows(api)
        before = self.deployments.history(self.system.name)
        api.judge()
        self._follow(api, before, self._looked)

    def _tell(self, api: Client, until: datetime) -> None:
        """What happened in the other streams before `until`."""
        for some in self._told.due(until):
            self._advance(some[-1].at)
            api.tell(some[0].stream, [each.event for each in some])

    def _advance(self, at: datetime) -> None:
        """Never back, although a replay that resumes in mid-day repeats answered requests.

        Whatever other clients send meanwhile must not appear to precede those answers.
        """
        if at > self.clock.now():
            self.clock.set(at)

    def _report(self, api: Client, until: datetime) -> None:
        """What is said before `until`, many words in a request: nothing happens between them."""
        due = self._people.due(until)
        while some := due[:AT_ONCE]:
            self._advance(some[-1].due)
            api.report(some)
            due = due[AT_ONCE:]

    def _follow(self, api: Client, before: Sequence[Deployment], now: datetime) -> bool:
        """Let the API do what has been recorded since, and say it; whether anything has."""
        history = self.deployments.history(self.system.name)
        for record in history[len(before):]:
            self.say(now, told(record))
        self._several = bool(history) and len(history[-1].named) > 1
        if len(history) > len(before):
            api.await_rollout(history[-1])
        return len(history) > len(before)

    def ask_sensors(self, api: Client) -> None:
        """Retrain for those that fire. At the same instant, none fires twice."""
        now = self.clock.now()
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

    def _people_after(self, start: datetime) -> People:
        """People who were served before `start` and have said nothing yet.

        Nobody speaks after the maturity of an event: earlier ones are not looked at.
        """
        people, name = People(system=self.system), self.system.name
        since = max(EARLIEST, start - self.system.truth.maturity - DAY)
        log = EventLog(self.settings.event_log)
        said = {(f.prediction_id, f.source) for f in log.feedback.between(name, since, start)}
        for today in self.events.days(start.date(), since=since.date()):
            for _, rows in answered(self.system, log, today):
                for event, answer in rows:
                    people.receive(
                        event, prediction_id=answer.prediction_id, decision=answer.decision)
        log.close()
        people.forget(said)
        return people


def told(record: Deployment | None) -> str:
    """What was decided, in a line."""
    if record is None:
        return "no model passed its gates: nothing is deployed"
    return f"{record.action}: {record.reason} ({record.told})"
