"""An S3-compatible server of our own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from ml_assets.core.objects import bucket
from ml_assets.core.profiles.own_objects import OwnObjects
from tests.own_server import own_server

_numbers = count()


@pytest.fixture(scope="session")
def objects_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnObjects]:
    """One for all tests of a process, whose clients find it by AWS's variables."""
    folder = tmp_path_factory.mktemp("objects")
    with own_server(lambda: OwnObjects(folder), client="boto3", extra="cluster") as server:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in server.environment.items():
                if name.startswith("AWS_"):  # which bucket is for each test to say
                    patch.setenv(name, value)
            bucket._client.cache_clear()
            yield server
        bucket._client.cache_clear()


@pytest.fixture
def objects_url(objects_server: OwnObjects) -> str:
    """Where nothing lies yet."""
    return f"{objects_server.url}/test-{next(_numbers)}"


def objects_in(server: OwnObjects, url: str) -> dict[str, bytes]:
    """What really lies there, without any client."""
    root = server.folder / "data" / url.removeprefix("s3://")
    return {path.relative_to(root).as_posix(): path.read_bytes()
            for path in root.rglob("*") if path.is_file()}
