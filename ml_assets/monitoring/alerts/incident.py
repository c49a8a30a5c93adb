"""What is wrong with a system at an instant, by cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

Cause = Literal["data", "parity", "drift", "quality"]
CAUSES: tuple[Cause, ...] = ("data", "parity", "drift", "quality")
"""In the order in which one leads to the next: late data make features differ, which drift, which
costs quality."""


@dataclass(frozen=True, kw_only=True)
class Incident:
    """One cause.

    title: one line; what: what was found, one line each, the worst first; since: from when on;
    sure: how sure it is; means: what it probably means; to_do: what to do about it; asset: whose
    page shows more
    """

    system: str
    cause: Cause
    title: str
    what: tuple[str, ...]
    since: datetime
    sure: str
    means: str
    to_do: str
    asset: str


def grouped(problems: Sequence[Incident]) -> list[Incident]:
    """One problem for each cause of a system that none of the others explains.

    A problem that began no earlier than one further up is told along with that one: thirty columns,
    and the quality that they cost, are one message.
    """
    told = list[Incident]()
    for problem in sorted(problems, key=lambda each: CAUSES.index(each.cause)):
        above = next((index for index, each in enumerate(told)
                      if each.system == problem.system and each.since <= problem.since), None)
        if above is None:
            told.append(problem)
        else:
            root = told[above]
            told[above] = replace(root, what=(
                *root.what, f"probably because of it, since {problem.since:%Y-%m-%d}: "
                f"{problem.title}", *(f"  {line}" for line in problem.what[:3])))
    return told
