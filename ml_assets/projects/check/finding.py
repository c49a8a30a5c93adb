"""One thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, kw_only=True)
class Noted:
    """about: what was looked at; says: what was found; do: what to do about it."""

    level: Level
    about: str
    says: str
    do: str = ""

    def __str__(self) -> str:
        remedy = f". {self.do}" if self.do else ""
        return f"{self.level:<4}  {self.about:<9}  {self.says}{remedy}"


def ok(about: str, says: str) -> Noted:
    return Noted(level="ok", about=about, says=says)


def warn(about: str, says: str, do: str) -> Noted:
    return Noted(level="warn", about=about, says=says, do=do)


def fail(about: str, says: str, do: str) -> Noted:
    return Noted(level="fail", about=about, says=says, do=do)
