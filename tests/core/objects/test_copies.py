"""Files that all hosts share through object storage: whole or not at all, and never of earlier."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ml_assets.core.errors import DeclarationError, ObjectsUnavailable
from ml_assets.core.objects import bucket
from ml_assets.core.objects.bucket import Bucket
from ml_assets.core.objects.copies import mounted
from ml_assets.core.profiles.own_objects import OwnObjects
from ml_assets.core.settings import ROOT
from ml_assets.core.storage import mounts
from ml_assets.core.storage.files import delete_tree, replacing, write_atomically
from ml_assets.core.storage.mounts import (
    FollowedFile,
    current,
    current_all,
    current_folder,
    listed,
    remove,
)
from tests.objects_server import objects_in
from tests.serving.kit import wait_until


@pytest.fixture
def hosts(tmp_path: Path, objects_url: str) -> tuple[Path, Path]:
    """Their folders of copies, of the same objects."""
    return mounted(tmp_path / "first", objects_url), mounted(tmp_path / "second", objects_url)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*") if path.is_file())


def test_what_one_host_writes_another_reads_and_reads_anew_once_it_is_replaced(
    hosts: tuple[Path, Path], objects_server: OwnObjects, objects_url: str
) -> None:
    first, second = hosts
    write_atomically(first / "lake" / "a.json", b"1")
    assert objects_in(objects_server, objects_url) == {"lake/a.json": b"1"}
    assert current(second / "lake" / "a.json").read_bytes() == b"1"
    # Of the same size, within the same second.
    write_atomically(first / "lake" / "a.json", b"2")
    assert current(second / "lake" / "a.json").read_bytes() == b"2"
    assert current(first / "lake" / "a.json").read_bytes() == b"2"
    write_atomically(second / "lake" / "a.json", b"3")
    assert current(first / "lake" / "a.json").read_bytes() == b"3"


def test_a_copy_that_is_current_is_not_fetched_again(hosts: tuple[Path, Path]) -> None:
    first, second = hosts
    write_atomically(first / "a", b"1")
    inodes = {current(folder / "a").stat().st_ino for folder in hosts for _ in range(2)}
    assert len(inodes) == 2
    (second / "a").write_bytes(b"5")
    assert current(second / "a").read_bytes() == b"1"  # nobody's but this host's


def test_a_range_and_a_folder_are_what_lies_there_now(hosts: tuple[Path, Path]) -> None:
    first, second = hosts
    days = [f"2024-01-{day:02}.parquet" for day in range(1, 13)]
    for day in days:
        write_atomically(first / "t" / "s" / day, day.encode())
    table = second / "t" / "s"
    current_all([table / day for day in days[3:6]])
    assert names_in(table) == days[3:6]
    current(table / days[0])
    assert names_in(table) == [days[0], *days[3:6]]
    assert sorted(path.name for path in listed(table, "[0-9]*.parquet")) == days
    remove(first / "t" / "s" / days[4])
    current_all([table / day for day in days[3:5]])
    assert names_in(table) == [days[0], days[3], days[5]]
    current_folder(second / "t")
    assert names_in(table) == [day for day in days if day != days[4]]
    delete_tree(first / "t", keeping=first / "cache")
    current_folder(table)
    assert names_in(table) == [] and list(listed(table, "*")) == []


def test_names_that_begin_alike_are_not_mixed_up(hosts: tuple[Path, Path]) -> None:
    first, second = hosts
    for name in ("1.json", "1.json-old", "12.json", "a/1.json"):
        write_atomically(first / name, name.encode())
    current(second / "1.json")
    assert names_in(second) == ["1.json"]
    remove(first / "1.json")
    assert not current(second / "1.json").exists()
    assert current(second / "a" / "1.json").read_bytes() == b"a/1.json"


KILLED = """
import os, signal, sys
from pathlib import Path
from ml_assets.core.objects.copies import mounted
from ml_assets.core.storage.files import replacing
folder = mounted(Path(sys.argv[1]), sys.argv[2])
with replacing(folder / "a") as temporary:
    temporary.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_write_that_is_killed_or_fails_leaves_what_was_there(
    hosts: tuple[Path, Path], objects_server: OwnObjects, objects_url: str
) -> None:
    first, second = hosts
    write_atomically(first / "a", b"whole")
    killed = subprocess.run([sys.executable, "-c", KILLED, first, objects_url], cwd=ROOT,
                            check=False)
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(ZeroDivisionError), replacing(first / "a") as temporary:
        temporary.write_bytes(b"half")
        _ = 1 / 0
    assert objects_in(objects_server, objects_url) == {"a": b"whole"}
    assert current(second / "a").read_bytes() == b"whole"


