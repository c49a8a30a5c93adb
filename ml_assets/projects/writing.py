"""The declaration of a new system as a Python file, every choice explained."""

from __future__ import annotations

from ml_assets.projects.inference import KeptColumn
from ml_assets.projects.plan import Outcome, Plan
from ml_assets.projects.spelling import call, comment, names, string, text
from ml_assets.projects.timing import code, words

HEAD = '''\
"""{question}

Written by `ml-assets new` from {file}. Every choice was made from that file and
says why; all of it is yours to change. `ml-assets check {name}` says what does not work.
"""
'''
NO_ZONE = """No instant in the file names a time zone, so UTC is assumed. If these clocks stood
elsewhere, say where: zone="Europe/Berlin"."""


def declaration(plan: Plan) -> str:
    """`systems/<name>/__init__.py`."""
    return "\n".join([
        HEAD.format(question=_question(plan), file=plan.file, name=plan.name),
        _imports(plan),
        "",
        _columns(plan),
        "",
        _source(plan),
        "",
        _system(plan),
        "",
    ])


def _question(plan: Plan) -> str:
    name, kind = plan.outcome.name, plan.outcome.kind
    return {"binary": f"Is an event `{name}`?", "classes": f"Which `{name}` has an event?",
            "number": f"How much is `{name}` of an event?"}[kind]


def _imports(plan: Plan) -> str:
    readers = sorted({"EventRows", plan.rows.partition("(")[0]}
                     | ({"Renamed"} if _renamed(plan) else set())
                     | ({plan.outcomes.partition("(")[0]} if plan.outcomes else set()))
    inputs = [kind for kind, columns in (("Categories", plan.categories), ("Numbers", plan.numbers),
                                         ("Text", plan.texts)) if columns]
    return "\n".join([
        "from datetime import date, timedelta",
        "",
        "from ml_assets.core.data.columns import Column",
        "from ml_assets.core.data.streams import Stream",
        f"from ml_assets.core.model import {', '.join(sorted([*inputs, 'Model']))}",
        "from ml_assets.core.policies import Gate, RetrainingPolicy",
        "from ml_assets.core.system import Calendar, Entity, System",
        "from ml_assets.core.truths import Outcomes",
        f"from ml_assets.ingest.sources import {', '.join(readers)}",
        f"from ml_assets.targets import {plan.outcome.kind.capitalize()}",
    ])


def _columns(plan: Plan) -> str:
    lines = ["COLUMNS = ("]
    for each in plan.columns:
        lines += [comment(each.why, indent=4), call("Column", _column(each), indent=4, after=",")]
    lines += [")"]
    if plan.left:
        lines += [comment("Left out of the columns:")]
        lines += [comment(f"- {each.kept}: {each.why}") for each in plan.left]
    return "\n".join(lines)


def _column(each: KeptColumn) -> list[str]:
    said = [f"name={text(each.name)}", f"dtype={text(each.dtype)}"]
    if each.optional:
        said.append("optional=True")
    for bound in ("minimum", "maximum"):
        if (value := getattr(each, bound)) is not None:
            said.append(f"{bound}={value:g}")
    return [*said, f"description={text(f'{each.kept} of the file')}"]


def _renamed(plan: Plan) -> dict[str, str]:
    return {each.kept: each.name for each in plan.columns if each.kept != each.name}


def _source(plan: Plan) -> str:
    rows = plan.rows
    if renamed := _renamed(plan):
        spelled = ", ".join(f"{text(kept)}: {text(name)}" for kept, name in renamed.items())
        rows = call("Renamed", [f"rows={plan.rows}", f"names={{{spelled}}}"], indent=4).strip()
    said = [f"rows={rows}", "columns=COLUMNS", f"timestamp={text(plan.timestamp)}"]
    if plan.key is not None:
        said.append(f"key={text(plan.key)}")
    said.append(f"label={text(plan.outcome.kept)}")
    if (held := {"classes": "category", "number": "number"}.get(plan.outcome.kind)) is not None:
        said.append(f"label_dtype={text(held)}")
    if plan.known_at is not None:
        said.append(f"known_at={text(plan.known_at)}")
    if plan.outcomes is not None:
        said.append(f"outcomes={plan.outcomes}")
    if plan.outcome.silence is not None:
        said.append(f"otherwise={plan.outcome.silence}")
    if plan.at.zone:
        said.append(f"zone={text(plan.at.zone)}")
    if plan.at.layout:
        said.append(f"layout={text(plan.at.layout)}")
    notes = [comment(NO_ZONE)] if plan.at.assumed else []
    if plan.key is None:
        notes.append(comment("No column names an event, so its file and line do: events keep "
                             "their names only as long as no line moves."))
    body = "\n".join(f"    {each}," for each in said)
    return "\n".join([*notes, f"SOURCE = EventRows(\n{body}\n)"])


