"""The features of a new system as a Python file of Feast's own objects."""

from __future__ import annotations

from datetime import timedelta

from ml_assets.core.time import DAY
from ml_assets.projects.plan import Plan
from ml_assets.projects.spelling import call, comment, text
from ml_assets.projects.timing import code, short, words

DECISIONS = {"classes": "string", "number": "double"}
"""How `scores_view` calls decisions that are not true or false."""
MEANS = 3
"""Columns whose mean is a feature of each entity."""
HEAD = '''\
"""What `{name}` remembers of its entities, as Feast objects.

Written by `ml-assets new`; yours to change. An event counts in the features of the very next one,
an outcome from the instant on at which it is known.
"""

from datetime import timedelta

from feast import Entity, FeatureService, ValueType
from feast.aggregation import Aggregation
from ml_assets.features.declaration import {helpers}

events = event_stream({system})
{labels}'''


def features(plan: Plan) -> str:
    """`systems/<name>/features.py`."""
    remembers = plan.outcome.kind != "classes"
    helpers = ["event_stream", *(["label_stream"] if remembers else []),
               "scores_view", "windowed_view"]
    parts = [HEAD.format(name=plan.name, helpers=", ".join(helpers), system=text(plan.name),
                         labels=f"outcomes = label_stream({text(plan.name)})\n"
                         if remembers else "")]
    views = []
    for entity, windows in plan.entities.items():
        parts.append(_entity(plan, entity))
        parts.append(_events(plan, entity, windows))
        views.append(f"{entity}_events")
        if remembers:
            parts.append(_outcomes(plan, entity, windows[-1]))
            views.append(f"{entity}_outcomes")
    held = [text(plan.name), next(iter(plan.entities))]
    if (decisions := DECISIONS.get(plan.outcome.kind)) is not None:
        held.append(f"decisions={text(decisions)}")
    parts.append(call("scores_view", held, before="scores = ") + "\n")
    parts.append(call("FeatureService", [
        f"name={text(f'{plan.name}_features')}", f"features=[{', '.join(views)}]",
        f"description={text('What is known of an event when it happens.')}",
        f"tags={{\"system\": {text(plan.name)}}}",
    ], before=f"{plan.name}_features = "))
    return "\n".join(parts) + "\n"


def _entity(plan: Plan, entity: str) -> str:
    whole = any(each.name == entity and each.dtype == "integer" for each in plan.columns)
    return call("Entity", [
        f"name={text(f'{plan.name}_{entity}')}", f"join_keys=[{text(entity)}]",
        f"value_type=ValueType.{'INT64' if whole else 'STRING'}", f"description={text(entity)}",
    ], before=f"{entity} = ")


def _events(plan: Plan, entity: str, windows: tuple[timedelta, ...]) -> str:
    why = comment(f"Windows in which a {entity} has about two and eight events: "
                  f"{' and '.join(map(words, windows))}.")
    found = [_aggregation("count", "", window, f"{entity}_events_{short(window)}")
             for window in windows]
    found += [_aggregation("mean", each.name, windows[-1],
                           f"{entity}_{each.name}_mean_{short(windows[-1])}")
              for each in plan.numbers if each.dtype == "number" and not each.optional][:MEANS]
    return f"{why}\n{_view(plan, entity, 'events', 'events', found)}"


def _outcomes(plan: Plan, entity: str, window: timedelta) -> str:
    # What is known of an entity's past outcomes comes late, so look further back.
    longest = max(window, 4 * plan.timing.after)
    window = timedelta(days=-(-longest // DAY))
    found = [_aggregation("count", "", window, f"{entity}_labelled_{short(window)}", slide=DAY)]
    if plan.outcome.kind == "binary":
        found.append(_aggregation("smoothed_mean(0.5, 2)", "label", window,
                                  f"{entity}_{plan.outcome.name}_rate_{short(window)}", slide=DAY))
    else:
        found.append(_aggregation("mean", "label", window,
                                  f"{entity}_{plan.outcome.name}_mean_{short(window)}", slide=DAY))
    why = comment(f"How events of a {entity} came out whose outcomes are known by now. Outcomes "
                  "are loaded once a day, so windows move by days.")
    return f"{why}\n{_view(plan, entity, 'outcomes', 'outcomes', found)}"


def _aggregation(
    function: str, column: str, window: timedelta, name: str, slide: timedelta | None = None
) -> str:
    slide = slide or (DAY if window >= 7 * DAY else timedelta(hours=1))
    said = [f"function={text(function)}", *([f"column={text(column)}"] if column else []),
            f"time_window={code(window)}", f"slide_interval={code(slide)}", f"name={text(name)}"]
    return call("Aggregation", said, indent=8, after=",")


def _view(plan: Plan, entity: str, kind: str, source: str, aggregations: list[str]) -> str:
    inner = "\n".join(aggregations)
    return (f"{entity}_{kind} = windowed_view(\n"
            f"    {text(f'{entity}_{kind}')}, system={text(plan.name)}, entities=[{entity}], "
            f"source={source},\n    aggregations=[\n{inner}\n    ],\n)\n")
