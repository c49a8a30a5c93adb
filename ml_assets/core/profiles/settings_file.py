"""`settings.toml` of a project: what its profiles set, beneath the environment.

    [profiles.cluster]
    postgres = "postgresql://ml_assets@db.example/ml_assets"
    port = 8080

A key is the name of an environment variable without `ML_ASSETS_`, in lower case; the variable
itself, if it is set, counts more. Passwords belong in the environment (`PGPASSWORD`) or in files
that the clients know (`~/.pgpass`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from ml_assets.core.declaration import closest
from ml_assets.core.errors import DeclarationError

FILE, TABLE = "settings.toml", "profiles"
Profile = Literal["local", "cluster"]
"""`local`: files of one machine, the default. `cluster`: servers that several hosts share."""
PROFILES: tuple[Profile, ...] = get_args(Profile)


def profile_named(name: str) -> Profile:
    """Raises DeclarationError if there is none of this name."""
    found = next((known for known in PROFILES if known == name), None)
    if found is None:
        raise DeclarationError(f"ML_ASSETS_PROFILE is {name!r}; expected local or cluster")
    return found


def settings_in(folder: Path, profile: Profile, known: Sequence[str]) -> Mapping[str, str]:
    """What the file in `folder` sets in a profile, by names of variables; nothing without a file.

    known: the names that a profile may set. Raises DeclarationError for anything else; messages
    do not repeat values, which may be secret.
    """
    path = folder / FILE
    try:
        said = tomllib.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DeclarationError(f"{path} is no TOML: {error}") from error
    except OSError as error:
        raise DeclarationError(f"{path} cannot be read: {error.strerror}") from error
    _require_known(f"{path}", said, (TABLE,))
    profiles = _table(f"{path}: {TABLE}", said.get(TABLE, {}))
    _require_known(f"{path}: [{TABLE}]", profiles, PROFILES)
    keys = [name.lower() for name in known]
    for name, table in profiles.items():
        _require_known(f"{path}: [{TABLE}.{name}]", _table(f"{path}: {TABLE}.{name}", table), keys)
    return {key.upper(): _value(f"{path}: [{TABLE}.{profile}] {key}", value)
            for key, value in profiles.get(profile, {}).items()}


def _table(what: str, found: object) -> Mapping[str, Any]:
    if not isinstance(found, dict):
        raise DeclarationError(f"{what} is no table; expected [{TABLE}.local] or "
                               f"[{TABLE}.cluster]")
    return found


def _require_known(where: str, found: Mapping[str, object], known: Sequence[str]) -> None:
    for key in found:
        if key not in known:
            raise DeclarationError(f"{where} has {key!r}, which nothing reads; expected "
                                   f"{', '.join(known)}.{closest(key, known)}")


def _value(what: str, found: object) -> str:
    """As the environment would have it."""
    if isinstance(found, list) and all(isinstance(each, str) for each in found):
        return ",".join(found)
    if isinstance(found, str) or type(found) is int:
        return str(found)
    raise DeclarationError(f"{what} is a {type(found).__name__}; expected a text, a whole number "
                           "or a list of texts")
