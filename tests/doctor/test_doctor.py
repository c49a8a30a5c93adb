"""`ml-assets doctor` finds every damage, says what to do, and mends what costs nothing."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from ml_assets.cli import main
from ml_assets.core.errors import StateDamaged
from ml_assets.core.installation import claim
from ml_assets.core.settings import Settings
from ml_assets.core.storage.layout import FILES, SET_ASIDE, TOKENS
from ml_assets.core.storage.marker import MARKER, change_notes, read_marker
from ml_assets.core.time import EventClock
from ml_assets.ingest.lake import Lake
from ml_assets.registry.models import ModelRegistry
from tests.core.kit import NOON, made, tree
from tests.core.storage.test_condition import DAMAGES, NAMES


def doctor(settings: Settings, *arguments: str) -> Result:
    result = CliRunner().invoke(
        main, ["doctor", *arguments],
        env={"ML_ASSETS_VAR": str(settings.var), "ML_ASSETS_CACHE": str(settings.cache)})
    assert "Traceback" not in result.output, result.output
    return result


@pytest.fixture
def installation(settings: Settings) -> Settings:
    made(settings)
    return settings


def test_a_sound_installation_is_sound_and_nothing_is_changed(installation: Settings) -> None:
    before = tree(installation.var)
    result = doctor(installation)
    assert result.exit_code == 0 and "Everything is sound." in result.output
    for about in FILES:
        assert about.name in result.output
    assert tree(installation.var) == before
    told = json.loads(doctor(installation, "--json").stdout)
    found = {each["what"] for each in told["findings"]}
    assert told["sound"] and {"systems/toy/clock.json", MARKER} <= found


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", NAMES)
def test_every_damage_has_a_line_and_a_way_out(
    installation: Settings, name: str, damage: str
) -> None:
    """--mend mends what is made anew; the loss of anything else is for a person to accept."""
    harm, says = DAMAGES[damage]
    about = next(each for each in FILES if each.name == name)
    harm(installation.var / name)
    result = doctor(installation)
    assert result.exit_code == 1
    [line] = [line for line in result.output.splitlines() if line.startswith(f"{name} (")]
    assert says in line and about.holds in line
    mended = doctor(installation, "--mend")
    if about.rebuilt:
        assert mended.exit_code == 0, mended.output
    else:
        assert mended.exit_code == 1 and f"{name} (" in mended.output
        given_up = doctor(installation, "--give-up", name)
        assert given_up.exit_code == 0, given_up.output
    if damage != "deleted":
        aside = [path for path in (installation.var / SET_ASIDE).iterdir()
                 if path.name.startswith(Path(name).name)]
        assert len(aside) == 1, aside
    claim(installation)


def test_the_clock_is_mended_to_the_latest_instant_that_is_known(installation: Settings) -> None:
    """Not to before a day that was closed, nor to the machine's time."""
    installation.clock_file("toy").write_bytes(b"")
    day = date(2024, 1, 30)
    Lake(installation.lake).partition("toy", "events", day).write_bytes(b"")
    doctor(installation, "--mend")
    at = EventClock(installation.clock_file("toy")).now()
    assert datetime(2024, 1, 31, tzinfo=UTC) <= at < datetime(2024, 1, 31, 1, tzinfo=UTC)


def test_a_clock_is_mended_by_what_its_own_system_has_seen(installation: Settings) -> None:
    """What another system has replayed since moves it no more than the machine's time does."""
    lake = Lake(installation.lake)
    lake.partition("toy", "events", date(2024, 1, 30)).write_bytes(b"")
    meters = lake.partition("meter", "events", date(2025, 6, 1))
    meters.parent.mkdir(parents=True)
    meters.write_bytes(b"")
    installation.clock_file("toy").unlink()
    said = doctor(installation, "--mend").output
    assert "the clock of 'toy' resumes from 2024-01-31 00:00:00 UTC" in said
    assert not installation.clock_file("meter").exists()


