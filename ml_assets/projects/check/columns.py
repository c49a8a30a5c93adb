"""Entities that come back, and columns that know what they cannot know yet."""

from __future__ import annotations

from collections.abc import Iterator

from ml_assets.core.system import System
from ml_assets.projects.check.finding import Noted, fail, ok, warn
from ml_assets.projects.check.history import AT, LABEL
from ml_assets.projects.leakage import suspicion
from ml_assets.projects.survey import Survey, quoted

RETURNING = 1.5
"""Events that an entity has at least, on average, to be remembered for something."""


def about_columns(system: System, survey: Survey) -> Iterator[Noted]:
    for entity in system.keys:
        yield _entity(survey, entity)
    suspected = 0
    for column in system.columns:
        if column.dtype == "instant" and not column.many:
            yield from _future(survey, column.name)
        told = suspicion(survey, column.name, LABEL, quantity=system.target.lake_type == "double")
        if told is not None:
            suspected += 1
            note = fail if told.certain else warn
            yield note("leakage", f"{column.name} seems to know the outcome: {told}",
                       "Leave it out unless it is known when the event happens")
    if not suspected:
        yield ok("leakage", "no column alone knows the outcome")


def _entity(survey: Survey, entity: str) -> Noted:
    there, distinct = survey.one(f"select count(nullif({quoted(entity)}, '')), "
                                 f"count(distinct nullif({quoted(entity)}, '')) from rows")
    if not there:
        return fail("entities", f"{entity} is never there", "Leave the entity out")
    missing = f", missing in {1 - there / survey.rows:.0%}" if there < survey.rows else ""
    said = f"{entity}: {distinct:,}, with {there / distinct:.1f} events each{missing}"
    if distinct == 1:
        return warn("entities", said, "Its features are the same for all events")
    if there / distinct < RETURNING:
        return warn("entities", said, "Hardly one comes back, so its features are of nothing")
    return ok("entities", said)


def _future(survey: Survey, column: str) -> Iterator[Noted]:
    name, at = quoted(column), quoted(AT)
    later, there, first = survey.one(f"""
        select count(*) filter (where {name}::timestamptz > {at}::timestamptz), count(*),
            min(_origin) filter (where {name}::timestamptz > {at}::timestamptz)
        from rows where {name} is not null
    """)
    if later:
        yield fail("leakage", f"{column} knows the future: {later:,} of {there:,} values are later "
                   f"than their event, for example of {first}",
                   "Leave it out unless it is a plan that is known when the event happens")
