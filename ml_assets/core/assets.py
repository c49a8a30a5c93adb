"""What the Dagster assets of all rooms share: keys, groups, partitions, metadata.

A room's `assets.py` has one function `build(system)` that returns its assets and checks.
An asset reads, calls one function of its room, and returns the result with metadata.
"""

import hashlib
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypedDict

import dagster as dg

from ml_assets.core.errors import StateDamaged
from ml_assets.core.settings import PREFIX, VARIABLES, Settings
from ml_assets.core.storage.files import write_atomically
from ml_assets.core.system import System
from ml_assets.core.time import DAY, EventClock, midnight, parse_day

if TYPE_CHECKING:
    import pandas as pd
    from _typeshed import DataclassInstance

# Single-run backfills are beta in Dagster; what we rely on of them is tested.
warnings.filterwarnings("ignore", message=".*backfill_policy", category=dg.BetaWarning)

if TYPE_CHECKING:
    Materialized = dg.MaterializeResult[Any]
else:
    Materialized = dg.MaterializeResult
    """The return annotation of assets: Dagster does not accept `MaterializeResult[Any]`."""

PLOTS_PATH = "/plots/"
"""The path at which the web server of `ml-assets ui` serves an installation's plots and reports."""

Room = Literal[
    "ingest", "features", "training", "evaluation", "registry", "serving", "feedback", "monitoring",
    "automation",
]


class Attributes(TypedDict, total=False):
    """Arguments that `dg.asset` gets for every asset."""

    group_name: str
    owners: list[str]
    kinds: set[str]
    partitions_def: dg.PartitionsDefinition[Any]
    backfill_policy: dg.BackfillPolicy


def key(system: System, name: str) -> dg.AssetKey:
    """The key of a system's asset, e.g. `<system>/model`."""
    return dg.AssetKey([system.name, name])


def keys(system: System, *names: str) -> list[dg.AssetKey]:
    return [key(system, name) for name in names]


class ReachedDays(dg.DailyPartitionsDefinition):
    """Days up to the clock of a system, not the machine's: a replay is set in the past.

    While a replay is running, its clock stands still between two events. All days of the
    calendar then exist, so open pages show each day as soon as it is ingested.
    """

    system: ClassVar[str]
    """Of the class, as `_days_of` makes it: Dagster's own fields cannot be extended."""

    @property
    def end(self) -> datetime | None:
        declared = self.end_ts and datetime.fromtimestamp(self.end_ts.timestamp, UTC)
        reached = _reached(self.system)
        ends = [each for each in (declared, reached) if each is not None]
        return max(min(ends), self.start + DAY) if ends else None

    @property
    def end_timestamp(self) -> float | None:
        return None if (end := self.end) is None else end.timestamp()


@cache
def _days_of(system: str) -> type[ReachedDays]:
    return type("ReachedDays", (ReachedDays,), {"system": system})


def _reached(system: str) -> datetime | None:
    """The end of the latest whole day of a replayed past; None if the wall clock applies."""
    # Dagster asks some hundred times a run. A copy, because settings remember that there was no
    # clock, and a replay may begin meanwhile.
    clock = replace(_settings(*(os.environ.get(f"{PREFIX}{name}") for name in VARIABLES))
                    ).clock_of(system)
    if not isinstance(clock, EventClock):
        return None
    try:
        return None if clock.stands_still() else midnight(clock.now().date())
    except StateDamaged:  # `ml-assets doctor` and everything that needs the clock report it
        return None


@lru_cache(maxsize=8)
def _settings(*variables: str | None) -> Settings:
    return Settings.from_environment()


def daily(system: System) -> dg.DailyPartitionsDefinition:
    """One partition per day (UTC), over the days of the system's calendar so far."""
    last = system.calendar.last_day
    return _days_of(system.name)(
        start_date=system.calendar.first_day.isoformat(),
        # Dagster's end is exclusive.
        end_date=None if last is None else date.fromordinal(last.toordinal() + 1).isoformat(),
    )


