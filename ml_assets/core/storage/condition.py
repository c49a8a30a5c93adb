"""The condition of a file of an installation: sound, or damaged in one of a few ways."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from ml_assets.core.errors import StateDamaged
from ml_assets.core.storage.layout import StateFile


def require_sound(path: Path, about: StateFile, *, made: bool) -> None:
    """Raise StateDamaged if the file cannot be used. Takes about 0.3 ms.

    made: whether it was created before, so it must exist and not be empty
    """
    trouble = trouble_of(path, about, made=made)
    if trouble is not None:
        raise damaged(path, about, trouble)


def damaged(path: Path, about: StateFile, trouble: str) -> StateDamaged:
    """The error that names the file and says what to do, in one line."""
    first, rest = about.remedy[0], about.remedy[1:]
    return StateDamaged(
        " ".join(f"{path} ({about.holds}) {trouble}. {first.upper()}{rest}".split()))


def read_object(path: Path, holds: str, remedy: str) -> dict[str, Any]:
    """The JSON object in an existing file. Raises StateDamaged, which says what to do.

    For the many files that are not in the table of `core.layout`.
    """
    about = StateFile(name=path.name, holds=holds, remedy=remedy)
    try:
        said = json.loads(path.read_bytes())
    except OSError as error:
        raise damaged(path, about, f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        trouble = "is empty" if path.stat().st_size == 0 else f"is damaged: not JSON ({error})"
        raise damaged(path, about, trouble) from error
    if not isinstance(said, dict):
        raise damaged(path, about, "is damaged: it is not a JSON object")
    return said


def trouble_of(path: Path, about: StateFile, *, made: bool, deep: bool = False) -> str | None:
    """What is wrong with the file, as the end of a sentence; None if nothing is.

    deep: also read every page of a SQLite file (about a second per GB)
    """
    try:
        if not path.exists():
            return "is missing, though it once existed" if made else None
        if about.is_folder:
            return _trouble_of_folder(path) if made else None
        if not path.is_file():
            return "cannot be read: it is not a file"
        if path.stat().st_size == 0:
            return "is empty" if made else None  # another process is making it
        if about.is_json:
            return _trouble_of_json(path, about)
        return _trouble_of_sqlite(path, about, made=made, deep=deep)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"


def _trouble_of_folder(path: Path) -> str | None:
    if not path.is_dir():
        return "cannot be read: it is not a folder"
    return None if any(path.iterdir()) else "is empty"


def _trouble_of_json(path: Path, about: StateFile) -> str | None:
    text = path.read_bytes()
    if not text.strip():
        return "is empty"
    try:
        said = json.loads(text)
    except ValueError as error:  # of characters too
        return f"is damaged: not JSON ({error})"
    if isinstance(said, dict):
        written = said.get("format", about.formats)
        if written != about.formats:
            return _of_another_format(written, about)
        if about.proof is not None and about.proof in said:
            return None
        return f"is foreign: it lacks {about.proof!r}" if about.proof else "is foreign: not a list"
    return "is foreign: it is not a JSON object" if about.proof else None


def _trouble_of_sqlite(path: Path, about: StateFile, *, made: bool, deep: bool) -> str | None:
    # By SQLite alone: whoever closes a file of another's opening drops all locks of the process on
    # it, and the next process to leave takes itself for the last and deletes the write-ahead log.
    try:
        # Read and write, to clean up after a process that died; never created.
        uri = f"{path.resolve().as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, timeout=5)) as db:
            (version,) = db.execute("pragma user_version").fetchone()
            if version > about.formats:
                return _of_another_format(version, about)
            tables = {name for (name,) in db.execute("select name from sqlite_master")}
            if about.proof not in tables and made:
                return f"is foreign: it has no table {about.proof!r}"
            if deep:
                (said,) = db.execute("pragma quick_check(1)").fetchone()
                if said != "ok":
                    return f"is damaged: {said}"
    except sqlite3.OperationalError as error:
        # Another process has locked it, so it can be used.
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return None
        return f"cannot be opened: {error}"
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
            return "is damaged: it is not a SQLite database"
        return f"is damaged: {error}"
    return None


def _of_another_format(written: object, about: StateFile) -> str:
    return (f"has format {written!r}; this version of ml-assets knows {about.formats}: install the "
            "newer version that wrote it, or continue without it")
