"""A repository that `feast init` makes, on our stores, as docs/feast-stores.md says."""

from __future__ import annotations

import json
import os
import re
import shlex
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
from tests.features.feast_stores.commands import feast

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


def answer(printed: str) -> Any:
    """What a command prints below the line that repeats it."""
    said = printed.partition("\n")[2]
    return json.loads(said[min(said.index(sign) for sign in "[{" if sign in said):])


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("foreign")
    feast(folder, "init drivers")
    repository = folder / "drivers" / "feature_repo"
    (repository / "feature_store.yaml").write_text(block("yaml"))
    (repository / "rides.py").write_text(block("python"))
    now = datetime.now(UTC)
    pq.write_table(pa.Table.from_pylist([
        {"rider_id": 7, "ended_at": now - ago, "stored_at": now - ago, "ride_id": f"r{place}",
         "fare": 2.0**place}
        for place, ago in enumerate(timedelta(hours=hours) for hours in (1, 30, 60, 400))
    ], RIDES), repository / "data" / "rides.parquet")
    return repository


def stamp(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%S}"


def asked(features: Sequence[str], key: str, value: int) -> list[str]:
    """The commands for features online and offline, as of now."""
    refs = " ".join(f"-f {feature}" for feature in features)
    rows = json.dumps([{key: value, "event_timestamp": stamp(datetime.now(UTC)) + "Z"}])
    return [f"get-online-features {refs} -e {key}={value}",
            f"get-historical-features {refs} -d {shlex.quote(rows)}"]


def test_views_of_feasts_own_template_and_a_windowed_one_answer_the_same_online_and_offline(
    repository: Path,
) -> None:
    stats = [f"driver_hourly_stats:{name}" for name in STATS]
    rides = ["rider_week:rides_in_week", "rider_week:fares_in_week"]
    said = feast(repository, "apply", f"materialize 2020-01-01T00:00:00 {stamp(datetime.now(UTC))}",
                 *asked(stats, "driver_id", 1001), *asked(rides, "rider_id", 7))
    online, (offline,), windowed_online, (windowed_offline,) = map(answer, said[2:])
    rates = [online["conv_rate"][0], offline["conv_rate"]]
    assert rates[0] == pytest.approx(rates[1])
    assert None not in (online[name][0] for name in STATS)
    assert online["driver_profile"][0] == offline["driver_profile"]
    assert [windowed_online["rides_in_week"][0], windowed_online["fares_in_week"][0]] == [3, 7.0]
    assert [windowed_offline["rides_in_week"], windowed_offline["fares_in_week"]] == [3, 7.0]


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
        done = subprocess.run(
            [str(Path(sys.executable).parent / "feast"), "-c", str(repository), "materialize",
             "2020-01-01T00:00:00", stamp(datetime.now(UTC)), "--views", "rider_week"],
            cwd=repository.parent, capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    finally:
        rides.with_suffix(".away").rename(rides)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert f"source 'rides' has no Parquet file at {rides}: write it first" in said
    assert "asset" not in said.rpartition("NotReady")[2]
