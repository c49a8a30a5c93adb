"""Whether there are labels to learn from when the first model is trained."""

from __future__ import annotations

from collections.abc import Iterator

from ml_assets.projects.check.finding import Noted, fail, ok, warn
from ml_assets.projects.check.history import RecordedHistory
from ml_assets.projects.check.rows import duration

FEW = 50
"""Labels below which a first model is hardly one."""
RARE = 0.01
"""A class with a smaller share is rarely learnt from few rows."""


def about_labels(history: RecordedHistory) -> Iterator[Noted]:
    system = history.system
    live, maturity = system.calendar.go_live, system.truth.maturity
    known = sum(history.labels.values())
    if not known:
        yield fail("labels", "no event has an outcome", "Name the label's column in the source")
        return
    said = f"{known:,} of {history.usable:,} events have one"
    if history.delay:
        said += f", known {duration(history.delay)} after the event at most"
    yield ok("labels", said)
    yield from _balance(history, known)
    trained, judged = sum(history.trainable.values()), sum(history.judged.values())
    when = f"by {live}, when the first model is trained"
    if not trained or not judged:
        yield fail("labels", f"{trained:,} to train on and {judged:,} to judge it with are known "
                   f"{when}: labels mature after {duration(maturity)}, and the last "
                   f"{duration(system.model.holdout)} of them are held out",
                   "Set a later go_live, or a shorter holdout")
    elif min(trained, judged) < FEW:
        yield warn("labels", f"only {trained:,} to train on and {judged:,} to judge it with are "
                   f"known {when}", "Expect a weak first model; a later go_live has more")
    else:
        yield ok("labels", f"{trained:,} to train on and {judged:,} to judge it with are known "
                 f"{when}")
    if len(history.labels) > 1 and len(history.trainable) == 1 and trained:
        yield fail("labels", f"all {trained:,} to train on are {next(iter(history.trainable))!r}",
                   "Set a later go_live")


def _balance(history: RecordedHistory, known: int) -> Iterator[Noted]:
    common = history.labels.most_common()
    if len(common) == 1:
        yield fail("labels", f"all are {common[0][0]!r}: there is nothing to tell apart",
                   "Check the label's column")
    elif len(common) <= 50:
        shares = ", ".join(f"{label!r} {count / known:.1%}" for label, count in common[:5])
        rare, count = common[-1]
        if count / known < RARE:
            yield warn("labels", f"{shares}; {rare!r} has {count:,}",
                       "Judge it by average precision, and mind its interval")
        else:
            yield ok("labels", shares)
