"""How SQL for DuckDB writes names, texts and files."""

from __future__ import annotations

import re

from ml_assets.core.errors import DeclarationError

_PATTERN = re.compile(r"[*?\[]")


def name_of(column: str) -> str:
    """`column` as SQL writes it."""
    return '"' + column.replace('"', '""') + '"'


def literal(text: object) -> str:
    """A text as SQL writes it."""
    return "'" + str(text).replace("'", "''") + "'"


def file_of(path: object) -> str:
    """The path of one file as SQL writes it for a reader, to which `*?[` are a pattern.

    Raises DeclarationError if DuckDB cannot be given it.
    """
    if _PATTERN.search(str(path)) and "\\" in str(path):
        raise DeclarationError(
            f"{path} has a backslash and one of * ? [ in its name, and DuckDB reads no such "
            "file; rename it or its folder"
        )
    return literal(_exact(path))


def files_in(folder: object, pattern: str) -> str:
    """The files of a folder whose names match `pattern`, as SQL writes it for a reader.

    Raises DeclarationError if DuckDB cannot be given it.
    """
    if "\\" in str(folder):
        raise DeclarationError(
            f"{folder} has a backslash in its name, and DuckDB finds no files there; rename it"
        )
    return literal(f"{_exact(folder)}/{pattern}")


def _exact(path: object) -> str:
    """The pattern that matches this path alone, which has no backslash."""
    return _PATTERN.sub(r"[\g<0>]", str(path))
