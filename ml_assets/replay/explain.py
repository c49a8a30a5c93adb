"""One prediction back to its origins, and one raw event forward to everything it has touched."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing

import click
import msgspec

from ml_assets.core.errors import MlAssetsError, UnknownName
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.slates import PREFIX, is_slate_id
from ml_assets.monitoring.trace import Trace, trace
from ml_assets.serving.answer.explanation import Heard, Provenance
from ml_assets.serving.answer.slates.slate import logged_slate
from ml_assets.serving.contract.records import (
    ContributingRow,
    ModelOrigin,
    PredictionRecord,
    SlateItem,
    SlateRecord,
)
from ml_assets.serving.http.answers import contributing_rows, prediction_record, slate_record

SHOWN = 5
"""How many rows of a long list are shown by default."""


def print_explanation(
    prediction_id: str, systems: Sequence[System], settings: Settings, *,
    all_rows: bool = False, as_json: bool = False,
) -> None:
    """Print everything known about one prediction, or about one slate.

    Raises UnknownName if there is none.
    """
    with closing(EventLog(settings.event_log)) as log:
        prediction = log.prediction(prediction_id.removeprefix(PREFIX))
        if prediction is None:
            raise UnknownName(
                f"there is no prediction {prediction_id!r} in {settings.event_log}; expected the "
                "`prediction_id` of one of the API's answers"
            )
        system = next(system for system in systems if system.name == prediction.system)
        if is_slate_id(prediction_id):
            _print_slate(_slate_of(system, log, prediction_id, settings), as_json=as_json)
            return
        heard = Heard.of(system, log, prediction, settings.clock_of(system.name).now())
    provenance = Provenance(settings, system)
    record = prediction_record(system, provenance.explain(prediction, heard))
    rows: list[ContributingRow] | None
    try:
        made_from = contributing_rows(
            prediction, provenance.rows(prediction), provenance.texts(prediction))
        rows, texts, problem = made_from.rows, made_from.texts, None
    except MlAssetsError as error:
        rows, texts, problem = None, {}, str(error)
    if as_json:
        told = json.loads(msgspec.json.encode(record))
        told |= {"rows": rows, "rows_problem": problem, "texts": texts}
        click.echo(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())
        return
    _show(_explanation(record, texts))
    _show(_rows(rows, problem, all_rows=all_rows))


def print_trace(
    event_id: str, systems: Sequence[System], settings: Settings, *, as_json: bool = False
) -> None:
    """Print what a raw event has touched in these systems. Raises UnknownName if none saw it."""
    with closing(EventLog(settings.event_log)) as log:
        traces = [found for system in systems for found in trace(settings, system, log, event_id)]
    if not traces:
        names = ", ".join(system.name for system in systems)
        raise UnknownName(
            f"no system has seen an event {event_id!r}; expected the `event_id` of an answer, or "
            f"of a row of the lake's table `raw`. Looked in: {names}"
        )
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(traces), indent=2).decode())
        return
    for each in traces:
        _show(_told(each))


def _slate_of(system: System, log: EventLog, slate: str, settings: Settings) -> SlateRecord:
    """Everything that is known of a slate. Raises UnknownName if there is none of this id."""
    found, now = logged_slate(log, system, slate), settings.clock_of(system.name).now()
    provenance = Provenance(settings, system)
    return slate_record(system, found, [
        provenance.explain(row, Heard.of(system, log, row, now)) for row in found.rows])


def _print_slate(record: SlateRecord, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(record), indent=2).decode())
        return
    _show(_slate(record))


def _slate(record: SlateRecord) -> Iterator[tuple[str, str]]:
    first = record.items[0].record
    yield "slate", f"{record.prediction_id} of request {record.event_id}"
    yield "event", f"happened {record.event_timestamp}, accepted {record.accepted_at}"
    degraded = ", in the order of the latest lists (degraded)" if first.degraded else ""
    yield "model", f"version {first.model_version}, {first.role}{degraded}"
    if first.decision_behind is not None:
        yield "in traffic", f"since {first.decision_behind.at:%Y-%m-%d %H:%M}, by " \
                            f"{first.decision_behind.by}"
    yield "features", f"as of {first.features_as_of}; of each item: explain its prediction"
    for each in record.items:
        yield f"position {each.position}", _item(each)


def _item(each: SlateItem) -> str:
    record = each.record
    known = record.outcomes[-1] if record.outcomes else None
    label = "not known yet" if known is None else f"{known.label} ({known.basis})"
    return (f"{each.item}, score {record.score:.4f}, propensity {record.propensity:.4g}, "
            f"{record.label_name}: {label}, prediction {record.prediction_id}")


def _explanation(
    record: PredictionRecord, texts: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    yield "prediction", f"{record.prediction_id} of event {record.event_id}"
    yield "event", f"happened {record.event_timestamp}, accepted {record.accepted_at}"
    asked = bytes(record.request).decode()
    yield "asked", asked if len(asked) <= 300 else f"{asked[:300]}... ({len(asked):,} characters)"
    degraded = ", without store features (degraded)" if record.degraded else ""
    yield "answer", f"{record.label_name} = {record.decision}, score {record.score:.4f}{degraded}"
    yield from _model(record.model)
    decision = record.decision_behind
    if decision is None:
        yield "in traffic", "not deployed when it answered"
    else:
        yield "in traffic", f"since {decision.at:%Y-%m-%d %H:%M}, by {decision.by}"
        yield "", decision.reason
    yield "features", f"as of {record.features_as_of}"
    for name, value in record.features.items():
        yield "", f"{name} = " + _value(value, texts.get(name))
    yield from _listed("feedback", (
        f"{said.received_at:%Y-%m-%d %H:%M} {said.source} ({said.trust}): {said.label}"
        + ("" if said.counted else ", does not count") for said in record.feedback
    ))
    if record.feedback:
        yield "", f"so {record.says}"
    yield from _listed("outcome", (
        f"{known.label} ({known.basis}, known {known.known_at})" for known in record.outcomes
    ), nothing="not known yet")


def _value(value: float | None, text: str | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:g}" if text is None else f"{text!r} (code {value:.0f})"


def _model(model: ModelOrigin) -> Iterator[tuple[str, str]]:
    if model.problem is not None:
        yield "model", f"version {model.version}; its origin is not known: {model.problem}"
        return
    yield "model", (f"version {model.version}, trained on training set {model.training_set} "
                    f"({model.first_day} to {model.last_day}, as of {model.as_of})")
    yield "", f"MLflow run {model.mlflow_run}, commit {(model.git_commit or 'unknown')[:12]}"


def _rows(
    rows: Sequence[ContributingRow] | None, problem: str | None, *, all_rows: bool
) -> Iterator[tuple[str, str]]:
    if rows is None:
        yield "made from", f"the rows are not available: {problem}"
        return
    by_view = Counter((row.view, row.table, _entity(row.key)) for row in rows)
    yield from _listed("made from", (
        f"{count} {table} of {entity}, by {view}"
        for (view, table, entity), count in by_view.items()
    ), nothing="no row: none of its entities had a history")
    distinct = {(row.event_id, row.known_at): row for row in rows}
    latest = list(distinct.values())
    shown = latest if all_rows else latest[-SHOWN:]
    if len(shown) < len(latest):
        yield "", f"the latest {len(shown)} of {len(latest)} different rows (--rows shows all):"
    for row in shown:
        label = "" if row.label is None else f", {row.label} known {row.known_at}"
        yield "", f"{row.event_timestamp:%Y-%m-%d %H:%M} {row.event_id}{label}"


def _told(found: Trace) -> Iterator[tuple[str, str]]:
    stream = "" if found.predicted else f", stream {found.stream}"
    yield "event", f"{found.event_id} of {found.system}{stream}, happened {found.event_timestamp}"
    yield "received", "not in the lake yet" if found.day is None else f"on {found.day}"
    if found.quarantined is not None:
        yield "", f"set aside: {found.quarantined}"
    none = "it is recorded history" if found.predicted else "its stream only feeds features"
    yield "prediction", (f"none: {none}" if found.prediction_id is None else
                         f"{found.prediction_id} by version {found.model_version}")
    yield from _listed("labels", (
        f"{label.label} ({label.basis}, known {label.known_at})" for label in found.labels
    ))
    for name, split, what in (("trained", "train", "learnt from"),
                              ("judged", "holdout", "was judged by")):
        yield from _listed(name, (
            f"training set {each.version} as of {each.as_of}, label {each.label}: "
            + ("no version " if not each.models else "version " + ", ".join(
                f"{version} ({count:,} predictions)" for version, count in each.models.items()))
            + f" {what} it"
            for each in found.training_sets if each.split == split
        ))
    counted = found.counted_in
    yield from _listed("counted in", [
        f"{each.prediction_id} of {each.event_id}, {each.accepted_at:%Y-%m-%d %H:%M}, "
        f"version {each.model_version}: {', '.join(each.views)}" for each in counted[:SHOWN]
    ], nothing="the features of no prediction so far")
    if len(counted) > SHOWN:
        yield "", f"and {len(counted) - SHOWN:,} more predictions (--json lists them)"
    yield from _listed("not told", found.problems, nothing="")


def _listed(name: str, values: Iterable[str], nothing: str = "none") -> Iterator[tuple[str, str]]:
    """The values under one name; `nothing` if there are none, no line if that is empty too."""
    found = list(values) or ([nothing] if nothing else [])
    for place, value in enumerate(found):
        yield ("" if place else name), value


def _entity(key: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in key.items())


def _show(lines: Iterable[tuple[str, str]]) -> None:
    for name, value in lines:
        click.echo(f"{name:<14} {value}")
