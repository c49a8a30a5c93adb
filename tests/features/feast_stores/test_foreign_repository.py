"""A repository that `feast init` makes, on our stores, as docs/feast-stores.md says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml_assets.core.settings import ROOT

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "feast-stores.md").read_text()
RIDES = pa.schema([
    ("rider_id", pa.int64()), ("ended_at", pa.timestamp("us", tz="UTC")),
    ("stored_at", pa.timestamp("us", tz="UTC")), ("ride_id", pa.string()), ("fare", pa.float64()),
])
STATS = ("conv_rate", "driver_metadata", "driver_config", "driver_profile")


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    text: str = found
    return text


def feast(repository: Path, *words: str, expect: int = 0) -> str:
    """What Feast's own command line prints, called from elsewhere."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "feast"), "-c", str(repository), *words],
        capture_output=True, text=True, check=False, cwd=repository.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == expect, done.stderr[-3000:]
    return done.stdout + (done.stderr if expect else "")


def answer(printed: str) -> Any:
    return json.loads(printed[min(printed.index(sign) for sign in "[{" if sign in printed):])


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("foreign")
    subprocess.run([str(Path(sys.executable).parent / "feast"), "init", "drivers"], cwd=folder,
                   check=True, capture_output=True)
    repository = folder / "drivers" / "feature_repo"
    (repository / "feature_store.yaml").write_text(block("yaml"))
    (repository / "rides.py").write_text(block("python"))
    now = datetime.now(UTC)
    pq.write_table(pa.Table.from_pylist([
        {"rider_id": 7, "ended_at": now - ago, "stored_at": now - ago, "ride_id": f"r{place}",
         "fare": 2.0**place}
        for place, ago in enumerate(timedelta(hours=hours) for hours in (1, 30, 60, 400))
    ], RIDES), repository / "data" / "rides.parquet")
    feast(repository, "apply")
    feast(repository, "materialize", "2020-01-01T00:00:00", stamp(now))
    return repository


def stamp(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%S}"


def both(repository: Path, features: Sequence[str], key: str, value: int) -> tuple[Any, Any]:
    """Each feature online and offline, as of now."""
    refs = [word for feature in features for word in ("-f", feature)]
    online = answer(feast(repository, "get-online-features", *refs, "-e", f"{key}={value}"))
    rows = json.dumps([{key: value, "event_timestamp": stamp(datetime.now(UTC)) + "Z"}])
    (offline,) = answer(feast(repository, "get-historical-features", *refs, "-d", rows))
    names = [feature.partition(":")[2] for feature in features]
    return [online[name][0] for name in names], [offline[name] for name in names]


def test_plain_views_of_feasts_own_template_answer_the_same_online_and_offline(
    repository: Path,
) -> None:
    online, offline = both(
        repository, [f"driver_hourly_stats:{name}" for name in STATS], "driver_id", 1001
    )
    assert online[0] == pytest.approx(offline[0])
    assert None not in online
    assert online[3] == offline[3]


def test_a_windowed_view_answers_the_same_online_and_offline(repository: Path) -> None:
    online, offline = both(
        repository, ["rider_week:rides_in_week", "rider_week:fares_in_week"], "rider_id", 7
    )
    assert online == offline == [3, 7.0]


def test_what_is_pushed_offline_lands_in_the_files_of_the_repository(repository: Path) -> None:
    """Through the library as through Feast's server: it asks for the columns itself."""
    code = (
        "import pandas as pd\n"
        "from feast import FeatureStore\n"
        f"store = FeatureStore({str(repository)!r})\n"
        "frame = pd.DataFrame({'rider_id': [8], 'ended_at': pd.Timestamp.now('UTC'),\n"
        "    'stored_at': pd.Timestamp.now('UTC'), 'ride_id': ['s1'], 'fare': [5.0]})\n"
        "store.write_to_offline_store('rider_week', frame)\n"
        "source = store.get_data_source('rides')\n"
        "print([name for name, _ in source.get_table_column_names_and_types(store.config)])\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd="/", check=True,
                          capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.stdout.splitlines()[-1] == str(RIDES.names)
    assert pq.read_table(repository / "data" / "rides.parquet")["ride_id"].to_pylist()[-1] == "s1"


def test_an_error_speaks_of_files_and_not_of_assets(repository: Path) -> None:
    rides = repository / "data" / "rides.parquet"
    rides.rename(rides.with_suffix(".away"))
    try:
        said = feast(repository, "materialize", "2020-01-01T00:00:00", stamp(datetime.now(UTC)),
                     "--views", "rider_week", expect=1)
    finally:
        rides.with_suffix(".away").rename(rides)
    assert f"source 'rides' has no Parquet file at {rides}: write it first" in said
    assert "asset" not in said.rpartition("NotReady")[2]
