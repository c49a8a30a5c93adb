"""The doctor looks at the servers that hosts share, as far as this host can see them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ml_assets.core.settings import Settings
from ml_assets.doctor import cluster
from ml_assets.doctor.cluster import examine_cluster
from ml_assets.doctor.findings import Finding
from tests.places import cluster_at


def server(settings: Settings) -> Finding:
    return next(each for each in examine_cluster(settings) if each.what == "PostgreSQL")


def test_the_local_profile_has_no_servers(settings: Settings) -> None:
    assert list(examine_cluster(settings)) == []


def test_a_server_that_does_not_answer_is_told_without_its_password(settings: Settings) -> None:
    url = "postgresql://ml:secret@/postgres?host=/nowhere"
    told = server(replace(settings, cluster=cluster_at(url)))
    assert told.trouble is not None and "cannot reach" in told.trouble
    assert "secret" not in told.line


def test_a_server_that_may_forget_is_told(settings: Settings, postgres_url: str) -> None:
    """That of the tests does not sync."""
    told = server(replace(settings, cluster=cluster_at(postgres_url)))
    assert told.trouble is not None and "fsync is off" in told.trouble


def test_a_clock_that_differs_from_the_server_s_is_told(
    settings: Settings, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late:
        def now(self) -> datetime:
            return datetime(2020, 1, 1, tzinfo=UTC)

    monkeypatch.setattr(cluster, "WallClock", Late)
    monkeypatch.setattr(cluster, "SAFE", "true")
    told = server(replace(settings, cluster=cluster_at(postgres_url)))
    assert told.trouble is not None and "has a clock that differs" in told.trouble


def test_objects_that_cannot_be_used_are_told(
    settings: Settings, postgres_url: str, objects_url: str
) -> None:
    there = replace(settings, cluster=cluster_at(postgres_url, objects=objects_url))
    gone = replace(settings, cluster=cluster_at(postgres_url, objects="s3://none-such"))
    [sound, missing] = [each for found in (there, gone) for each in examine_cluster(found)
                        if each.what == "objects"]
    assert sound.trouble is None and sound.note == objects_url
    assert missing.trouble is not None and "there is no bucket 'none-such'" in missing.trouble


def test_a_shared_folder_that_is_not_mounted_is_told(
    settings: Settings, postgres_url: str, tmp_path: Path
) -> None:
    there = replace(settings, cluster=cluster_at(postgres_url, tmp_path))
    gone = replace(settings, cluster=cluster_at(postgres_url, tmp_path / "gone"))
    [sound, missing] = [each for found in (there, gone) for each in examine_cluster(found)
                        if each.what == "shared"]
    assert sound.trouble is None and sound.note == str(tmp_path)
    assert missing.trouble is not None and "ML_ASSETS_SHARED" in missing.remedy
