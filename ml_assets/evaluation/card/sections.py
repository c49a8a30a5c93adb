"""What is said of a version, section by section. Pure: from what was gathered alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import msgspec

from ml_assets.core.time import in_words
from ml_assets.evaluation import tables
from ml_assets.evaluation.card.data import CardData
from ml_assets.evaluation.card.forest import forest
from ml_assets.evaluation.card.gathering import CardFacts
from ml_assets.evaluation.card.limits import limits
from ml_assets.evaluation.card.parts import CardFigure, CardTable, ModelCard, Section
from ml_assets.evaluation.gates import number
from ml_assets.evaluation.report import EvaluationReport
from ml_assets.registry.deployments import came
from ml_assets.registry.rollout import percent
from ml_assets.targets.stored import as_json

Facts = tuple[tuple[str, str], ...]
FORMAT = "%Y-%m-%d %H:%M"


def card_of(facts: CardFacts) -> ModelCard:
    """The whole card of a version."""
    made = (_purpose(facts), _data(facts), _features(facts), _training(facts),
            _evaluation(facts), limits(facts), _rollout(facts), _reproduction(facts))
    return ModelCard(
        title=f"{facts.system.name}, version {facts.number}", said=facts.system.description,
        facts=tuple(_first(facts)), sections=made, made_at=f"{facts.at:{FORMAT}} UTC")


def _first(facts: CardFacts) -> Iterator[tuple[str, str]]:
    yield "role", _role(facts)
    report = facts.report
    if isinstance(report, EvaluationReport):
        passed = sum(gate.passed for gate in report.gates)
        yield "gates", (f"all {passed} passed" if report.passed else
                        f"{len(report.gates) - passed} of {len(report.gates)} FAILED")
        for name in facts.system.target.shown[:3]:
            if report.metrics.candidate and name in report.metrics.candidate:
                yield _words(name), tables.said(report.metrics.candidate[name])
        yield "judged on", report.metrics.labels
    if isinstance(facts.data, CardData):
        yield "trained on", facts.data.splits["train"].labels
    as_of = _instant(facts.version.tags.get("as_of"), "an unknown instant")
    yield "knows nothing from", f"{as_of} on"


def _role(facts: CardFacts) -> str:
    if not facts.history or (role := facts.history[-1].role(facts.number)) is None:
        had = any(facts.number in record.named for record in facts.history)
        return "retired" if had else "candidate, without a trial so far"
    since = came(facts.history, facts.number, role)
    share = "" if role == "shadow" else f", {percent(facts.history[-1].share(facts.number))}"
    return f"{role}{share}" + ("" if since is None else f", since {since.at:{FORMAT}}")


def _purpose(facts: CardFacts) -> Section:
    system, target = facts.system, facts.system.target
    return Section(title="Purpose", said=(system.description,), facts=(
        ("answers", target.name),
        *((name, said) for name, value in as_json(target).items()
          if name != "name" and (said := _declared(value))),
        ("predictions are for", f"{system.asked.description} (stream {system.asked.name})"),
        ("owners", ", ".join(system.owners)),
        ("entities", ", ".join(f"{each.name} ({each.description})" for each in system.entities)),
    ))


def _data(facts: CardFacts) -> Section:
    system, tags = facts.system, facts.version.tags
    known: Facts = (
        ("training set", tags.get("data_version", "unknown")),
        ("as of", _instant(tags.get("as_of"), "unknown")),
        ("events of", f"{tags.get('first_day', '?')} to {tags.get('last_day', '?')}"),
        ("labels become known", system.truth.says),
        ("a label counts", f"{in_words(system.truth.maturity)} after its event"),
        ("whose word counts", ", ".join(system.feedback.claimed)),
        *(("stream", f"{each.name}: {each.description} ({_source(each.source)})")
          for each in system.streams),
        *(("table", f"{each.name}: {each.description} ({_source(each.rows)})")
          for each in system.tables),
    )
    if isinstance(facts.data, str):
        return Section(title="Data", said=(f"{facts.data[0].upper()}{facts.data[1:]}.",),
                       facts=known)
    rows = tuple(
        (name, f"{split.rows:,}", split.labels, _at(split.first), _at(split.last))
        for name, split in (("trained on", facts.data.splits["train"]),
                            ("held out", facts.data.splits["holdout"])))
    return Section(
        title="Data", facts=(*known, ("labels without an event", f"{facts.data.lacking:,}")),
        tables=(CardTable(title="", head=("rows", "count", "labels", "first event", "last event"),
                          rows=rows),))


def _features(facts: CardFacts) -> Section:
    system, model = facts.system, facts.system.model
    said: Facts = (
        ("feature service", facts.version.tags.get("feature_service", system.feature_service)),
        *((("texts", ", ".join(model.texts)),) if model.texts else ()),
        *((("not read", ", ".join(model.without)),) if model.without else ()),
    )
    if isinstance(facts.data, str):
        return Section(title="Features", facts=said)
    head = ("feature", "missing", "distinct", "mean", "std", "min", "median", "max")
    rows = tuple(
        (str(row["feature"]), f"{row['missing']:.1%}", f"{row['distinct']:,.0f}",
         *(_digits(row[name]) for name in head[3:]))
        for row in facts.data.statistics.to_dict("records"))
    return Section(title="Features", facts=said, tables=(CardTable(
        title=f"Numbers of {facts.data.sampled:,} rows of the training set", head=head,
        rows=rows),) if rows else ())


def _training(facts: CardFacts) -> Section:
    params, metrics, tags = facts.training.params, facts.training.metrics, facts.version.tags
    ended = "yes" if metrics.get("train_settled", 1.0) else "NO: more steps would have gained more"
    known: Facts = (
        ("network", params.get("network", "unknown")),
        ("weights", params.get("parameters", "unknown")),
        ("fit", params.get("fit", "unknown")),
        *_effective(metrics.get("train_effective_rows"), params.get("rows")),
        ("seed", tags.get("seed", params.get("seed", "unknown"))),
        ("began with", tags.get("began", "drawn weights")),
        ("took", _seconds(metrics.get("train_seconds"))),
        ("mean loss of a training row", number(metrics.get("train_loss"))),
        ("settled", ended),
        ("served form and torch differ by", number(metrics.get("serving_difference"))),
        ("trained at", _at(facts.training.began)),
    )
    hidden = {"network", "fit", "seed", "target", "parameters", "rows"}
    values = tuple((name, _value(text)) for name, text in sorted(params.items())
                   if name not in hidden)
    baselines = tuple(
        (what, number(metrics[name])) for what, name in (
            ("this model", "heldout_loss"),
            ("the best constant answer", "heldout_loss_of_constant"),
            ("a linear model of numbers and categories", "heldout_loss_of_linear"))
        if name in metrics)
    return Section(
        title="Training", facts=known,
        tables=tuple(table for table in (
            CardTable(title="Mean loss of a held-out row", head=("model", "loss"), rows=baselines),
            CardTable(title="Hyper-parameters", head=("name", "value"), rows=values),
        ) if table.rows))


def _effective(found: float | None, rows: str | None) -> Facts:
    """Said if rows do not all count the same."""
    if found is None or rows is None or round(found) == int(rows):
        return ()
    return (("rows count together", f"as much as {found:,.0f} that count the same"),)


def _evaluation(facts: CardFacts) -> Section:
    report = facts.report
    if isinstance(report, str):
        return Section(title="Evaluation", said=(f"{report[0].upper()}{report[1:]}.",))
    beside = ("no champion to compare with" if report.champion is None else
              f"beside version {report.champion}, the champion then, on the same rows")
    drawn = forest(report, facts.system.target)
    panels = [CardFigure(caption=_words(name), image=png)
              for name, png in facts.figures.items() if name != "overview"]
    return Section(
        title="Evaluation",
        said=(f"Held-out, later events: {report.metrics.labels}; {beside}. "
              "In brackets 95% intervals.",),
        tables=tuple(table for table in (
            CardTable.of_records("Metrics", _named(tables.metrics(report))),
            CardTable.of_records("Gates", _named(tables.gates(report))),
            CardTable.of_records("Slices", _named(tables.slices(report, facts.system.target))),
        ) if table.rows),
        figures=(*([] if drawn is None else [drawn]), *panels))


def _rollout(facts: CardFacts) -> Section:
    rows = tuple(
        (f"{record.at:{FORMAT}}", record.action, record.role(facts.number) or "out",
         percent(record.share(facts.number)), record.by, record.reason)
        for record in facts.history
        if facts.number in record.named or record.about == facts.number)
    if not rows:
        return Section(title="Rollout", said=("It has had no part in the traffic.",))
    return Section(title="Rollout", tables=(CardTable(
        title="", head=("at", "did", "role then", "share", "by", "why"), rows=rows),))


def _reproduction(facts: CardFacts) -> Section:
    tags, here = facts.version.tags, facts.environment
    known: Facts = (
        ("commit", tags.get("git_commit", "unknown")),
        ("Dagster run", tags.get("dagster_run_id", "unknown")),
        ("MLflow run", facts.version.run_id),
        *(() if here is None else (
            ("code (SHA-256)", here.code), ("Python", here.python),
            ("packages", ", ".join(f"{name} {each}" for name, each in here.packages.items())),
            ("threads", str(here.threads)), ("device", f"{here.device} ({here.processor})"))),
    )
    return Section(
        title="How to reproduce", facts=known,
        said=("Builds the training set once more from the lake, trains again and compares weights "
              "and answers; says what differs.",),
        commands=(f"ml-assets reproduce {facts.system.name} {facts.number}",))


def _declared(value: object) -> str:
    """A declared value in words; nothing if it says nothing."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {said}" for name, each in value.items()
                         if (said := _declared(each)))
    if isinstance(value, list):
        return "; ".join(filter(None, map(_declared, value)))
    if isinstance(value, str):
        try:
            return in_words(msgspec.convert(value, timedelta))
        except msgspec.ValidationError:
            return value
    return "" if value is None or value is False else str(value)


def _source(source: object) -> str:
    """What a source says of itself in a line."""
    said = (type(source).__doc__ or "").strip().split("\n")[0].rstrip(".")
    return said if said and not said.startswith(type(source).__name__) else type(source).__name__


def _named(records: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Names of metrics as words."""
    return [{_words(name): _words(cell) if name == "metric" else cell
             for name, cell in record.items()} for record in records]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _instant(text: str | None, unknown: str) -> str:
    return unknown if text is None else f"{datetime.fromisoformat(text):{FORMAT}} UTC"


def _at(instant: datetime | None) -> str:
    return "-" if instant is None else f"{instant:{FORMAT}}"


def _digits(value: float) -> str:
    return "-" if value != value else f"{value:.4g}"


def _spans(text: str) -> str:
    """Times of whole days as people say them."""
    return text.replace(", 0:00:00", "")


def _value(text: str) -> str:
    """A parameter as it was declared: MLflow keeps JSON of it."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, str):
        return _spans(value)
    if isinstance(value, list):
        value = ", ".join(map(str, value)) or None
    return "none" if value is None else str(value)


def _seconds(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.1f} s"
