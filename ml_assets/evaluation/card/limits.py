"""What a version was not tested on, and what speaks against trusting its figures."""

from __future__ import annotations

from collections.abc import Iterator

from ml_assets.evaluation.card.data import CardData
from ml_assets.evaluation.card.gathering import CardFacts
from ml_assets.evaluation.card.parts import Section
from ml_assets.evaluation.gates import Part
from ml_assets.evaluation.report import EvaluationReport
from ml_assets.evaluation.tables import unsure

MUCH = 0.5
"""Of rows, that lack a value."""


def limits(facts: CardFacts) -> Section:
    """Each is derived from what is declared or was found; none is a matter of taste."""
    return Section(
        title="Limits", said=("What the figures above do not say:",),
        points=(*_of_time(facts), *_of_parts(facts), *_of_labels(facts),
                *_of_inputs(facts), *_of_training(facts)))


def _of_time(facts: CardFacts) -> Iterator[str]:
    if not isinstance(facts.data, CardData):
        yield "What it was trained and judged on cannot be read any more."
        return
    held_out = facts.data.splits["holdout"]
    if held_out.first is None or held_out.last is None:
        yield "Nothing was held out: it was judged on nothing."
        return
    hours = (held_out.last - held_out.first).total_seconds() / 3600
    span = f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.0f} hours"
    yield (f"It was judged on {span}, {held_out.first:%Y-%m-%d} to {held_out.last:%Y-%m-%d}. Other "
           "seasons, and whatever has changed since, are untested.")


def _of_parts(facts: CardFacts) -> Iterator[str]:
    report = facts.report
    if isinstance(report, str):
        yield f"No metric is known: {report}."
        return
    if not report.slices:
        yield "No slice is declared: whether some events are answered worse than others is unknown."
    for name, part in report.slices.items():
        if part.candidate is None:
            yield (f"Slice {name} is too small to judge: "
                   f"{part.labels.removesuffix(', ...')}.")
    parts: dict[str, Part] = {"all rows": report.metrics, **report.slices}
    for name, part in parts.items():
        for reason, metrics in unsure(part).items():
            yield f"No interval on {name} for {', '.join(metrics)}: {reason}."
    failed = [gate.says for gate in report.gates if not gate.passed]
    if failed:
        yield f"It failed: {'; '.join(failed)}."


def _of_labels(facts: CardFacts) -> Iterator[str]:
    truth, target = facts.system.truth, facts.system.target
    if truth.silence_agrees:
        yield ("Feedback is partial: a mistake that nobody reports counts as right, in training "
               "and in judging. The figures are too good by as much as goes unreported.")
    elif truth.silence_speaks:
        yield ("What nobody reports within the maturity window counts as "
               f"{', '.join(map(repr, truth.declared)) or 'declared'}.")
    if target.slates is not None:
        yield ("Only what was shown has an outcome: items that this version would have shown in "
               "other places are judged by those propensities that were logged, or not at all.")
    if isinstance(facts.data, CardData) and facts.data.lacking:
        yield f"{facts.data.lacking:,} labels are left out, because their events are not there."


def _of_inputs(facts: CardFacts) -> Iterator[str]:
    if not isinstance(facts.data, CardData):
        return
    for row in facts.data.statistics.to_dict("records"):
        if row["missing"] > MUCH:
            yield f"Feature {row['feature']} is missing in {row['missing']:.0%} of the rows."
        elif row["distinct"] <= 1 and not row["missing"]:
            yield f"Feature {row['feature']} is the same in all rows: another value is untested."
    for name, share in facts.data.new.items():
        if share > 0:
            yield (f"{share:.1%} of the held-out rows have a {name} that it has never seen; on "
                   "these it rests on everything else.")


def _of_training(facts: CardFacts) -> Iterator[str]:
    metrics = facts.training.metrics
    if metrics.get("train_settled") == 0:
        yield "Its training had not settled when it ended."
    own, linear = metrics.get("heldout_loss"), metrics.get("heldout_loss_of_linear")
    if own is not None and linear is not None and own > linear:
        yield "A linear model of the same numbers and categories loses less on the held-out rows."
    if isinstance(facts.report, EvaluationReport) and facts.report.champion is None:
        yield "There was no champion to compare it with."
