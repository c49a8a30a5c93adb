"""What the environment says, and beneath it a profile of the project's file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from ml_assets.core.errors import DeclarationError
from ml_assets.core.objects.bucket import Bucket
from ml_assets.core.profiles.cluster import Cluster
from ml_assets.core.profiles.settings_file import Profile, settings_in
from ml_assets.core.project import project

PREFIX = "ML_ASSETS_"
IN_FILE = ("ACK", "CACHE", "HOST", "HOSTS", "LOG", "OBJECTS", "PORT", "POSTGRES", "RAY", "REDIS",
           "RUNS", "SCHEMA", "SHARED", "SMTP", "STEPS", "TRACES", "UI", "VAR", "WEBHOOK")
"""What `settings.toml` may set for a profile, as the environment may."""
Choice = TypeVar("Choice", bound=str)
SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,39}")


class GivenSettings:
    """The values, each as a text. Raises DeclarationError for a file that says nonsense."""

    def __init__(self, profile: Profile) -> None:
        self._profile, self._project = profile, project().folder
        said = settings_in(self._project, profile, IN_FILE)
        self._file = {f"{PREFIX}{name}": value for name, value in said.items()}
        self._all: Mapping[str, str] = {**self._file, **os.environ}

    def get(self, name: str, otherwise: str) -> str:
        return self._all.get(name, otherwise)

    def choice(self, name: str, otherwise: Choice, known: tuple[Choice, ...]) -> Choice:
        """One of the known words."""
        given = self._all.get(name, otherwise)
        found = next((each for each in known if each == given), None)
        if found is None:
            raise DeclarationError(f"{name} is {given!r}; expected {', '.join(known[:-1])} or "
                                   f"{known[-1]}")
        return found

    def folder(self, name: str, otherwise: Path) -> Path:
        """The absolute folder that a variable names, in the file as seen from there. An empty one
        would mean the current folder."""
        given = self._all.get(name, str(otherwise))
        if not given.strip():
            raise DeclarationError(f"{name} is empty; name a folder, or unset it")
        within = Path() if name in os.environ else self._project
        return (within / given).resolve()

    def address(
        self, name: str, otherwise: str, schemes: tuple[str, ...] = ("http", "https")
    ) -> str:
        """A URL of one of these schemes, or none. The message does not repeat it: it may hold a
        secret."""
        given = self._all.get(name, otherwise).strip()
        if given and not given.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise DeclarationError(f"{name} is no address; expected one that begins with "
                                   f"{' or '.join(f'{scheme}://' for scheme in schemes)}")
        return given

    def cluster(self) -> Cluster:
        postgres = self.address("ML_ASSETS_POSTGRES", "", ("postgresql",))
        if not postgres:
            raise DeclarationError(
                "the profile cluster needs a database: set ML_ASSETS_POSTGRES, or postgres under "
                "[profiles.cluster] in settings.toml, to postgresql://user@host/database")
        schema = self.get("ML_ASSETS_SCHEMA", Cluster.schema)
        if not SCHEMA.fullmatch(schema):
            raise DeclarationError(f"ML_ASSETS_SCHEMA is {schema!r}; expected lower-case letters, "
                                   "digits and underscores, 40 at most")
        shared, objects = self.get("ML_ASSETS_SHARED", ""), self.get("ML_ASSETS_OBJECTS", "")
        if shared and objects:
            raise DeclarationError(
                "ML_ASSETS_SHARED and ML_ASSETS_OBJECTS both say where the lake is: a folder that "
                "all hosts mount, or a bucket; unset one of them")
        return Cluster(
            postgres=postgres, schema=schema,
            redis=self.address("ML_ASSETS_REDIS", "", ("redis", "rediss", "unix")),
            objects=Bucket.parse(objects).url if objects else "",
            shared=self.folder("ML_ASSETS_SHARED", Path()) if shared else None)
