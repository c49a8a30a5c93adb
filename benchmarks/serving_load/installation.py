"""A scratch installation: models trained, registered and deployed as the loop would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.serving_load import features
from benchmarks.serving_load.plan import Template
from benchmarks.serving_load.system import NUMBERS, PAYMENTS
from benchmarks.serving_load.traffic import Rows, draw, payments
from ml_assets.core.settings import Settings
from ml_assets.registry.deployments import Deployments
from ml_assets.registry.models import ModelRegistry

TRAINED_ON = 2_000
CANARY = 0.1
BY = "bench serving"
ASKED = 2_000
"""Different bodies that are posted, in turn."""


@dataclass(frozen=True, kw_only=True)
class Installation:
    """Everything under one temporary folder; `settings` point there.

    rows: what is asked; templates: their bodies for our API; exported: the first model as
    files; scores: its scores of the rows if their features are those of `rows.dense`
    began: no prediction was made before
    """

    settings: Settings
    rows: Rows
    templates: tuple[Template, ...]
    exported: Path
    scores: tuple[float, ...]
    began: datetime

    @property
    def deployments(self) -> Deployments:
        return Deployments(self.settings.deployments)

    def deploy(self, version: int) -> None:
        """Make a registered version the champion; the canary stays."""
        self.deployments.promote(PAYMENTS.name, version, reason="the benchmark swaps", by=BY,
                                 at=self.settings.clock_of(PAYMENTS.name).now())


@contextmanager
def installed() -> Iterator[Installation]:
    """An installation with three registered versions.

    The first is the champion and the third has a tenth of the traffic; the second is there to
    swap the first with.
    """
    with TemporaryDirectory(prefix="ml-assets-bench-") as folder:
        settings = Settings(var=Path(folder) / "var", port=0)
        rows = draw(ASKED, seed=2)
        features.prepare(settings)
        exported = Path(folder) / "exported"
        for version in range(1, 4):
            train(settings, exported / str(version), seed=10 + version)
        made = Installation(
            settings=settings, rows=rows, templates=payments(rows), exported=exported / "1",
            scores=_scores(exported / "1", rows), began=settings.clock_of(PAYMENTS.name).now(),
        )
        made.deploy(1)
        made.deployments.canary(PAYMENTS.name, 3, CANARY, reason="as in real life", by=BY,
                                at=made.began)
        yield made


def train(
    settings: Settings, folder: Path, *, seed: int, upside_down: bool = False
) -> None:
    """Fit a model to rows of its own, or to their labels the wrong way round, and register it as
    the next version."""
    import torch

    from ml_assets.training import artifact
    from ml_assets.training.fit import fit
    from ml_assets.training.rows.labelled import LabelledRows

    torch.set_num_threads(1)  # so small a model does not fill two
    rows = draw(TRAINED_ON, seed=seed)
    codes = rows.labels.astype(float)
    names = (*NUMBERS, *features.SERVICE.features)
    scorer = fit(PAYMENTS.model, PAYMENTS.target, LabelledRows(
        texts={"note": rows.notes}, dense=rows.dense, codes=1 - codes if upside_down else codes,
        feature_names=names)).scorer
    artifact.save(scorer, folder, texts={"note": rows.notes[:4]}, dense=rows.dense[:4])
    ModelRegistry(settings).register(
        PAYMENTS.name, folder, params={"seed": seed}, metrics={},
        tags={"data_version": f"made up, seed {seed}"},
    )


def _scores(folder: Path, rows: Rows) -> tuple[float, ...]:
    from ml_assets.training import artifact

    outputs = artifact.load(folder).outputs({"note": rows.notes}, rows.dense)
    return tuple(PAYMENTS.target.score(outputs).tolist())
