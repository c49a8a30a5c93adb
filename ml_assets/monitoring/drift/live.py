"""Each live day's counts, kept beside the reference: a day is read once."""

from __future__ import annotations

from collections import UserDict
from datetime import date, datetime, timedelta
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import pandas as pd
from duckdb import DuckDBPyConnection

from ml_assets.core.settings import Settings
from ml_assets.core.storage.files import replacing
from ml_assets.core.storage.mounts import current
from ml_assets.core.storage.sql import name_of
from ml_assets.core.system import System
from ml_assets.core.time import DAY
from ml_assets.ingest.lake_in_sql import select
from ml_assets.monitoring.drift.columns import LiveRows
from ml_assets.monitoring.drift.reference import Values, microseconds
from ml_assets.monitoring.drift.watch import DayCounts

SERVED = "features, feature_names, model_version, score, event_timestamp"
EVENT_FOUND = "_event_found"
"""Of a prediction's row: null unless the columns of its event are beside it."""

class KeptCounts(UserDict[date, DayCounts]):
    """The counts of the days of a champion's reign, by day: `<lake>/<system>/drift_reference/
    <version>_days.npz`. Damaged, or of another reference, the file counts as empty."""

    def __init__(self, settings: Settings, system: System, version: int, made_of: str) -> None:
        folder = settings.lake / system.name / "drift_reference"
        self._path: Path = folder / f"{version}_days.npz"
        self._made_of = made_of
        super().__init__(self._read())

    def save(self) -> None:
        """Replace the file."""
        days = sorted(self)
        if not days:
            return
        told = [(day, self[day].together) for day in days]
        stored: dict[str, npt.NDArray[np.generic]] = {
            "made_of": np.array(self._made_of), "days": np.array([str(day) for day in days]),
            "rows": np.array([self[day].rows for day in days]),
            "names": np.array(list(self[days[0]].columns), dtype=np.str_),
            "told": np.array([str(day) for day, each in told if each is not None], dtype=np.str_),
        }
        for index, name in enumerate(self[days[0]].columns):
            stored[f"column_{index}"] = np.array([self[day].columns[name] for day in days])
        if len(stored["told"]):
            stored["today"] = np.array([each[0] for _, each in told if each is not None])
            stored["reference"] = np.array([each[1] for _, each in told if each is not None])
        with replacing(self._path) as temporary, temporary.open("wb") as file:
            np.savez(file, **stored)  # type: ignore[arg-type]

    def _read(self) -> dict[date, DayCounts]:
        try:
            with np.load(current(self._path), allow_pickle=False) as stored:
                if str(stored["made_of"]) != self._made_of:
                    return {}
                names = stored["names"].tolist()
                columns = [stored[f"column_{index}"] for index in range(len(names))]
                told = stored["told"].tolist()
                together = dict(zip(told, zip(stored["today"], stored["reference"], strict=True),
                                    strict=True)) if told else {}
                return {date.fromisoformat(day): DayCounts(
                    rows=int(rows), together=together.get(day),
                    columns={name: each[place] for name, each in zip(names, columns, strict=True)})
                    for place, (day, rows) in enumerate(zip(
                        stored["days"].tolist(), stored["rows"], strict=True))}
        except (OSError, EOFError, ValueError, KeyError, IndexError, BadZipFile):
            return {}  # counted anew


def served(
    lake: DuckDBPyConnection, system: System, start: datetime, end: datetime, *,
    names: tuple[str, ...], version: int, own: bool = False, most: int | None = None,
) -> LiveRows:
    """What was accepted in [start, end) and read the features `names`.

    lake: a connection that has the system's tables; own: answers of `version` alone; most: rows at
    most, spread by a hash of their ids
    """
    name, events = name_of(system.name), name_of(system.asked.table)
    categories = [name_of(each) for each in system.model.categories]
    texts = [f"cast({each} as varchar) as {each}" for each in categories]  # ids are numbers
    # An archived event may have the id of one that was posted, but was not accepted when it was.
    of_events = f"""
        left join (select event_id, accepted_at, {', '.join(texts)}, true as {EVENT_FOUND}
                   from {name}.{events} where day >= $1 and day < $2)
        using (event_id, accepted_at)
    """ if categories else ""
    found = [EVENT_FOUND, *categories] if categories else []
    alone = f"and model_version = {int(version)}" if own else ""
    cut = "" if most is None else f"order by hash(prediction_id) limit {most}"
    rows = select(
        lake,
        f"select {', '.join([SERVED, *found])} from {name}.predictions {of_events} "
        f"where day >= $1 and day < $2 and accepted_at >= $3 {alone} {cut}",
        [start.date(), (end - timedelta(microseconds=1)).date() + DAY, start],
    )
    return live_rows(rows, names, version, system.model.categories)


def live_rows(
    rows: pd.DataFrame, names: tuple[str, ...], version: int, categories: tuple[str, ...] = ()
) -> LiveRows:
    """Of rows of `tables.predictions_schema`, beside `EVENT_FOUND` and the category columns of
    their events; those whose features have other names are left out."""
    alike = np.array([tuple(each) == names for each in rows["feature_names"]], dtype=np.bool_)
    rows = rows[alike]
    features = (np.stack(rows["features"].to_list()).astype(np.float32) if len(rows) else
                np.empty((0, len(names)), np.float32))
    own = (rows["model_version"] == version).to_numpy()
    there = rows[EVENT_FOUND].notna().to_numpy() if EVENT_FOUND in rows.columns else (
        np.zeros(len(rows), np.bool_))
    return LiveRows(
        features=features, at=microseconds(rows),
        scores=np.where(own, rows["score"].to_numpy(np.float64), np.nan), found=there,
        categories={name: Values.of(rows.loc[there, name]) for name in categories
                    if name in rows.columns},
    )
