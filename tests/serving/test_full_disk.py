"""A disk that is full: nothing acknowledged is lost, it is told, and it goes on by itself."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from ml_assets.core.errors import LogUnavailable
from ml_assets.core.profiles.own_postgres import OwnPostgres, programs
from ml_assets.core.settings import Settings
from ml_assets.core.storage.files import write_atomically
from ml_assets.core.storage.places import PostgresTables
from ml_assets.features.online_store.lmdb.backend import LmdbBackend
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.positions import last_position
from tests.features.online_store.kit import happened, registered
from tests.features.online_store.test_projection import VIEW, catch_up, counts, reading
from tests.ingest.log.test_event_log import prediction
from tests.places import cluster_at
from tests.serving.kit import LATER, NOON, asked, problem, serving, wait_until
from tests.serving.tiles import CountingToy, counted
from tests.small_disk import full
from tests.small_disk import small_disk as small_disk

SHOP = "corner"


@dataclass
class Asking:
    """Asks for predictions, and keeps the score of each that was acknowledged."""

    note: str
    acknowledged: dict[str, object] = field(default_factory=dict)

    def __call__(self, api: httpx.Client, event_id: str) -> httpx.Response:
        answer = api.post("/v1/toy/predict", json=asked(event_id, note=self.note, shop=SHOP))
        if answer.status_code == 200:
            self.acknowledged[event_id] = answer.json()["score"]
        return answer


def test_a_log_without_room_is_said_loses_nothing_and_goes_on_once_there_is_room(
    small_disk: Path
) -> None:
    """Predictions and told events; earlier answers can still be read meanwhile."""
    toy = CountingToy(settings=Settings(var=small_disk / "var"))
    toy.deploy(1)
    ask = Asking(note="x" * 500)

    with serving(toy) as api:
        for n in range(5):
            assert ask(api, f"before {n}").status_code == 200
        with full(small_disk):
            answers = [ask(api, f"full {n}") for n in range(40)]
            refused = [each for each in answers if each.status_code != 200]
            assert refused, "what lies in the file already may be written again, but not for long"
            for each in refused:
                said = problem(each, 503, "log_unavailable")
                assert "full" in said["message"] or "disk" in said["message"], said
                assert each.headers["retry-after"]
            again = api.post("/v1/toy/predict", json=asked("before 3", note="x" * 500, shop=SHOP))
            assert (again.status_code, again.json()["score"]) == (
                200, ask.acknowledged["before 3"])
            ready = api.get("/readyz")
            assert ready.status_code == 503 and "its disk is full" in ready.text, ready.text
            assert api.get("/healthz").status_code == 200
        wait_until(lambda: ask(api, "after").status_code == 200)
        assert ask(api, "full 39").status_code == 200, "sent again, as it was said"
        wait_until(lambda: api.get("/readyz").status_code == 200)
    with closing(EventLog(toy.settings.event_log)) as log:
        stored = [each.event_id for each in log.predictions(
            "toy", NOON - timedelta(days=1), LATER + timedelta(days=1))]
    assert sorted(stored) == sorted(ask.acknowledged), "each once, and no other"
    assert counted(toy.settings, SHOP, LATER + timedelta(hours=1)) == len(ask.acknowledged)


def test_a_state_that_cannot_grow_says_so_and_counts_all_once_there_is_room(
    small_disk: Path
) -> None:
    """The file has its room before it is used: a full disk ends no process that writes it."""
    with closing(LmdbBackend(small_disk / "online.lmdb", first_size=1 << 18)) as store:
        view_id = registered(store, VIEW)
        events = [happened(n, entity=n) for n in range(6_000)]
        catch_up(store, reading(events[:3], VIEW), (VIEW, view_id))
        with full(small_disk), pytest.raises(OSError, match="No space left"):
            catch_up(store, reading(events, VIEW), (VIEW, view_id))
        with full(small_disk):
            assert counts(store, VIEW, view_id, 0, 1, 2) == [1, 1, 1], "what is there is read"
        assert catch_up(store, reading(events, VIEW), (VIEW, view_id)) == 6_000
        assert set(counts(store, VIEW, view_id, *range(6_000))) == {1}


def test_a_partition_without_room_leaves_the_one_before_and_nothing_beside_it(
    small_disk: Path
) -> None:
    path = small_disk / "lake" / "2024-01-09.parquet"
    write_atomically(path, b"what was there")
    with full(small_disk), pytest.raises(OSError, match="No space left"):
        write_atomically(path, bytes(1 << 20))
    assert path.read_bytes() == b"what was there"
    assert list(path.parent.iterdir()) == [path]
    write_atomically(path, bytes(1 << 20))
    assert path.stat().st_size == 1 << 20


def test_a_server_without_room_is_said_and_loses_nothing_that_was_acknowledged(
    small_disk: Path, postgres_server: OwnPostgres
) -> None:
    """The tables of the log lie on a disk of their own, which is full for a while."""
    from ml_assets.core.storage.postgres import session

    space = small_disk / "tables"
    space.mkdir()
    shutil.chown(space, postgres_server.folder.owner())
    with session(PostgresTables(postgres_server.url, "public", "pg_class")) as database:
        database.run(f"create tablespace small location '{space}'")
    place = PostgresTables(f"{postgres_server.url}&options=-cdefault_tablespace%3Dsmall",
                           "test_full", "predictions")
    try:
        with closing(EventLog(place)) as log:
            kept = log.append([prediction(f"before {k}") for k in range(8)])
            with full(small_disk), pytest.raises(LogUnavailable, match="No space left on device"):
                for n in range(500):
                    some = [prediction(f"{n} {k}", request="x" * 1000) for k in range(8)]
                    kept += log.append(some)
            assert log.count("toy") == (len(kept), 0)
            assert [each.event_id for each in log.append(some)] == [each.event_id for each in some]
            assert log.count("toy") == (len(kept) + 8, 0)
            assert last_position(log.connection) == len(kept) + 8
    finally:
        with session(PostgresTables(postgres_server.url, "public", "pg_class")) as database:
            database.run("drop schema test_full cascade")
            database.run("drop tablespace small")


@pytest.fixture
def small_wal(small_disk: Path, postgres_server: OwnPostgres) -> Iterator[OwnPostgres]:
    """A server whose write-ahead log, in segments of 1 MB, lies on the small disk.

    postgres_server: whether there is PostgreSQL at all
    """
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:
        server = OwnPostgres(Path(folder))
        server.start()
        server.stop()
        data, owner = server.folder / "data", server.folder.owner()
        subprocess.run([programs() / "pg_resetwal", "--wal-segsize=1", "-D", data],
                       user=owner, check=True, capture_output=True)
        shutil.copytree(data / "pg_wal", small_disk / "pg_wal")
        for each in (small_disk / "pg_wal", *(small_disk / "pg_wal").rglob("*")):
            shutil.chown(each, owner)
        shutil.rmtree(data / "pg_wal")
        (data / "pg_wal").symlink_to(small_disk / "pg_wal")
        server.start()
        yield server
        server.stop()


def test_a_server_without_room_for_its_write_ahead_log_loses_nothing_acknowledged(
    small_disk: Path, small_wal: OwnPostgres, tmp_path: Path
) -> None:
    """It ends by itself. Once it was started again, with some room, the API goes on by itself."""
    cluster = cluster_at(small_wal.url, tmp_path / "shared")
    toy = CountingToy(settings=Settings(var=tmp_path / "var", cluster=cluster))
    toy.deploy(1)
    ask = Asking(note="x" * 900)

    with serving(toy) as api:
        for n in range(5):
            assert ask(api, f"before {n}").status_code == 200
        with full(small_disk):
            refused = []
            for n in range(5_000):
                answer = ask(api, f"full {n}")
                if answer.status_code != 200:
                    refused.append(problem(answer, 503, "log_unavailable")["message"])
                if not small_wal.is_up:
                    break
            assert not small_wal.is_up
            assert "No space left on device" in refused[0], refused[0]
            problem(ask(api, "away"), 503, "log_unavailable")
            ready = api.get("/readyz")
            assert ready.status_code == 503 and "cannot open the event log" in ready.text
            assert api.get("/healthz").status_code == 200
        small_wal.start()
        wait_until(lambda: ask(api, "away").status_code == 200)
        wait_until(lambda: api.get("/readyz").status_code == 200)
        for event_id, score in list(ask.acknowledged.items()):
            again = ask(api, event_id)
            assert (again.status_code, again.json()["score"]) == (200, score)
    with closing(EventLog(cluster.event_log)) as log:
        stored = [each.event_id for each in log.predictions(
            "toy", NOON - timedelta(days=1), LATER + timedelta(days=1))]
    assert len(stored) == len(set(stored)) and set(ask.acknowledged) <= set(stored)
    assert counted(toy.settings, SHOP, LATER + timedelta(hours=1)) == len(stored)
