"""What is LMDB's own: long keys, forks and threads, growth, a file that is not as it should be."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import threading
from hashlib import sha256
from multiprocessing.synchronize import Event
from pathlib import Path

import lmdb
import pytest

from ml_assets.core.errors import StateDamaged
from ml_assets.features.online_store.lmdb import environment, keys, unsynced
from ml_assets.features.online_store.lmdb.backend import LmdbBackend
from ml_assets.features.online_store.versions import versions_of
from tests.features.online_store.kit import happened, key, registered, rows_of
from tests.features.online_store.test_backend import COUNTS, PROFILE, count_as_of

_fork = multiprocessing.get_context("fork")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "online.lmdb"


def newest(backend: LmdbBackend, view_id: int, entities: list[bytes]) -> list[bytes | None]:
    return [
        None if blob is None else versions_of(blob)[0][2] for blob in backend.get(view_id, entities)
    ]


def test_long_entities_stay_apart_whatever_they_have_in_common(path: Path) -> None:
    """Also from those that are spelled like the short form of another one."""
    start = b"x" * (keys.LONGEST + 1)
    entities = list(dict.fromkeys([
        start[:-1], start, start + b"a", start + b"b", start * 9,
        keys.short(start), keys.short(start + b"a"), keys.short(start)[:-1],
        start[:-33] + sha256(start).digest(), b"x", start[:-8], b"x" * 8,
    ]))
    backend = LmdbBackend(path)
    view_id = registered(backend, PROFILE)
    backend.put(view_id, [(entity, 1, 0, b"%d" % n) for n, entity in enumerate(entities)])
    assert newest(backend, view_id, entities) == [b"%d" % n for n in range(len(entities))]
    assert backend.count(view_id) == len(entities)
    assert sorted(each for some in backend.entities(view_id) for each in some) == sorted(entities)

    counts_id = registered(backend, COUNTS)
    [(_, at, uid, row)] = rows_of(COUNTS, [happened(1)])
    rows = [(entity, at, uid, row) for entity in entities]
    assert backend.append(COUNTS, counts_id, rows) == len(entities)
    assert backend.append(COUNTS, counts_id, rows) == 0
    assert backend.expire(COUNTS, counts_id, 1000) == len(entities)
    backend.drop(view_id)
    backend.drop(counts_id)
    backend.close()
    with lmdb.open(str(path), subdir=False) as env, env.begin() as txn:
        left = list(txn.cursor().iternext(values=False))
    assert all(each.startswith(keys.OWN_NUMBER) for each in left)


def test_a_store_is_walked_through_once_its_windows_have_moved_by_an_eighth_of_their_reach(
    path: Path,
) -> None:
    """At first and then; in between nothing is looked for."""
    backend = LmdbBackend(path)
    view_id, reach = registered(backend, COUNTS), COUNTS.horizon
    assert backend.holds_much(COUNTS, view_id, 1000 * reach)
    backend.expire(COUNTS, view_id, 1000 * reach)
    assert not backend.holds_much(COUNTS, view_id, 1000 * reach + reach // 8 - COUNTS.tile)
    assert backend.holds_much(COUNTS, view_id, 1000 * reach + reach // 8 + COUNTS.tile)
    backend.close()


def test_the_file_is_open_to_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        LmdbBackend(tmp_path / "new" / "online.lmdb").close()
    finally:
        os.umask(before)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in tmp_path.rglob("*")}
    assert modes == {"new": 0o700, "online.lmdb": 0o600, "online.lmdb-lock": 0o600,
                     "online.lmdb-unsynced": 0o600, "online.lmdb-writer": 0o600}


def test_a_process_goes_on_after_a_fork_and_so_does_its_child(path: Path) -> None:
    """While other threads of the parent read and write."""
    backend = LmdbBackend(path)
    view_id = registered(backend, COUNTS)
    done = threading.Event()

    def write() -> None:
        at = 1_000_000
        while not done.is_set():
            backend.append(COUNTS, view_id, rows_of(COUNTS, [happened(at, entity=1)]))
            backend.get(view_id, [key(1)])
            at += 1

    def child(number: int) -> None:
        backend.append(COUNTS, view_id, rows_of(COUNTS, [happened(number)]))
        other = LmdbBackend(path)
        assert other.get(view_id, [key(0)]) == backend.get(view_id, [key(0)])

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        children = [_fork.Process(target=child, args=(number,)) for number in range(10)]
        for each in children:
            each.start()
        for each in children:
            each.join()
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert [each.exitcode for each in children] == [0] * 10
    assert count_as_of(backend, 0, 11, view_id) == 10
    backend.close()


def test_the_file_grows_under_readers_and_writers_of_several_processes(path: Path) -> None:
    small = 1 << 20
    backend = LmdbBackend(path, first_size=small)
    view_id = registered(backend, PROFILE)

    def put(first: int) -> None:
        mine = LmdbBackend(path, first_size=small)
        for place in range(first, first + 40):
            rows = [(b"%d" % (100 * place + n), 1, 0, b"x" * 900) for n in range(100)]
            mine.put(view_id, rows)
        mine.close()

    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            assert newest(backend, view_id, [b"0", b"1"]) in ([None, None], [b"x" * 900] * 2)

    readers = [threading.Thread(target=read) for _ in range(2)]
    writers = [_fork.Process(target=put, args=(first,)) for first in (0, 40)]
    for writer in writers:
        writer.start()
    for reader in readers:
        reader.start()
    try:
        put(80)
        for writer in writers:
            writer.join()
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert backend.count(view_id) == 12_000
    assert path.stat().st_size > 10 * small
    backend.close()


def test_a_killed_reader_does_not_make_the_file_grow(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "LOOK_FOR_DEAD_EVERY", 10)
    backend = LmdbBackend(path)
    view_id = registered(backend, PROFILE)
    backend.put(view_id, [(b"%d" % place, 1, 0, b"x" * 500) for place in range(100)])

    reading = _fork.Event()

    def read() -> None:
        def wait(txn: object) -> None:
            reading.set()
            signal.pause()

        environment.environment(path, backend).read(wait)

    reader = _fork.Process(target=read)
    reader.start()
    assert reading.wait(30)
    assert reader.pid is not None
    os.kill(reader.pid, signal.SIGKILL)
    reader.join()
    for at in range(300):
        backend.put(view_id, [(b"%d" % place, at, 0, b"x" * 500) for place in range(100)])
    assert environment.environment(path, backend).size() < 4_000_000
    backend.close()


def test_what_a_killed_process_began_to_drop_goes_with_the_next_drop(path: Path) -> None:
    backend = LmdbBackend(path)
    view_id, other = registered(backend, PROFILE), registered(backend, COUNTS)
    backend.put(view_id, [(b"%d" % place, 1, 0, b"x") for place in range(10)])
    # As after `kill -9` behind the first transaction of `drop`.
    backend._env().write(lambda txn: backend._views.drop(txn, view_id))
    assert backend.count(view_id) == 10
    backend.drop(other)
    assert backend.count(view_id) == 0
    backend.close()


def _make_empty(path: Path) -> None:
    path.write_bytes(b"")


def _make_garbage(path: Path) -> None:
    path.write_bytes(b"garbage " * 5000)


def _cut_off(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(20_000)


def _make_foreign(path: Path) -> None:
    path.unlink()
    with lmdb.open(str(path), subdir=False) as env, env.begin(write=True) as txn:
        txn.put(b"a", b"b")


def _make_newer(path: Path) -> None:
    with lmdb.open(str(path), subdir=False) as env, env.begin(write=True) as txn:
        txn.put(keys.OWN_NUMBER + b"format", b"2")


@pytest.mark.parametrize(("damage", "said"), [
    (_make_garbage, r"is damaged: .*not an LMDB file.*feast materialize"),
    (_cut_off, r"is damaged: it has \d+ bytes of \d+.*feast materialize"),
    (_make_foreign, "is foreign: an LMDB file, but no online store.*another path"),
    (_make_newer, "has format 2; this version of ml-assets knows 1: install the newer"),
])
def test_a_file_that_is_not_as_it_should_be_is_one_clear_error(
    path: Path, damage: object, said: str
) -> None:
    backend = LmdbBackend(path)
    backend.put(registered(backend, PROFILE), [
        (b"%d" % place, 1, 0, b"x" * 100) for place in range(1000)
    ])
    backend.close()
    damage(path)  # type: ignore[operator]
    with pytest.raises(StateDamaged, match=said):
        LmdbBackend(path)


def test_a_file_that_is_replaced_while_it_is_used_is_not_written_to(path: Path) -> None:
    backend = LmdbBackend(path)
    view_id = registered(backend, PROFILE)
    path.rename(path.with_name("aside.lmdb"))
    with pytest.raises(StateDamaged, match=r"online.lmdb was deleted while this process used it"):
        backend.put(view_id, [(b"a", 1, 0, b"x")])
    backend.close()


# Power cuts


@pytest.fixture
def boot(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Says which boot of the machine it is."""
    said = path.with_name("boot_id")
    said.write_text("first\n")
    monkeypatch.setattr(unsynced, "BOOT_ID", said)
    return said