def attributes(
    system: System, room: Room, *kinds: str, partitioned: bool = True
) -> Attributes:
    """The attributes that an asset takes from its system and room.

    Daily assets backfill any range of days in one run.
    """
    shared = Attributes(
        group_name=f"{system.name}_{room}", owners=list(system.owners), kinds=set(kinds)
    )
    if partitioned:
        shared["partitions_def"] = daily(system)
        shared["backfill_policy"] = dg.BackfillPolicy.single_run()
    return shared


def days(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> list[date]:
    """The days that a run of a daily asset covers, in order."""
    return [parse_day(partition) for partition in context.partition_keys]


def preview(rows: "pd.DataFrame", count: int = 5) -> dg.MetadataValue:
    """The first rows as a table; long texts are cut at 80 characters."""
    return table([
        {str(name): str(legible(cell)).replace("\n", " ")[:80] for name, cell in row.items()}
        for row in rows.head(count).to_dict("records")
    ])


def records(values: "Sequence[DataclassInstance]", count: int) -> dg.MetadataValue:
    """The first of some dataclasses of one kind as a table; `none` if there is none."""
    return table([
        {name: str(legible(value)) for name, value in asdict(each).items()}
        for each in values[:count]
    ])


def table(records: Sequence[Mapping[str, str]]) -> dg.MetadataValue:
    """Rows with the same columns as a table on the asset's page; `none` if there are no rows.

    Dagster shows a table at once, but Markdown of more than 1,000 characters only after a click.
    """
    if not records:
        return dg.MetadataValue.text("none")
    return dg.MetadataValue.table([dg.TableRecord(dict(record)) for record in records])


def plot(settings: Settings, system: System, png: bytes, title: str) -> dg.MetadataValue:
    """A plot that the asset's page shows at once, under `ml-assets ui`.

    The image is stored in the installation, in the system's folder, under the hash of its content;
    `ml-assets ui` serves it.
    """
    address = _stored(settings, system, png, "png")
    return dg.MetadataValue.md(f"[![{title}]({address})]({address})")


def page(settings: Settings, system: System, html: str, title: str) -> dg.MetadataValue:
    """A link to an HTML page, under `ml-assets ui`; stored and served as plots are."""
    address = _stored(settings, system, html.encode(), "html")
    return dg.MetadataValue.md(f"[{title}]({address})")


def _stored(settings: Settings, system: System, content: bytes, kind: str) -> str:
    """The address of a file with this content."""
    name = f"{system.name}/{hashlib.blake2b(content, digest_size=16).hexdigest()}.{kind}"
    path = settings.plots / name
    if not path.exists():
        write_atomically(path, content)
    return f"{PLOTS_PATH}{name}"


def legible(value: Any) -> Any:
    """Numbers rounded for people: four decimals, or three digits if smaller than 0.01.

    Applies within dicts, lists and tuples too. Everything else is unchanged.
    """
    if isinstance(value, float):
        return round(value, 4) if abs(value) >= 0.01 else float(f"{value:.3g}")
    # Dagster's own values are tuples too.
    if type(value) is dict:
        return {name: legible(each) for name, each in value.items()}
    if type(value) in (list, tuple):
        return [legible(each) for each in value]
    return value


def shown(**metadata: Any) -> dict[str, Any]:
    """Metadata for the page of an asset or check, with legible numbers."""
    return {name: legible(value) for name, value in metadata.items()}


def rows(count: int, **more: Any) -> dict[str, Any]:
    """Metadata that starts with Dagster's standard row count; see `shown`."""
    return {"dagster/row_count": count, **shown(**more)}


def column_schema(columns: Iterable[tuple[str, str, str]]) -> dg.TableSchema:
    """Dagster's table schema from (name, type, description)."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(name=name, type=dtype, description=text) for name, dtype, text in columns
        ]
    )


def check_result(
    passed: bool,
    name: str,
    metadata: Mapping[str, Any] | None = None,
    *,
    asset_key: dg.AssetKey | None = None,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetCheckResult:
    """The result of a check that an asset returns together with its value."""
    return dg.AssetCheckResult(
        passed=passed,
        check_name=name,
        asset_key=asset_key,
        severity=severity,
        metadata=shown(**(metadata or {})),
    )


def flatten(groups: Iterable[Sequence[Any]]) -> list[Any]:
    return [item for group in groups for item in group]
