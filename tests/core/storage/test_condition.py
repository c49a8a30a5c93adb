"""Every file of an installation, damaged in every way, is one line that says what to do."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from ml_assets import definitions
from ml_assets.cli import main
from ml_assets.core.errors import MlAssetsError
from ml_assets.core.settings import Settings
from ml_assets.core.storage.condition import MAGIC
from ml_assets.core.storage.layout import FILES
from tests.core.kit import made, tree


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])


def _random(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


def _scrambled(path: Path) -> None:
    """With its first bytes as they were."""
    path.write_bytes(MAGIC + os.urandom(5000) if _is_sqlite(path) else b"{" + os.urandom(50))


def _deleted(path: Path) -> None:
    path.unlink()


def _unreadable(path: Path) -> None:
    """Root reads every file, so something that nobody can read as one."""
    path.unlink()
    path.mkdir()


def _newer(path: Path) -> None:
    if _is_sqlite(path):
        with closing(sqlite3.connect(path)) as db:
            db.execute("pragma user_version=99")
    else:
        said = json.loads(path.read_bytes())
        said = said if isinstance(said, dict) else {"tokens": said}
        path.write_text(json.dumps({**said, "format": 99}))


def _foreign(path: Path) -> None:
    if _is_sqlite(path):
        path.unlink()
        with closing(sqlite3.connect(path)) as db:
            db.execute("create table photos (id integer)")
            db.commit()
    else:
        path.write_text('{"photos": []}')


def _is_sqlite(path: Path) -> bool:
    return path.suffix in (".sqlite", ".db")


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "empty": (_empty, "is empty"), "truncated": (_truncated, "is damaged"),
    "random": (_random, "is damaged"), "scrambled": (_scrambled, "is damaged"),
    "deleted": (_deleted, "is missing"), "unreadable": (_unreadable, "cannot be read"),
    "newer": (_newer, "has format 99"), "foreign": (_foreign, "is foreign"),
}
NAMES = [about.name for about in FILES]


@pytest.fixture
def installation(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    made(settings)
    monkeypatch.setenv("ML_ASSETS_VAR", str(settings.var))
    for path in settings.var.rglob("*"):
        if path.name.endswith(("-wal", "-shm")) and path.stat().st_size == 0:
            path.unlink()
    return settings


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_one_line_that_names_it_and_says_what_to_do(
    installation: Settings, name: str, damage: str
) -> None:
    """By every command, and nothing is made in its place."""
    harm, says = DAMAGES[damage]
    path = installation.var / name
    harm(path)
    before = tree(installation.var)
    for command in (["status"], ["serve", "--port", "0"], ["explain", "x"], ["run", "spam"]):
        result = CliRunner().invoke(main, command)
        lines = result.output.strip().splitlines()
        assert (result.exit_code, len(lines)) == (1, 1), result.output
        assert str(path) in lines[0] and says in lines[0]
        assert "backup" in lines[0] or "ml-assets doctor --mend" in lines[0], lines
    with pytest.raises(MlAssetsError, match=says) as caught:
        definitions._sound()
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    after = tree(installation.var)
    assert {each for each in after if not each.endswith(("-wal", "-shm", ".lock"))} == {
        each for each in before if not each.endswith(("-wal", "-shm", ".lock"))}
    assert after.get(name) == before.get(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_was_never_made_is_no_loss(
    settings: Settings, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new installation has none of them."""
    monkeypatch.setenv("ML_ASSETS_VAR", str(settings.var))
    assert CliRunner().invoke(main, ["token", "list"]).exit_code == 0
    assert not (settings.var / name).exists()
    definitions._sound()