@pytest.mark.parametrize("sound", [True, False])
def test_the_one_clock_of_an_earlier_version_becomes_one_for_each_system(
    installation: Settings, sound: bool
) -> None:
    """Also if it is damaged and has to be mended first."""
    installation.clock_file("toy").rename(installation.var / "clock.json")
    change_notes(installation.var, add=("clock.json",), drop=("systems/toy/clock.json",))
    (installation.lake / "meter" / "events").mkdir(parents=True)
    (installation.lake / "meter" / "events" / "2024-02-01.parquet").write_bytes(b"")
    if sound:
        claim(installation)
        assert installation.clock_of("toy").now() == NOON
        assert installation.clock_of("meter").now() == NOON
    else:
        (installation.var / "clock.json").write_bytes(b"{")
        with pytest.raises(StateDamaged, match=r"clock\.json .* is damaged"):
            claim(installation)
        assert "the clock of 'meter' resumes from 2024-02-02" in doctor(
            installation, "--mend").output
    claim(installation)
    assert not (installation.var / "clock.json").exists()
    marker = read_marker(installation.var)
    assert marker is not None and "clock.json" not in marker.files
    assert "systems/meter/clock.json" in marker.files


def test_what_is_sound_is_not_given_up(installation: Settings) -> None:
    result = doctor(installation, "--give-up", "event_log.sqlite")
    assert result.exit_code == 1 and "is sound, so there is no loss to accept" in result.output
    result = doctor(installation, "--give-up", "event_log")
    assert result.exit_code == 1 and "Closest: event_log.sqlite" in result.output
    assert installation.event_log.exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"product": "ml-assets"}'])
def test_a_damaged_marker_is_made_anew_from_what_lies_beside_it(
    installation: Settings, content: bytes
) -> None:
    (installation.var / MARKER).write_bytes(content)
    assert doctor(installation).exit_code == 1
    with pytest.raises(StateDamaged, match="--mend"):
        claim(installation)
    assert doctor(installation, "--mend").exit_code == 0
    marker = read_marker(installation.var)
    assert marker is not None and "event_log.sqlite" in marker.files
    claim(installation)


@pytest.mark.parametrize("content", [b'{"product": "other", "format": 1}',
                                     b'{"product": "ml-assets", "format": 9}'])
def test_a_marker_of_others_is_not_mended(installation: Settings, content: bytes) -> None:
    (installation.var / MARKER).write_bytes(content)
    assert doctor(installation, "--mend").exit_code == 1
    assert (installation.var / MARKER).read_bytes() == content


def test_a_folder_of_somebody_else_is_refused(settings: Settings) -> None:
    assert "no installation" in doctor(settings).output
    settings.var.mkdir()
    (settings.var / "beach.jpg").write_text("mine")
    for arguments in ((), ("--mend",)):
        result = doctor(settings, *arguments)
        assert result.exit_code == 1 and "is not an installation" in result.output
    assert tree(settings.var) == {"beach.jpg": b"mine"}


def test_modes_are_found_and_mended(installation: Settings) -> None:
    installation.var.chmod(0o755)
    (installation.var / TOKENS).chmod(0o644)
    (installation.lake / "toy").chmod(0o777)
    result = doctor(installation)
    assert result.exit_code == 1 and "is not true of 2 files or folders" in result.output
    assert doctor(installation, "--mend").exit_code == 0
    assert oct((installation.lake / "toy").stat().st_mode)[-3:] == "700"


# --- the lake -----------------------------------------------------------------------------


DAY = date(2024, 1, 9)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def _a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(("harm", "says"), [
    (_cut, "is damaged"), (lambda path: path.write_bytes(b""), "is empty"),
    (lambda path: path.write_bytes(b"x" * 400), "is damaged"), (_a_folder, "is not a file"),
])
def test_a_damaged_day_of_the_lake_is_named_by_doctor_and_by_whoever_reads_it(
    installation: Settings, harm: Callable[[Path], None], says: str
) -> None:
    path, rows = _some_days(installation)
    harm(path)
    result = doctor(installation)
    assert result.exit_code == 1
    [line] = [line for line in result.output.splitlines() if line.startswith("lake/toy/events/20")]
    assert says in line and "2024-01-09.parquet" in line and "materialise" in line
    lake = Lake(installation.lake)
    for read in (lambda: lake.read("toy", "events", rows.schema),
                 lambda: list(lake.portions("toy", "events", rows.schema, DAY, size=9))):
        with pytest.raises(StateDamaged, match=r"2024-01-09\.parquet.* materialise") as caught:
            read()
        assert "\n" not in str(caught.value)


