"""Python as the generated files hold it: calls and comments within a hundred columns."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence

WIDTH = 100


def text(value: str) -> str:
    """A string literal, with double quotes."""
    return json.dumps(value, ensure_ascii=False)


def call(
    function: str, arguments: Sequence[str], *, indent: int = 0, before: str = "", after: str = ""
) -> str:
    """`function(a, b)`, on one line if it fits, else an argument a line."""
    margin = " " * indent
    line = f"{margin}{before}{function}({', '.join(arguments)}){after}"
    if len(line) <= WIDTH and "\n" not in line and not any("#" in each for each in arguments):
        return line
    inner = "\n".join(f"{margin}    {each}," for each in arguments)
    return f"{margin}{before}{function}(\n{inner}\n{margin}){after}"


def comment(said: str, *, indent: int = 0) -> str:
    """Lines that begin with `#`."""
    margin = " " * indent + "# "
    return textwrap.fill(" ".join(said.split()), WIDTH, initial_indent=margin,
                         subsequent_indent=margin, break_long_words=False, break_on_hyphens=False)


def string(said: str, *, indent: int, before: str = "", after: str = "") -> str:
    """A string literal, in several lines if it is long."""
    margin = " " * indent
    line = f"{margin}{before}{text(said)}{after}"
    if len(line) <= WIDTH:
        return line
    parts = textwrap.wrap(said, WIDTH - indent - 8, drop_whitespace=False)
    inner = "\n".join(f"{margin}    {text(part)}" for part in parts)
    return f"{margin}{before}(\n{inner}\n{margin}){after}"


def names(values: Sequence[str]) -> str:
    """A tuple of string literals."""
    return f"({', '.join(map(text, values))}{',' if len(values) == 1 else ''})"