def _system(plan: Plan) -> str:
    days, name = plan.timing, plan.name
    entities = ",\n        ".join(
        call("Entity", [f"name={text(each)}", f"description={text(each)}"])
        for each in plan.entities)
    first = next(iter(plan.entities))
    return f"""\
{name.upper()} = System(
    name={text(name)},
{string(_question(plan), indent=4, before="description=", after=",")}
    owners=("team:{name}",),
{comment(f"The first {(days.go_live - days.first_day).days} of {days.span.days - 30} days are "
         "recorded history: features and the first model come from them. The rest is replayed as "
         "live traffic. A month after the last event stays open for events of your own.", indent=4)}
    calendar=Calendar(
        first_day={_day(days.first_day)}, go_live={_day(days.go_live)},
        last_day={_day(days.last_day)},
    ),
    streams=(
        Stream(name="happened", asked=True, description="each row of {plan.file}",
               source=SOURCE, columns=COLUMNS),
    ),
    entities=(
        {entities},
    ),
    # All events of one of these are answered by the same model version.
    sticky_by={text(first)},
    # Its latest score can be asked for without an event.
    scores_by={text(first)},
    feature_service="{name}_features",
{_target(plan.outcome)}
{_truth(plan)}
    model=Model(
{_inputs(plan)}
{comment(f"A candidate is judged on the latest {words(days.holdout)} whose outcomes are known, "
         "which it has not seen.", indent=8)}
        holdout={code(days.holdout)},
    ),
    # A candidate replaces the model in traffic if it loses less on the same later events.
    gates=(Gate(metric={text(_loss(plan.outcome))}, better_than_champion_by=0.0),),
{_retraining(plan)}
)"""


def _day(day: object) -> str:
    return f"date({day:%Y, %-m, %-d})"


def _loss(outcome: Outcome) -> str:
    return "squared_error" if outcome.kind == "number" else "log_loss"


def _target(outcome: Outcome) -> str:
    said = [f"name={text(outcome.name)}"]
    if outcome.kind == "classes":
        said.append(f"classes={names(outcome.classes)}")
    if outcome.kind == "number":
        said += [f"unit={text(outcome.unit)}", f"tolerance={outcome.tolerance:g}"]
    notes = [comment(f"{outcome.why}.", indent=4)]
    if outcome.kind == "number":
        notes.append(comment(
            "An answer counts as right within the tolerance, a twentieth of the range. With "
            "interval=0.9 it also says between which numbers 90% of such labels lie.", indent=4))
    return "\n".join([*notes, call(outcome.kind.capitalize(), said, indent=4, before="target=",
                                   after=",")])


def _truth(plan: Plan) -> str:
    after, silence = plan.timing.after, plan.outcome.silence
    if plan.timing.delays:
        why = (f"An outcome becomes known some time after its event: {plan.timing.delays}. "
               "Recorded history says when each was.")
    else:
        why = (f"The file does not say when an outcome became known: {words(after)} after its "
               "event is assumed. Too short a time would train on what nobody knew yet, so "
               "correct it.")
    if silence is not None:
        why += f" The file lists no others: an event that it does not list is {silence}."
    said = ['source="outcomes"', f"after={code(after)}"]
    if silence is not None:
        said.append(f"silence={silence}")
    return "\n".join([comment(why, indent=4),
                      call("Outcomes", said, indent=4, before="truth=", after=",")])


def _inputs(plan: Plan) -> str:
    lines = [f"            Text({text(each.name)}, unit=\"words\")," for each in plan.texts]
    if plan.categories:
        lines.append(comment("A value that is rare in training counts as unknown.", indent=12))
    lines += [call(kind, [text(each.name) for each in columns], indent=12, after=",")
              for kind, columns in (("Categories", plan.categories), ("Numbers", plan.numbers))
              if columns]
    return "\n".join(["        inputs=(", *lines, "        ),"] if lines else [])


def _retraining(plan: Plan) -> str:
    live = plan.events * 0.4
    labels, age = max(20, round(live / 4, -1)), max(7, plan.timing.span.days // 4)
    rest = max(1, age // 4)
    return "\n".join([
        comment(f"A model is retrained after {labels:.0f} new labels (about a quarter of what is "
                f"replayed), if its inputs drift, or if it is older than {age} days; never twice "
                f"within {rest} days.", indent=4),
        f"    retraining=RetrainingPolicy(\n        after_labels={labels:.0f}, "
        f"max_age=timedelta(days={age}), cooldown=timedelta(days={rest})\n    ),",
    ])