def write(path: Path, ready: Event, go: Event) -> None:
    backend = LmdbBackend(path)
    backend.put(registered(backend, PROFILE), [(b"ann", 1, 0, b"x")])
    ready.set()
    go.wait()
    backend.close()


def test_a_file_that_was_left_in_order_is_trusted_after_the_machine_was_started_anew(
    path: Path, boot: Path
) -> None:
    backend = LmdbBackend(path)
    view_id = registered(backend, PROFILE)
    backend.close()
    boot.write_text("second")
    assert registered(backend, PROFILE) == view_id
    backend.close()


def test_a_file_that_was_being_written_when_the_machine_stopped_is_not_trusted(
    path: Path, boot: Path
) -> None:
    """But it is after `kill -9`, which the machine survives."""
    ready, go = _fork.Event(), _fork.Event()
    writer = _fork.Process(target=write, args=(path, ready, go))
    writer.start()
    assert ready.wait(30)
    writer.kill()
    writer.join()
    kept = path.with_name("online.lmdb-unsynced").read_bytes()
    assert kept == b"first"
    backend = LmdbBackend(path)
    assert newest(backend, registered(backend, PROFILE), [b"ann"]) == [b"x"]
    backend.close()
    path.with_name("online.lmdb-unsynced").write_bytes(kept)
    boot.write_text("second")
    with pytest.raises(StateDamaged, match=r"when the machine stopped\. Stop all that uses it"):
        LmdbBackend(path)
    path.unlink()
    assert LmdbBackend(path).views() == {}


def test_the_last_writer_to_leave_syncs_the_file(path: Path, boot: Path) -> None:
    ready, go = _fork.Event(), _fork.Event()
    writer = _fork.Process(target=write, args=(path, ready, go))
    backend = LmdbBackend(path)
    registered(backend, PROFILE)
    writer.start()
    assert ready.wait(30)
    mark = path.with_name("online.lmdb-unsynced")
    backend.close()
    assert mark.read_bytes() == b"first"
    go.set()
    writer.join()
    assert writer.exitcode == 0
    assert mark.read_bytes() == b""
