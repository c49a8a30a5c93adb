"""Every file of an installation, damaged in every way, is one line that says what to do."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from ml_assets import definitions
from ml_assets.cli import main
from ml_assets.core.errors import MlAssetsError
from ml_assets.core.settings import Settings
from ml_assets.core.storage.condition import require_sound
from ml_assets.core.storage.layout import FILES
from tests.core.kit import made, tree

MAGIC = b"SQLite format 3\0"


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


def test_looking_at_a_database_drops_no_lock_of_whoever_has_it_open(tmp_path: Path) -> None:
    """POSIX drops all locks of a process on a file that it closes: the next process to leave would
    take itself for the last and delete the write-ahead log of the one that stays.
    """
    about = next(each for each in FILES if each.name == "dagster/event_log.db")
    path = tmp_path / "event_log.db"
    leave = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); " \
            "db.execute('select * from event_logs').fetchall(); db.close()"
    with closing(sqlite3.connect(path)) as kept:
        kept.execute("pragma journal_mode=wal")
        kept.execute("create table event_logs (id integer)")
        kept.execute("insert into event_logs values (1)")
        kept.commit()
        require_sound(path, about, made=True)
        subprocess.run([sys.executable, "-c", leave, path], check=True)
        assert path.with_name("event_log.db-wal").exists()
        kept.execute("insert into event_logs values (2)")
        kept.commit()
    with closing(sqlite3.connect(path)) as read:
        assert read.execute("select count(*) from event_logs").fetchall() == [(2,)]
