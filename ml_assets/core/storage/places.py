"""Where a record lies: in a file of its own, or in tables of a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, TypeVar
from urllib.parse import urlsplit, urlunsplit

from ml_assets.core.errors import NotReady
from ml_assets.core.storage.files import SameFile

Opened = TypeVar("Opened")
EXTRA = "pip install 'ml-assets[cluster]'"


@dataclass(frozen=True)
class PostgresTables:
    """The tables of one record, in a schema of their own.

    url: `postgresql://user@host/database`, which may hold a password and is never told
    proof: the table that is there if the record was ever made
    """

    url: str = field(repr=False)
    schema: str
    proof: str

    @classmethod
    def parse(cls, text: str) -> PostgresTables:
        """The inverse of `text`."""
        url, _, rest = text.rpartition("#")
        schema, _, proof = rest.partition(".")
        return cls(url, schema, proof)

    @property
    def text(self) -> str:
        """As a configuration may have it: with whatever secret the address holds."""
        return f"{self.url}#{self.schema}.{self.proof}"

    def sqlalchemy(self, driver: str = "psycopg") -> str:
        """The address for libraries that know no schemas: it says where their tables are."""
        parts = urlsplit(self.url)
        query = f"{parts.query}&" if parts.query else ""
        return urlunsplit(parts._replace(
            scheme=f"postgresql+{driver}", query=f"{query}options=-csearch_path%3D{self.schema}"))

    def exists(self) -> bool:
        """Whether the record was ever made. Raises LogUnavailable if nobody answers."""
        from ml_assets.core.storage.postgres import has_table

        return has_table(self)

    def __str__(self) -> str:
        return f"{self.schema} in {without_secret(self.url)}"


Place: TypeAlias = Path | PostgresTables


def without_secret(url: str) -> str:
    """An address that may be told: scheme, host, port and path, without who asks for it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def place_at(text: str, folder: Path) -> Place:
    """What a configuration names: `PostgresTables.text`, or a file, seen from `folder`."""
    return PostgresTables.parse(text) if text.startswith("postgresql:") else folder / text


def watched(place: Place, make: Callable[[], Opened]) -> Callable[[], Opened]:
    """`make`, which opens what lies at `place`: a file must always be the one of the first time.

    Tables cannot be replaced behind anybody's back.
    """
    return SameFile(place).watched(make) if isinstance(place, Path) else make


def missing(package: str, what_for: str) -> NotReady:
    """What to raise if a package of the extra is not installed."""
    return NotReady(f"{what_for} needs the package {package!r}, which is not installed: {EXTRA}")