def test_a_body_that_ends_too_early_makes_no_object(
    tmp_path: Path, objects_server: OwnObjects, objects_url: str
) -> None:
    """As if its writer had died while it sent the object."""
    import boto3

    store = Bucket.parse(objects_url)
    url = boto3.client("s3").generate_presigned_url(
        "put_object", {"Bucket": store.name, "Key": f"{store.prefix}/a"})
    import socket
    from urllib.parse import urlsplit

    at = urlsplit(url)
    assert at.port is not None
    with socket.create_connection((at.hostname, at.port)) as sending:
        sending.sendall(f"PUT {at.path}?{at.query} HTTP/1.1\r\nHost: {at.netloc}\r\n"
                        "Content-Length: 1000\r\n\r\n".encode() + b"half")
    assert store.get("a", tmp_path / "got") is None
    assert list(store.list("")) == []


def test_a_store_that_is_away_is_told_and_changes_no_copy(
    hosts: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = hosts
    write_atomically(first / "a", b"1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setattr(bucket, "ATTEMPTS", 1)
    bucket._client.cache_clear()
    try:
        with pytest.raises(ObjectsUnavailable, match=r"cannot reach .*127.0.0.1:9.*AWS_ENDPOINT"):
            write_atomically(first / "a", b"2")
        with pytest.raises(ObjectsUnavailable):
            current(first / "a")
        assert (first / "a").read_bytes() == b"1"
    finally:
        bucket._client.cache_clear()


def test_a_file_that_is_followed_becomes_the_latest_and_stays_while_the_store_is_away(
    hosts: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = hosts
    monkeypatch.setattr(mounts, "FOLLOW_S", 0.0)
    write_atomically(first / "a", b"1")
    followed = FollowedFile(second / "a")
    wait_until(lambda: followed.look().exists() and followed.look().read_bytes() == b"1")
    write_atomically(first / "a", b"2")
    wait_until(lambda: followed.look().read_bytes() == b"2")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setattr(bucket, "ATTEMPTS", 1)
    bucket._client.cache_clear()
    try:
        for _ in range(20):
            assert followed.look().read_bytes() == b"2"
            time.sleep(0.01)
        followed._asking.join()
    finally:
        bucket._client.cache_clear()


def test_a_missing_bucket_and_wrong_credentials_say_what_to_correct(
    objects_server: OwnObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ObjectsUnavailable, match=r"there is no bucket 'none-such'.*OBJECTS"):
        Bucket.parse("s3://none-such/x").require()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    bucket._client.cache_clear()
    try:
        with pytest.raises(ObjectsUnavailable, match="refuses these credentials") as refused:
            Bucket.parse(objects_server.url).require()
        assert "wrong" not in str(refused.value)
    finally:
        bucket._client.cache_clear()


@pytest.mark.parametrize("url", ["s3:bucket", "s3://B", "https://x/y", "s3://bucket/a//b", ""])
def test_what_is_no_bucket_is_refused(url: str) -> None:
    with pytest.raises(DeclarationError, match="expected s3://bucket"):
        Bucket.parse(url)


def test_without_objects_nothing_of_s3_is_imported() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "import sys, ml_assets.core.settings, ml_assets.ingest.lake\n"
         "print({'boto3', 'botocore'} & set(sys.modules))"],
        cwd=ROOT, capture_output=True, text=True, check=True, env={**os.environ})
    assert said.stdout.strip() == "set()"
