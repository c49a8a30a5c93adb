"""Nothing is deleted where it is not ours, and everything of ours is closed to others."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ml_assets.cli import main
from ml_assets.core.errors import InstallationRefused, StateDamaged
from ml_assets.core.installation import check, claim, require_marked
from ml_assets.core.settings import Settings
from ml_assets.core.storage.files import delete_tree
from ml_assets.core.storage.marker import MARKER, read_marker
from ml_assets.core.time import EventClock
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.registry.deployments import Deployments
from ml_assets.serving.access.tokens import Tokens
from tests.core.kit import NOON, made, tree
from tests.places import file_of


def ran(settings: Settings, *arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(
        main, arguments, env={"ML_ASSETS_VAR": str(settings.var),
                              "ML_ASSETS_CACHE": str(settings.cache), **environment})


def one_line(result: Result) -> str:
    """What a refused command said: one line, and no traceback."""
    assert result.exit_code == 1, result.output
    lines = result.output.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("Error: "), result.output
    return lines[0]


# --- whose folder it is -------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [
    ("run", "spam", "--fresh"), ("run", "spam"), ("serve",), ("status",), ("token", "list"),
    ("rollout", "status", "spam"),
])
@pytest.mark.parametrize("holds", [
    ("holiday.jpg",), ("2024/beach.jpg", "2025/snow.jpg"), ("logs/mine.txt",), ("lake/boat.jpg",),
    (".bashrc",), ("event_log.sqlite",), ("mlflow/mlflow.sqlite", "mlruns/x"),
    ("holiday.jpg", "replay.lock"),
])
def test_a_folder_of_somebody_else_is_refused_and_left_as_it_was(
    settings: Settings, arguments: tuple[str, ...], holds: tuple[str, ...]
) -> None:
    for name in holds:
        path = settings.var / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    before = tree(settings.var)
    said = one_line(ran(settings, *arguments))
    assert str(settings.var) in said and "is not an installation" in said
    assert "Set ML_ASSETS_VAR to a new or empty folder" in said
    assert tree(settings.var) == before


@pytest.mark.parametrize("folder", ["/", "home", "above the home", "the checkout", "above it"])
@pytest.mark.parametrize("marked", [False, True])
def test_a_folder_that_holds_much_more_than_an_installation_is_refused(
    folder: str, marked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even with a marker, which may have been copied there."""
    home = tmp_path / "users" / "ann"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr("ml_assets.core.installation.ROOT", tmp_path / "code" / "ml")
    var = {"/": Path("/"), "home": home, "above the home": home.parent,
           "the checkout": tmp_path / "code" / "ml", "above it": tmp_path / "code"}[folder]
    if marked and folder != "/":
        made(Settings(var=tmp_path / "var"))
        var.mkdir(parents=True, exist_ok=True)
        (var / MARKER).write_bytes((tmp_path / "var" / MARKER).read_bytes())
        (var / "logs").mkdir()
    with pytest.raises(InstallationRefused, match="cannot be an installation's folder"):
        claim(Settings(var=var))
    with pytest.raises(InstallationRefused, match="cannot be an installation's folder"):
        require_marked(var)
    if marked and folder != "/":
        assert (var / "logs").exists()


@pytest.mark.parametrize("holds", [(), ("cache/x.tgz",), ("lost+found/x",), (".gitkeep",),
                                   ("tokens.json",), ("replay.lock",), ("benchmarks/plot.png",),
                                   ("bench/asgi/pyvenv.cfg",)])
def test_a_folder_that_is_new_or_as_good_as_empty_becomes_an_installation(
    settings: Settings, holds: tuple[str, ...]
) -> None:
    for name in holds:
        path = settings.var / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("[]")
    claim(settings)
    assert read_marker(settings.var) is not None
    claim(settings)


def test_an_installation_of_an_earlier_version_is_adopted_with_what_it_holds(
    settings: Settings
) -> None:
    """It has no marker; its databases prove that it is ours, and a loss is noticed from now on."""
    made(settings)
    (settings.var / MARKER).unlink()
    (settings.var / "notes.txt").write_text("mine")
    claim(settings)
    marker = read_marker(settings.var)
    assert marker is not None
    assert {"systems/toy/clock.json", "event_log.sqlite", "deployments.sqlite"} <= set(marker.files)
    file_of(settings.event_log).unlink()
    with pytest.raises(StateDamaged, match=r"event_log\.sqlite .* is missing"):
        claim(settings)


def test_folders_without_a_file_do_not_make_a_folder_somebody_elses(settings: Settings) -> None:
    """To load the definitions makes `feast/`, before there is an installation."""
    (settings.var / "feast").mkdir(parents=True)
    (settings.var / "lake" / "toy" / "raw").mkdir(parents=True)
    claim(settings)
    claim(settings)


@pytest.mark.parametrize("damage", ["deleted", "emptied", "a file"])
@pytest.mark.parametrize("name", ["lake", "mlflow/artifacts"])
def test_a_folder_that_was_lost_is_named(settings: Settings, name: str, damage: str) -> None:
    made(settings)
    folder = settings.var / name
    (folder / "toy").mkdir(parents=True, exist_ok=True)
    claim(settings)
    shutil.rmtree(folder)
    if damage == "emptied":
        folder.mkdir()
    elif damage == "a file":
        folder.write_text("")
    said = one_line(ran(settings, "status"))
    assert f"{folder} (" in said and f"doctor --give-up {name}" in said
    assert ran(settings, "doctor", "--give-up", name).exit_code == 0
    assert ran(settings, "doctor").exit_code == 0


