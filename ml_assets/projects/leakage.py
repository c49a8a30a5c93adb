"""Columns that know the outcome: what one of them alone, or its absence, tells of the label."""

from __future__ import annotations

from dataclasses import dataclass

from ml_assets.projects.survey import Survey, quoted

CERTAIN, SUSPECT = 0.95, 0.8
"""Of the doubt about the label, the share that one column takes away. No honest column of a hard
question does so alone; one that was written down afterwards does."""
GROUPS, SMALLEST = 50, 20
"""A column's values are judged in so many groups, of so many rows at least."""


@dataclass(frozen=True, kw_only=True)
class Suspicion:
    """What a column tells. power: the share of the doubt that it takes away, 0 to 1."""

    column: str
    power: float
    absence: bool

    @property
    def certain(self) -> bool:
        return self.power >= CERTAIN

    def __str__(self) -> str:
        how = "whether it is missing" if self.absence else "its value"
        return f"{how} alone tells {self.power:.0%} of the label"


def suspicion(survey: Survey, column: str, label: str, *, quantity: bool) -> Suspicion | None:
    """Whether `column` knows `label`, both columns of the survey; None if it is above suspicion.

    quantity: whether the label is a number, of whose variance, rather than of whose errors, the
    share is taken
    """
    name = quoted(column)
    labelled, missing, distinct, numeric = survey.one(f"""
        select count(*), count(*) - count({name}), count(distinct {name}),
            avg((try_cast({name} as double) is not null)::int)
        from rows where {quoted(label)} is not null
    """)
    if not labelled:
        return None
    groups = min(GROUPS, labelled // SMALLEST)
    ways = []
    if min(missing, labelled - missing) >= SMALLEST:
        ways.append((f"{name} is null", True))
    if 1 < distinct <= max(groups, 2) and labelled >= SMALLEST:
        ways.append((f"coalesce({name}, '')", False))
    elif groups > 1 and numeric is not None and numeric > 0.9:
        value = f"try_cast({name} as double)"
        ways.append((f"case when {value} is null then 0 "
                     f"else ntile({groups}) over (order by {value}) end", False))
    found = [Suspicion(column=column, power=_power(survey, way, label, quantity), absence=absence)
             for way, absence in ways]
    worst = max(found, key=lambda each: each.power, default=None)
    return worst if worst is not None and worst.power >= SUSPECT else None


def _power(survey: Survey, group: str, label: str, quantity: bool) -> float:
    name = quoted(label)
    if quantity:
        told, = survey.one(f"""
            with parts as (select {group} as part, try_cast({name} as double) as label from rows
                           where try_cast({name} as double) is not null),
                means as (select avg(label) as mean, count(*) as n from parts group by part)
            select (select sum(n * power(mean - (select avg(label) from parts), 2)) from means)
                / nullif((select var_pop(label) * count(*) from parts), 0)
        """)
        return float(told or 0.0)
    best, total, base = survey.one(f"""
        with parts as (select {group} as part, {name} as label from rows
                       where {name} is not null),
            counts as (select part, label, count(*) as n from parts group by all),
            most as (select max(n) as best, sum(n) as total from counts group by part)
        select sum(best), sum(total), (select max(n) from
            (select sum(n) as n from counts group by label)) from most
    """)
    return float((best - base) / (total - base)) if total > base else 0.0
