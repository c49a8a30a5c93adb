"""A server of one's own leaves nothing behind, keeps its data, and says what is missing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_assets.core.errors import NotReady
from ml_assets.core.profiles import own_postgres
from ml_assets.core.profiles.own_postgres import OwnPostgres
from ml_assets.core.settings import ROOT
from tests.places import environment_in


def test_without_postgresql_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(own_postgres, "OF_DEBIAN", tmp_path / "nothing")
    with pytest.raises(NotReady, match=r"no initdb on the PATH .*apt-get install postgresql"):
        OwnPostgres(tmp_path)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's, whose names may be too long for a socket."""
    with tempfile.TemporaryDirectory(prefix="own", dir="/tmp") as made:
        yield Path(made)


@pytest.mark.slow
def test_the_command_runs_its_servers_until_it_is_told_to_stop_and_finds_their_data_again(
    folder: Path, postgres_server: OwnPostgres
) -> None:
    """postgres_server: whether there is PostgreSQL at all."""
    psycopg, boto3 = pytest.importorskip("psycopg"), pytest.importorskip("boto3")
    redis = pytest.importorskip("redis")
    if shutil.which("redis-server") is None:
        pytest.skip("Redis is not installed")
    written = folder / "cluster" / "environment"
    for attempt in range(2):
        process = subprocess.Popen(
            [sys.executable, "-m", "ml_assets.cli", "cluster"], cwd=ROOT, text=True,
            stdout=subprocess.PIPE, env={**os.environ, "ML_ASSETS_VAR": str(folder)})
        try:
            assert process.stdout is not None
            up = process.stdout.readline()
            assert up.startswith("PostgreSQL, an S3 server and Redis are up")
            said = environment_in(written)
            assert said["ML_ASSETS_PROFILE"] == "cluster"
            assert written.stat().st_mode & 0o077 == 0
            if attempt == 0:
                second = subprocess.run(
                    [sys.executable, "-m", "ml_assets.cli", "cluster"], cwd=ROOT, text=True,
                    capture_output=True, env={**os.environ, "ML_ASSETS_VAR": str(folder)},
                    check=False)
                assert second.returncode and "postmaster.pid" in second.stderr
                assert environment_in(written) == said
            with psycopg.connect(said["ML_ASSETS_POSTGRES"]) as connection:
                if attempt == 0:
                    connection.execute("create table kept (n integer)")
                assert connection.execute("select count(*) from kept").fetchone() == (0,)
            # Without the environment's own variables, which may name other servers.
            objects = boto3.session.Session(
                said["AWS_ACCESS_KEY_ID"], said["AWS_SECRET_ACCESS_KEY"],
            ).client("s3", endpoint_url=said["AWS_ENDPOINT_URL_S3"], region_name="us-east-1")
            bucket = said["ML_ASSETS_OBJECTS"].removeprefix("s3://")
            remembered = redis.Redis.from_url(said["ML_ASSETS_REDIS"])
            if attempt == 0:
                objects.put_object(Bucket=bucket, Key="kept", Body=b"object")
                remembered.set("kept", "value")
            assert objects.get_object(Bucket=bucket, Key="kept")["Body"].read() == b"object"
            assert remembered.get("kept") == b"value"
            remembered.close()
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
            assert process.stdout is not None
            process.stdout.close()
        assert not written.exists()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                psycopg.connect(said["ML_ASSETS_POSTGRES"]).close()
            except psycopg.OperationalError:
                break
        else:
            pytest.fail("the server outlived its command")
        with pytest.raises(Exception, match="connect"):
            objects.head_bucket(Bucket=bucket)
        with pytest.raises(redis.ConnectionError):
            remembered.ping()
    shutil.rmtree(said["ML_ASSETS_POSTGRES"].partition("?host=")[2])