# --- what is deleted ----------------------------------------------------------------------


def test_in_a_folder_without_a_marker_nothing_is_deleted(settings: Settings) -> None:
    made(settings)
    require_marked(settings.var)
    (settings.var / MARKER).unlink()
    with pytest.raises(InstallationRefused, match=f"has no {MARKER}"):
        require_marked(settings.var)


def test_of_a_link_only_the_link_is_deleted(tmp_path: Path) -> None:
    big, ours = tmp_path / "big", tmp_path / "lake" / "toy"
    big.mkdir()
    (big / "beach.jpg").write_text("mine")
    ours.mkdir(parents=True)
    (ours / "album").symlink_to(big)
    (ours.parent / "meter").symlink_to(big)
    for path in (ours, ours.parent / "meter"):
        delete_tree(path, keeping=tmp_path / "cache")
    assert (big / "beach.jpg").read_text() == "mine"
    assert list(ours.parent.iterdir()) == []
    delete_tree(ours, keeping=tmp_path / "cache")


@pytest.mark.parametrize("place", ["lake/toy/cache", "lake/toy/a/b"])
def test_the_cache_stays_wherever_it_lies(place: str, tmp_path: Path) -> None:
    cache = tmp_path / place
    cache.mkdir(parents=True)
    (cache / "x.tgz").write_text("fetched")
    (cache.parent / "beside").write_text("ours")
    delete_tree(tmp_path / "lake", keeping=cache)
    assert (cache / "x.tgz").read_text() == "fetched"
    assert not (cache.parent / "beside").exists()


def test_the_cache_is_not_the_installation_itself(settings: Settings) -> None:
    made(settings)
    said = one_line(ran(Settings(var=settings.var, cache=settings.var), "status"))
    assert "ML_ASSETS_CACHE and ML_ASSETS_VAR are both" in said


# --- who may read it ----------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o027])
def test_what_is_made_is_open_to_its_owner_alone_whatever_the_umask(
    settings: Settings, umask: int
) -> None:
    before = os.umask(umask)
    try:
        EventClock(settings.clock_file("toy")).set(NOON)
        Tokens(settings.tokens).create("ann", ["admin"], [], NOON)
        log = EventLog(settings.event_log)
        Deployments(settings.deployments).promote("spam", 1, reason="x", by="x", at=NOON)
        log.check()
        _require_private(settings.var)
        assert (settings.var / "event_log.sqlite-wal").exists()
        log.close()
    finally:
        os.umask(before)


def test_the_modes_of_an_earlier_installation_are_mended(settings: Settings) -> None:
    made(settings)
    open_file = EventLog(settings.event_log)
    open_file.check()
    settings.var.chmod(0o755)
    for path in settings.var.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    claim(settings)
    _require_private(settings.var, settings.var / "lake")
    open_file.close()


def _require_private(folder: Path, *inside: Path) -> None:
    """Others can enter nothing, and of what lies at the top they can read nothing."""
    for path in (folder, *folder.iterdir()):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), (path, oct(mode))


# --- a folder that cannot be used, a marker that is damaged --------------------------------


@pytest.mark.parametrize("var", ["/proc/nope", "/dev/null", "/dev/null/x"])
@pytest.mark.parametrize("command", [("serve",), ("status",), ("run", "spam"), ("token", "list")])
def test_a_folder_that_cannot_be_made_is_named_and_nothing_starts(
    command: tuple[str, ...], var: str
) -> None:
    said = one_line(ran(Settings(var=Path(var)), *command))
    assert var in said and "Set ML_ASSETS_VAR to a folder that can be created and written" in said


@pytest.mark.parametrize(("content", "says"), [
    (b"", "is empty"), (b"{", "is damaged"), (b"\x93" * 99, "is damaged"), (b"[]", "is damaged"),
    (b'{"product": "ml-assets"}', "is damaged"), (b'{"product": "other", "format": 1}', "foreign"),
    (b'{"product": "ml-assets", "format": 2}', "newer version"),
    (b'{"product": "ml-assets", "format": 1}', "is damaged"),
])
def test_a_marker_that_is_not_ours_or_damaged_is_named(
    settings: Settings, content: bytes, says: str
) -> None:
    claim(settings)
    (settings.var / MARKER).write_bytes(content)
    said = one_line(ran(settings, "status"))
    assert MARKER in said and says in said


def test_the_check_writes_nothing(settings: Settings) -> None:
    check(settings)
    assert not settings.var.exists()
    made(settings)
    before = tree(settings.var)
    check(settings)
    assert tree(settings.var) == before


def test_the_marker_says_what_was_made(settings: Settings) -> None:
    made(settings)
    said = json.loads((settings.var / MARKER).read_bytes())
    assert said["product"] == "ml-assets" and said["format"] == 1
    assert "event_log.sqlite" in said["files"]
    with sqlite3.connect(file_of(settings.event_log)) as db:
        assert db.execute("select count(*) from predictions").fetchone() == (0,)
