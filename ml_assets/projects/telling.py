"""What `ml-assets new` says on the console about its choices."""

from __future__ import annotations

from collections.abc import Iterator

from ml_assets.projects.plan import Plan
from ml_assets.projects.timing import words


def told(plan: Plan) -> Iterator[str]:
    """A line for each choice."""
    days, outcome = plan.timing, plan.outcome
    yield f"{plan.name}: {plan.events:,} events of {plan.file}"
    yield (f"  target    {outcome.kind} `{outcome.name}`: {outcome.why}")
    yield (f"  truth     known {words(days.after)} after the event at the latest"
           + (f" ({days.delays})" if days.delays else ", assumed: correct it if you know better"))
    yield (f"  calendar  history from {days.first_day}, live from {days.go_live}")
    if plan.at.assumed:
        yield "  zone      UTC, assumed: the file names none"
    yield f"  key       {plan.key or 'file and line: no column names an event'}"
    for entity, windows in plan.entities.items():
        yield f"  entity    {entity}, remembered for {' and '.join(map(words, windows))}"
    for column in plan.columns:
        if column.name not in plan.entities:
            yield f"  column    {column.name}: {column.dtype}, {column.why}"
    for left in plan.left:
        yield f"  left out  {left.kept}: {left.why}"
