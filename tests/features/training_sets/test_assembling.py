"""A training set that is built in portions is the one that is built of all rows at once."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.bulk_load.in_memory import _address, assemble
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, midnight
from ml_assets.features.history import pieces
from ml_assets.features.training_sets import assembling
from ml_assets.features.training_sets.address import Address
from ml_assets.features.training_sets.assembling import assembled
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import events_schema, labels_schema
from ml_assets.systems.spam import SPAM
from tests.features.recorded import first_days, record
from tests.features.training_sets.twins import built_as_at_once

DAYS = [SPAM.calendar.go_live + n * DAY for n in range(-12, 12)]
"""Half of them are history, and half live."""
AS_OF = midnight(DAYS[-1]) + DAY / 2
NAMES = ("e", "e\0", "e\0a", "ä", "Z")


def happened(settings: Settings, seed: int) -> None:
    """Events that come twice, late or at one instant; labels that are corrected, lack their event
    or come too late; ids that history and the API share.
    """
    draw = random.Random(seed)
    events, labels = list[dict[str, Any]](), list[dict[str, Any]]()
    for number in range(500):
        name = f"{draw.choice(NAMES)}{draw.randrange(400)}"
        # pandas puts ids of one instant that differ only after a NUL in no order.
        at = midnight(draw.choice(DAYS)) + (
            draw.random() if "\0" in name else draw.choice([draw.random(), 0.5])) * DAY
        arrived = at + draw.choice([timedelta(0), draw.random() * 3 * DAY])
        keys = {key: draw.choice(["", *(f"{key} {n}" for n in range(4))]) for key in SPAM.keys}
        row: dict[str, Any] = {
            column.name: draw.random() if column.dtype == "number" else f"text {number % 9}"
            for column in SPAM.columns}
        if draw.random() < 0.95:
            events.append(row | keys | {"event_id": name, "event_timestamp": at,
                                        "accepted_at": arrived, "log_seq": None})
        for _ in range(draw.choice([0, 1, 1, 1, 2, 3])):
            known = arrived + draw.choice([0, 1, 2, 2, 5]) * DAY
            basis = "archive" if arrived.date() < SPAM.calendar.go_live else draw.choice(
                ["feedback", "silence"])
            labels.append({"event_id": name, "event_timestamp": at, "known_at": known,
                           "label": draw.random() < 0.4, "basis": basis,
                           "label_id": f"{name} {known} {len(labels)}", "log_seq": None, **keys})
    _write(settings, "events", "accepted_at", events, events_schema(SPAM))
    _write(settings, "labels", "known_at", labels, labels_schema(SPAM))


def _write(
    settings: Settings, table: str, filed: str, rows: Sequence[dict[str, Any]], schema: Any
) -> None:
    frame = pd.DataFrame(rows, columns=schema.names)
    for day in DAYS:
        Lake(settings.lake).write(
            SPAM.name, table, day, frame[frame[filed].dt.date == day], schema)


def looking_back(history: timedelta | None) -> System:
    return replace(SPAM, model=replace(SPAM.model, history=history, holdout=2 * DAY))


@pytest.mark.parametrize("seed", range(3))
def test_whatever_has_happened_the_rows_are_the_same(
    settings: Settings, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so is the version; with little memory, and in small portions."""
    monkeypatch.setattr(assembling, "GROUP", 64)
    monkeypatch.setattr(assembling, "MEMORY", 200_000)
    happened(settings, seed)
    built = built_as_at_once(settings, looking_back((None, 15 * DAY, 8 * DAY)[seed]), AS_OF)
    assert built.labels > 50 and built.events_lacking > 0


def test_busy_entities_are_looked_at_one_stretch_of_time_after_the_other(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose events of all time need more memory than there is."""
    monkeypatch.setattr(assembling, "MEMORY", 20_000)
    stretches, in_time = list[str](), pieces._in_time

    def counted(*arguments: Any) -> Iterator[tuple[str, str]]:
        for found in in_time(*arguments):
            stretches.append(found[1])
            yield found

    monkeypatch.setattr(pieces, "_in_time", counted)
    record(settings, SPAM, first_days(SPAM, 40), per_day=10)
    built_as_at_once(settings, SPAM, midnight(first_days(SPAM, 40)[-1]))
    assert len(stretches) > 10


def test_a_share_of_the_events_is_the_same_share(settings: Settings) -> None:
    happened(settings, 4)
    rows, _, lacking = assemble(settings, SPAM, AS_OF, share=0.3)
    with assembled(settings, SPAM, AS_OF, share=0.3) as made:
        found = pd.concat(list(made.frames()), ignore_index=True)
        assert made.lacking == lacking and made.count == len(rows) > 10
    pd.testing.assert_frame_equal(found, rows, check_exact=True)


def test_an_address_does_not_depend_on_how_rows_are_cut() -> None:
    """Also of numbers that only some rows have, whatever type a portion of them has."""
    count = 40
    some = np.arange(count) % 3 == 0
    rows = pd.DataFrame({
        "text": [None if each else "a\0b" for each in some],
        "whole": pd.Series([None if each else n for n, each in enumerate(some)], dtype=object),
        "never": np.full(count, None),
        "flag": pd.Series([n % 2 == 0 if each else None for n, each in enumerate(some)],
                          dtype=object),
        "at": pd.date_range("2024-01-01", periods=count, tz="UTC"),
        "size": np.where(some, np.nan, np.arange(count) / 7).astype(np.float32),
        "list": [None if each else np.array([1.0, 2.0]) for each in some],
    })
    about = {"feature_names": ["size"]}
    for size in (1, 7, count):
        address = Address(list(rows.columns), about, ("whole", "flag"))
        for start in range(0, count, size):
            address.add(rows.iloc[start : start + size])
        assert str(address) == _address(rows, about)
