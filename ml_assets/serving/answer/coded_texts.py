"""The texts behind the codes of a vector: what a reader of an explanation wants to see.

A code cannot be turned round, so the texts are those that the features could have been made of: of
the entity's rows in the window, or in its table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import pyarrow as pa

from ml_assets.core.codes import code_of
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.texts import key_text
from ml_assets.features.contributing import (
    AHEAD,
    Stretch,
    looks_of,
    rows_until,
    stretches_at,
)
from ml_assets.features.manifest import load_manifest
from ml_assets.features.service import Chosen, ChosenRows
from ml_assets.ingest.lake import Lake, frame_of
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.tables import tables_of


class _CodedFeature(NamedTuple):
    view: str
    column: str
    feature: str


def texts_behind(
    settings: Settings, system: System, log: EventLog, keys: Mapping[str, object],
    as_of: datetime, known_by: datetime, features: Mapping[str, float],
) -> dict[str, str]:
    """The text of each of the `features` that is the code of one, by the feature's name.

    keys: at least the event's entity columns; known_by: when it was accepted; features: by name,
    NaN if missing
    Of several texts with one code all are named. An id is its own code, and left out.
    """
    service = load_manifest(settings).service(system)
    coded = [each for part in service.parts for each in _coded(part)
             if each.feature in service.coded and features.get(each.feature, 0) > 0]
    looks = [look for look in looks_of(settings, system)
             if look.view in {each.view for each in coded}]
    found: dict[str, str] = {}
    for stretch in stretches_at(looks, keys, as_of, known_by=known_by):
        known = tables_of(stretch.system)[stretch.table]
        for column in {each.column for each in coded if each.view == stretch.view}:
            if not pa.types.is_string(known.field(column).type):
                continue
            texts = _texts(Lake(settings.lake), log, stretch, column)
            found |= {each.feature: " or ".join(texts[code]) for each in coded
                      if (each.view, each.column) == (stretch.view, column)
                      and (code := int(features[each.feature])) in texts}
    return found


def _coded(part: Chosen | ChosenRows) -> Iterator[_CodedFeature]:
    if isinstance(part, ChosenRows):
        yield from (_CodedFeature(part.view.name, name, name) for name in part.columns)
        return
    for each in part.view.windowed.aggregates:
        if each.function.takes_codes and each.column:
            yield from (_CodedFeature(part.view.name, each.column, name) for name in each.columns)


def _texts(lake: Lake, log: EventLog, stretch: Stretch, column: str) -> Mapping[int, list[str]]:
    """The different texts of a column in the entity's rows, by code."""
    known = tables_of(stretch.system)[stretch.table]
    names = dict.fromkeys([column, *stretch.key])
    rows = frame_of(rows_until(
        lake, log, stretch.system, stretch.table,
        pa.schema([known.field(name) for name in names]),
        None if stretch.latest else (stretch.start - timedelta(days=1)).date(),
        stretch.end.date() + timedelta(days=AHEAD), stretch.known_by))
    for name, value in stretch.key.items():
        rows = rows[rows[name].map(key_text) == value]
    texts: dict[int, list[str]] = {}
    for text in rows[column].dropna().unique().tolist():
        texts.setdefault(code_of(text), []).append(text)
    return texts
