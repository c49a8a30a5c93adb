"""A new system, declared from a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from keyword import iskeyword
from pathlib import Path

from ml_assets.core.errors import DeclarationError, InstallationRefused
from ml_assets.core.policies import require
from ml_assets.core.project import Project
from ml_assets.projects.files import Brought, brought
from ml_assets.projects.inference import (
    Question,
    choose,
    clock_of,
    identifier,
    key_of,
    require_columns,
)
from ml_assets.projects.instants import Written
from ml_assets.projects.plan import Kind, Plan, outcome_of
from ml_assets.projects.skeleton import write
from ml_assets.projects.survey import Survey, quoted, surveyed
from ml_assets.projects.timing import Timing, timing, windows_of
from ml_assets.projects.writing import declaration
from ml_assets.projects.writing_features import features

TEST = '''\
"""The declaration of `{name}` still fits its data."""

from ml_assets.projects.check import examine

from systems.{name} import {constant}


def test_nothing_keeps_the_system_from_working() -> None:
    assert [str(each) for each in examine({constant}) if each.level == "fail"] == []
'''


@dataclass(frozen=True, kw_only=True)
class Request:
    """What somebody says of a file; see `ml-assets new --help`."""

    name: str
    file: Path
    timestamp: str
    entities: tuple[str, ...]
    label: str
    label_file: Path | None = None
    known_at: str | None = None
    key: str | None = None
    zone: str | None = None
    layout: str | None = None
    target: Kind | None = None
    unit: str | None = None
    after: timedelta | None = None


def new(request: Request, home: Project) -> tuple[Plan, list[Path]]:
    """Declare a system in the project; the plan, and the files written.

    Raises DeclarationError or FetchError if the file does not fit what is said of it,
    InstallationRefused if the system exists. Nothing is written then.
    """
    require(request.name.isidentifier() and request.name.islower() and not iskeyword(request.name),
            "ml-assets new", "NAME", request.name, "a lower-case identifier, such as `returns`")
    folder = home.systems / request.name
    test = home.folder / "tests" / f"test_{request.name}.py"
    for path in (folder, test):
        if path.exists():
            raise InstallationRefused(f"{path} exists; choose another name, or delete it")
    made = plan(request)
    texts = {
        folder / "__init__.py": declaration(made), folder / "features.py": features(made),
        test: TEST.format(name=made.name, constant=made.name.upper()),
    }
    for path, content in texts.items():
        write(path, content)
    return made, list(texts)


def plan(request: Request) -> Plan:
    """All that the file says. Reads it a few times; see `new` for errors."""
    events = brought(request.file)
    told = None if request.label_file is None else brought(request.label_file)
    with _read(events) as survey, _outcomes(survey, events, told) as words:
        question = _question(request, survey, events, words, told or events)
        at = clock_of(survey, request.timestamp, request.zone, request.layout)
        label = request.label if told is None else _joined(survey, words, question)
        facts = words.facts(request.label)
        outcome = outcome_of(
            facts, identifier(request.label), request.target, unit=request.unit,
            listed=told is not None, unlisted=_unlisted(survey, label))
        columns, left = choose(survey, question, at, label=label,
                               quantity=outcome.kind == "number")
        days = _timing(request, survey, words, question, at)
        return Plan(
            name=request.name, file=events.name, rows=events.code,
            outcomes=None if told is None else told.code, key=question.key,
            timestamp=request.timestamp, known_at=request.known_at, at=at,
            columns=tuple(columns), left=tuple(left), outcome=outcome, timing=days,
            entities=_windows(survey, request, days), events=survey.rows,
        )


@contextmanager
def _read(file: Brought) -> Iterator[Survey]:
    with surveyed(file.rows, file.rows.fetch(Path())) as survey:
        yield survey


@contextmanager
def _outcomes(survey: Survey, events: Brought, told: Brought | None) -> Iterator[Survey]:
    if told is None:
        yield survey
    else:
        with _read(told) as words:
            yield words


def _question(
    request: Request, survey: Survey, events: Brought, words: Survey, told: Brought
) -> Question:
    require_columns(survey, events.name, timestamp=request.timestamp, key=request.key)
    for entity in request.entities:
        require_columns(survey, events.name, entity=entity)
    require_columns(words, told.name, label=request.label, known_at=request.known_at)
    key = request.key or key_of(survey)
    if words is not survey:
        if key is None:
            raise DeclarationError(f"nothing says which outcome of {told.name} belongs to which "
                                   f"event of {events.name}: name the column with --key")
        require_columns(words, told.name, key=key)
    if key is not None:
        named = quoted(key)
        missing, twice = survey.one(f"select count(*) - count({named}), "
                                    f"count({named}) - count(distinct {named}) from rows")
        if missing or twice:
            raise DeclarationError(f"--key names {key!r}, which is missing in {missing:,} rows and "
                                   f"occurs again in {twice:,}; expected one of its own for each")
    return Question(timestamp=request.timestamp, entities=request.entities, key=key,
                    label=request.label, known_at=request.known_at)


def _joined(survey: Survey, words: Survey, question: Question) -> str:
    """Bring the outcomes of another file to their events; the column that then holds them."""
    assert question.key is not None
    found = words.all(f"select {quoted(question.key)}, {quoted(question.label)} from rows")
    column = "_label"
    survey.connection.execute("create table told (named text, label text)")
    survey.connection.executemany("insert into told values (?, ?)", found or [(None, None)])
    survey.connection.execute(f"""
        create or replace view rows as
        select every.*, last.label as {column} from every
        left join (select named, any_value(label) as label from told group by 1) as last
        on every.{quoted(question.key)} = last.named where _problem is null""")
    return column


def _unlisted(survey: Survey, label: str) -> int:
    return int(survey.one(f"select count(*) - count({quoted(label)}) from rows")[0])


def _timing(
    request: Request, survey: Survey, words: Survey, question: Question, at: Written
) -> Timing:
    known: Mapping[str, datetime] = {}
    if request.known_at is not None:
        told = clock_of(words, request.known_at, request.zone, request.layout)
        if told.layout != at.layout:
            raise DeclarationError(
                f"{request.known_at} is written as {told.layout or 'ISO 8601'}, "
                f"{request.timestamp} as {at.layout or 'ISO 8601'}; a source reads both alike. "
                "Write them alike, as by a SqlQuery that casts them")
        known = _instants(words, request.known_at, question.key, at)
    happened = _instants(survey, request.timestamp, question.key, at)
    return timing(happened, known, request.after)


def _instants(survey: Survey, column: str, key: str | None, at: Written) -> dict[str, datetime]:
    """By key, or by where the row was."""
    named = {} if key is None else dict(survey.values(key))
    found = {}
    for origin, value in survey.values(column):
        try:
            found[named.get(origin, origin)] = at.clock.instant(value)
        except (ValueError, OverflowError):
            continue
    return found


def _windows(
    survey: Survey, request: Request, days: Timing
) -> dict[str, tuple[timedelta, ...]]:
    found = {}
    for entity in request.entities:
        there, distinct = survey.one(f"select count({quoted(entity)}), "
                                     f"count(distinct {quoted(entity)}) from rows")
        found[identifier(entity)] = windows_of(there, distinct, days.span)
    return found
