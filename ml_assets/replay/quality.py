"""How good the looped system was, compared with its own first model, frozen."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from ml_assets.core.data.subjects import Subjects
from ml_assets.core.errors import NotReady
from ml_assets.core.settings import Settings
from ml_assets.core.source import ArchivedEvent
from ml_assets.core.system import System
from ml_assets.core.target import Bools, Floats, Target
from ml_assets.evaluation.comparison import Comparison, compare
from ml_assets.ingest.contracts.rows import read_event
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.registry.deployments import Deployments
from ml_assets.registry.models import ModelRegistry
from ml_assets.replay.slates import answered
from ml_assets.serving.models.scoring import Scorer, outputs_of
from ml_assets.targets.stored import kept_outputs
from ml_assets.training import artifact

WEEK = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class Served:
    """All N replayed events with a known true outcome, in order of time.

    codes: of what came true, (N,); decisions: codes of what was decided, (N,)
    looped: the served outputs (N, W); frozen: those of the first version, for the same events
    with the same features. Only the weights differ between the two. Of a slate each row counts.
    """

    target: Target
    subjects: Subjects
    days: list[date]
    codes: Floats
    looped: Floats
    frozen: Floats
    decisions: Floats

    def between(self, start: date, end: date) -> Served:
        """Those of `[start, end)`."""
        chosen = np.array([start <= day < end for day in self.days], dtype=bool)
        return Served(
            days=[day for day, kept in zip(self.days, chosen, strict=True) if kept],
            target=self.target, subjects=self.subjects.of_rows(chosen),
            codes=self.codes[chosen], looped=self.looped[chosen],
            frozen=self.frozen[chosen], decisions=self.decisions[chosen],
        )

    def weeks(self) -> list[tuple[date, Served]]:
        """Split into weeks from the first day on; the last may be shorter."""
        starts = [self.days[0]] if self.days else []
        while starts and starts[-1] + WEEK <= self.days[-1]:
            starts.append(starts[-1] + WEEK)
        return [(start, self.between(start, start + WEEK)) for start in starts]

    def compared(self) -> Comparison:
        """Looped as the candidate against frozen as the champion, with 95% intervals."""
        return compare(
            self.target, self.codes, self.looped, self.frozen, subjects=self.subjects)

    @property
    def errors(self) -> tuple[int, int]:
        """(looped, frozen) wrong decisions."""
        def wrong(decisions: Floats) -> int:
            right: Bools = self.target.right(self.codes, decisions)
            return int(np.count_nonzero(~right))

        return wrong(self.decisions), wrong(self.target.decide(self.frozen))

    @property
    def costs(self) -> dict[str, tuple[float, float]]:
        """What all (looped, frozen) decisions came to, by what for."""
        looped = self.target.costs(self.codes, self.decisions, self.looped)
        frozen = self.target.costs(self.codes, self.target.decide(self.frozen), self.frozen)
        return {name: (float(looped[name].sum()), float(frozen[name].sum())) for name in looped}


def served(
    system: System, settings: Settings, days: Iterable[list[ArchivedEvent]]
) -> Served:
    """What was served for the events of `days`, and the first version's outputs for the same
    vectors. Only a day's features are in memory.

    Raises NotReady if nothing was deployed or an event was not served.
    """
    history = Deployments(settings.deployments).history(system.name)
    if not history:
        raise NotReady(f"no model of {system.name!r} was ever deployed: nothing to compare")
    first = artifact.load(ModelRegistry(settings).folder(system.name, history[0].version))
    with closing(EventLog(settings.event_log)) as log:
        parts = [_served_of(system, log, first, events) for events in days]
    parts = parts or [_served_of(system, log, first, [])]
    return Served(
        target=system.target, subjects=Subjects.joined([part.subjects for part in parts]),
        days=[day for part in parts for day in part.days],
        codes=np.concatenate([part.codes for part in parts]),
        looped=np.concatenate([part.looped for part in parts]),
        frozen=np.concatenate([part.frozen for part in parts]),
        decisions=np.concatenate([part.decisions for part in parts]),
    )


def _served_of(
    system: System, log: EventLog, first: Scorer, events: list[ArchivedEvent]
) -> Served:
    answers = answered(system, log, [event for event in events if event.outcome is not None])
    lacking = [event.event_id for event, rows in answers if not rows]
    if lacking:
        raise NotReady(f"{len(lacking)} replayed events were not served, first {lacking[0]!r}: "
                       f"run `ml-assets run {system.name}` again")
    known = [event for _, rows in answers for event, _ in rows]
    found = [answer for _, rows in answers for _, answer in rows]
    read = [read_event(system, answer.request) for answer in found]
    frozen = outputs_of(
        first, read,
        np.array([answer.features for answer in found], dtype=np.float32).reshape(
            len(found), len(first.feature_names)
        ),
    )
    target = system.target
    return Served(
        target=target,
        subjects=Subjects.of(
            [answer.event_id for answer in found],
            {name: [event[name] for event in read] for name in target.entities},
            [answer.propensity for answer in found],
            np.array([answer.event_timestamp.replace(tzinfo=None) for answer in found], "M8[us]")),
        days=[event.event_timestamp.date() for event in known],
        codes=target.codes([target.label(event.outcome) for event in known]),
        looped=kept_outputs(target, [answer.score for answer in found],
                            [answer.outputs for answer in found]),
        frozen=frozen,
        decisions=target.codes([answer.decision for answer in found]),
    )
