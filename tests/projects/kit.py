"""Files that somebody might bring, small and seeded."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ml_assets.core.project import Project, project, read_project
from ml_assets.projects.new import Request
from ml_assets.projects.skeleton import init

Row = dict[str, str]
START = datetime(2024, 1, 1)  # noqa: DTZ001 (as files write it)


def orders(count: int = 600, days: int = 90) -> list[Row]:
    """Shop orders; a third is sent back, and that is known two to nine days later."""
    draw = random.Random(7)
    rows = []
    for number in range(count):
        at = START + timedelta(days=days) * number / count
        back = draw.random() < 0.33
        rows.append({
            "order_id": f"o{number}", "ordered_at": f"{at:%Y-%m-%d %H:%M:%S}",
            "customer": f"c{draw.randrange(60)}", "product": f"p{draw.randrange(20)}",
            "category": draw.choice(["shoes", "shirts", "books"]),
            "price": f"{draw.lognormvariate(3.5, 0.6):.2f}" if draw.random() > 0.05 else "",
            "note": draw.choice(["", f"please ring the bell of house {number}",
                                 f"a gift for my mother in room {number}"]),
            "payment": draw.choice(["on account", "cash on delivery", "by card"]),
            "returned": "yes" if back else "no",
            "decided_at": f"{at + timedelta(days=draw.uniform(2, 9)):%Y-%m-%d %H:%M:%S}",
        })
    return rows


def write(path: Path, rows: Sequence[Row], **spelled: Any) -> Path:
    with path.open("w", newline="", encoding=spelled.pop("encoding", "utf-8")) as file:
        writer = csv.DictWriter(file, rows[0], **spelled)
        writer.writeheader()
        writer.writerows(rows)
    return path


def changed(rows: Sequence[Row], change: Callable[[int, Row], Row]) -> list[Row]:
    return [{**row, **change(number, row)} for number, row in enumerate(rows)]


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A project, with a way to ask for a system in it."""

    folder: Path

    @property
    def home(self) -> Project:
        found = read_project(self.folder)
        assert found is not None
        return found

    def request(self, rows: Sequence[Row], **said: Any) -> Request:
        file = write(self.folder / "orders.csv", rows)
        asked: dict[str, Any] = {"name": "returns", "file": file, "timestamp": "ordered_at",
                 "entities": ("customer",), "label": "returned"}
        return Request(**asked | said)


@contextmanager
def shop(folder: Path) -> Iterator[Shop]:
    """In the block the process is in a project of its own."""
    init(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("ML_ASSETS_PROJECT", raising=False)
        project.cache_clear()
        try:
            yield Shop(folder=folder)
        finally:
            project.cache_clear()
