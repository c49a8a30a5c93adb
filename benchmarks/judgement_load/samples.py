"""Samples of known distributions, of each kind of target: how often do intervals hold the truth?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from ml_assets.core.data.subjects import Subjects
from ml_assets.core.slates import row_id
from ml_assets.core.target import Floats, Target
from ml_assets.evaluation.comparison import Estimates, compare
from ml_assets.targets import Binary, Classes, Cost, Number, Ranking, TopPrecision

LARGE = 200_000
"""Rows that the truth is taken from; users, of rankings, so that it is known to a tenth of what an
interval of a few hundred is wide."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """Codes (N,), outputs (N, W) of a model, and of another one or None; what the rows are about"""

    codes: Floats
    outputs: Floats
    other: Floats | None
    subjects: Subjects

    def measured(self, target: Target) -> Estimates:
        """The metrics of the one model; if there are two, the lead of the first."""
        found = compare(target, self.codes, self.outputs, self.other, subjects=self.subjects)
        return found.candidate if found.better_by is None else found.better_by


Draw = Callable[[int, np.random.Generator], Sample]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One row of the table. rows: or users, or days; large: of these, for the truth"""

    name: str
    target: Target
    draw: Draw
    rows: int
    large: int = LARGE

    def truth(self) -> dict[str, float]:
        found = self.draw(self.large, np.random.default_rng(0)).measured(self.target)
        return {name: each.value for name, each in found.items() if each.value is not None}


@dataclass(frozen=True, kw_only=True)
class Covered:
    """How often there was an interval, and how often it held the truth, by metric."""

    samples: int
    given: Counter[str]
    held: Counter[str]

    def share(self, metric: str) -> float:
        """Of the intervals that were given."""
        return self.held[metric] / self.given[metric]

    def missed(self, metric: str) -> float:
        """Of all samples."""
        return (self.given[metric] - self.held[metric]) / self.samples


def covered(cell: Cell, samples: int, truth: Mapping[str, float]) -> Covered:
    generator, given, held = np.random.default_rng(cell.rows), Counter[str](), Counter[str]()
    for _ in range(samples):
        for name, each in cell.draw(cell.rows, generator).measured(cell.target).items():
            if each.low is not None and each.high is not None and name in truth:
                given[name] += 1
                # A truth that lies on an end, as 0 does, is held.
                held[name] += each.low - 1e-12 <= truth[name] <= each.high + 1e-12
    return Covered(samples=samples, given=given, held=held)


def binary(auc: float, share: float = 0.3) -> Draw:
    """Calibrated probabilities; a share of the rows is True."""
    edge = NormalDist().inv_cdf(auc) / np.sqrt(2)

    def draw(rows: int, generator: np.random.Generator) -> Sample:
        codes_N = (generator.random(rows) < share).astype(float)
        seen_N = edge * (2 * codes_N - 1) + generator.normal(size=rows)
        return _alone(codes_N, _calibrated(seen_N, edge, share)[:, None])

    return draw


def two(first: float, second: float, share: float = 0.3) -> Draw:
    """Two models of these AUCs whose noise is correlated by .8."""
    edges = [NormalDist().inv_cdf(auc) / np.sqrt(2) for auc in (first, second)]

    def draw(rows: int, generator: np.random.Generator) -> Sample:
        codes_N = (generator.random(rows) < share).astype(float)
        same_N = 0.8**0.5 * generator.normal(size=rows)
        one, other = (
            _calibrated(edge * (2 * codes_N - 1) + same_N + 0.2**0.5 * generator.normal(size=rows),
                        edge, share)[:, None] for edge in edges)
        return Sample(codes=codes_N, outputs=one, other=other, subjects=Subjects.unknown(rows))

    return draw


def classes(rows: int, generator: np.random.Generator) -> Sample:
    codes_N = generator.choice(3, rows, p=[0.5, 0.3, 0.2])
    logits_NK = 2.5 * np.eye(3)[codes_N] + generator.normal(size=(rows, 3))
    shares_NK = np.exp(logits_NK) / np.exp(logits_NK).sum(axis=1, keepdims=True)
    return _alone(codes_N.astype(float), shares_NK)


def number(rows: int, generator: np.random.Generator) -> Sample:
    """Errors with a heavy tail: Student's t with 8 degrees."""
    truth_N = generator.normal(0, 3, rows)
    return _alone(truth_N, (truth_N + generator.standard_t(8, rows))[:, None])


def relative(rows: int, generator: np.random.Generator) -> Sample:
    """Quantities of any size, with intervals."""
    size_N = np.exp(generator.normal(3, 1, rows))
    truth_N = size_N * np.exp(0.3 * generator.normal(size=rows))
    return _alone(truth_N, np.stack([size_N, 0.6 * size_N, 1.6 * size_N], axis=1))