def test_a_day_that_is_missing_between_others_is_named(installation: Settings) -> None:
    path, _ = _some_days(installation)
    path.unlink()
    assert "lacks 1 days between others: 2024-01-09" in doctor(installation).output


def _some_days(settings: Settings) -> tuple[Path, pa.Table]:
    rows = pa.table({"event_id": [str(n) for n in range(1000)]})
    for n in (8, 9, 10):
        path = Lake(settings.lake).partition("toy", "events", date(2024, 1, n))
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, path)
    return Lake(settings.lake).partition("toy", "events", DAY), rows


# --- models, and an installation that moves -------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Two versions in a real MLflow."""
    settings = Settings(var=tmp_path_factory.mktemp("trained") / "var")
    claim(settings)
    folder = tmp_path_factory.mktemp("model")
    (folder / "factor.json").write_text("3.0")
    registry = ModelRegistry(settings)
    for _ in range(2):
        registry.register("toy", folder, params={}, metrics={}, tags={})
    registry.log_evaluation("toy", 1, {"good": True})
    return settings


@pytest.fixture
def moved(trained: Settings, tmp_path: Path) -> Settings:
    """The same at another place; the old one is still there, as after a copy."""
    settings = Settings(var=tmp_path / "else where")
    shutil.copytree(trained.var, settings.var)
    return settings


def test_a_moved_installation_reads_and_writes_at_its_new_place(
    trained: Settings, moved: Settings, tmp_path: Path
) -> None:
    before = tree(trained.var)
    registry = ModelRegistry(moved)
    assert registry.folder("toy", 1).is_relative_to(moved.var)
    assert registry.evaluation("toy", 1) == {"good": True}
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "factor.json").write_text("4.0")
    third = registry.register("toy", tmp_path / "model", params={}, metrics={}, tags={})
    registry.log_evaluation("toy", 3, {"good": False}, figures={"roc": b"png"})
    assert (registry.folder("toy", third.version) / "factor.json").read_text() == "4.0"
    after = tree(trained.var)
    assert {name for name in after if not name.endswith(("-wal", "-shm"))} == {
        name for name in before if not name.endswith(("-wal", "-shm"))}
    assert str(trained.var) not in _text_of(moved)
    assert doctor(moved).exit_code == 0


def test_doctor_finds_and_mends_the_addresses_of_a_moved_installation(moved: Settings) -> None:
    result = doctor(moved)
    assert result.exit_code == 1 and "paths in another folder" in result.output
    assert doctor(moved, "--mend").exit_code == 0
    assert ModelRegistry(moved).folder("toy", 2).is_relative_to(moved.var)


@pytest.mark.parametrize("harm", ["changed", "deleted", "one more"])
def test_a_damaged_model_is_named(moved: Settings, harm: str) -> None:
    folder = ModelRegistry(moved).folder("toy", 2)
    if harm == "deleted":
        shutil.rmtree(folder)
    else:
        (folder / ("factor.json" if harm == "changed" else "x.json")).write_text("3.1")
    result = doctor(moved)
    assert result.exit_code == 1
    [line] = [line for line in result.output.splitlines() if line.startswith("model 'toy' 2")]
    assert "roll back to an earlier version, or retrain" in line
    with pytest.raises(Exception, match=r"version 2 of model 'toy'"):
        ModelRegistry(moved).folder("toy", 2)
    assert ModelRegistry(moved).folder("toy", 1).is_dir()


def _text_of(settings: Settings) -> str:
    """All that MLflow has stored, as one text."""
    with closing(sqlite3.connect(settings.var / "mlflow" / "mlflow.sqlite")) as db:
        return "\n".join(db.iterdump())