def costs(rows: int, generator: np.random.Generator) -> Sample:
    """A twentieth of the rows is True; what a miss costs is lognormal."""
    codes_N = (generator.random(rows) < 0.05).astype(float)
    seen_N = 1.6 * (2 * codes_N - 1) + generator.normal(size=rows)
    amounts_N = generator.lognormal(3.5, 1, rows)
    return _alone(codes_N, np.stack([_calibrated(seen_N, 1.6, 0.05), amounts_N], axis=1))


def tops(days: int, generator: np.random.Generator) -> Sample:
    """200 rows a day, each of a group of its own; some days are harder than others."""
    rows = 200 * days
    day_N = np.repeat(np.arange(days), 200)
    share_N = np.clip(0.06 * np.exp(0.3 * generator.normal(size=days)), 0, 1)[day_N]
    codes_N = (generator.random(rows) < share_N).astype(float)
    seen_N = 1.2 * (2 * codes_N - 1) + generator.normal(size=rows)
    return Sample(
        codes=codes_N, outputs=_calibrated(seen_N, 1.2, 0.06)[:, None], other=None,
        subjects=Subjects.of([str(row) for row in range(rows)],
                             {"group": [str(row % 200) for row in range(rows)]}, None,
                             np.datetime64("2024-01-01") + day_N))


def ranking(users: int, generator: np.random.Generator) -> Sample:
    """1 to 7 slates of 8 items for each user; of some the model knows the taste, of others not."""
    slates_U = generator.integers(1, 8, size=users)
    user_S = np.repeat(np.arange(users), slates_U)
    slates = len(user_S)
    seen_SI = generator.normal(size=(slates, 8))
    skill_S = (1 + 0.8 * generator.normal(size=users))[user_S]
    chance_SI = 1 / (1 + np.exp(2 - skill_S[:, None] * seen_SI))
    codes_N = (generator.random((slates, 8)) < chance_SI).ravel().astype(float)
    return Sample(
        codes=codes_N, outputs=(1 / (1 + np.exp(2 - seen_SI))).reshape(-1, 1), other=None,
        subjects=Subjects.of(
            [row_id(f"s{slate}", place + 1) for slate in range(slates) for place in range(8)],
            {"user": np.repeat(user_S, 8).astype(str).tolist(),
             "item": generator.integers(50, size=slates * 8).astype(str).tolist()},
            np.full(slates * 8, 0.5)))


def _alone(codes_N: Floats, outputs_NW: Floats) -> Sample:
    return Sample(codes=codes_N, outputs=outputs_NW, other=None,
                  subjects=Subjects.unknown(len(codes_N)))


def _calibrated(seen_N: Floats, edge: float, share: float) -> Floats:
    chances_N: Floats = 1 / (1 + np.exp(-2 * edge * seen_N) * (1 - share) / share)
    return chances_N


BINARY = Binary(name="answer")
KINDS = Classes(name="kind", classes=("a", "b", "c"))
SIZE = Number(name="size", unit="m", tolerance=1.0)
SALES = Number(name="sales", unit="USD", minimum=0, tolerance=0.2, errors="relative", interval=0.8)
WASTE = Binary(name="waste", cost=Cost(miss="amount", alarm=5.0, unit="EUR"))
FLAGGED = Binary(name="flagged", tops=(TopPrecision(by="group", top=10),))
TAKEN = Ranking(name="taken", item="item", user="user", page=5)
CELLS: tuple[Cell, ...] = (
    *(Cell(name=f"AUC {auc:g}, {rows:,} rows", target=BINARY, draw=binary(auc), rows=rows)
      for auc in (0.78, 0.9, 0.9964, 0.9999) for rows in (60, 160, 1_000)),
    *(Cell(name=f"AUC {auc:g}, a twentieth True, {rows:,} rows", target=BINARY,
           draw=binary(auc, 0.05), rows=rows) for auc in (0.9, 0.9964) for rows in (400, 1_000)),
    *(Cell(name=f"classes, {rows} rows", target=KINDS, draw=classes, rows=rows)
      for rows in (60, 400)),
    *(Cell(name=f"number, {rows} rows", target=SIZE, draw=number, rows=rows) for rows in (60, 400)),
    *(Cell(name=f"relative errors, {rows} rows", target=SALES, draw=relative, rows=rows)
      for rows in (60, 400)),
    *(Cell(name=f"costs, {rows:,} rows", target=WASTE, draw=costs, rows=rows)
      for rows in (400, 2_000)),
    *(Cell(name=f"the first ten of each of {days} days", target=FLAGGED, draw=tops, rows=days,
           large=2_000) for days in (7, 28)),
    *(Cell(name=f"ranking, {users} users", target=TAKEN, draw=ranking, rows=users, large=20_000)
      for users in (20, 60, 200)),
    *(Cell(name=f"lead of AUC {one:g} over {other:g}, {rows} rows", target=BINARY,
           draw=two(one, other), rows=rows)
      for one, other in ((0.9, 0.9), (0.92, 0.9), (0.994, 0.994)) for rows in (80, 400)),
)
