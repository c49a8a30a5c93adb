"""A network may begin as the champion: what that knew keeps its meaning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml_assets.core.errors import ModelRefused
from ml_assets.core.model import Minibatch, Model, Tabular
from ml_assets.core.settings import Settings
from ml_assets.registry.deployments import Deployments
from ml_assets.registry.models import ModelRegistry
from ml_assets.targets import Binary
from ml_assets.training import artifact
from ml_assets.training.encoding.codebook import Codebook
from ml_assets.training.encoding.columns import MOST
from ml_assets.training.fit import fit
from ml_assets.training.run import train
from ml_assets.training.scored import Before, Fitted, TrainedScorer
from tests.training.networks.rows import NETWORKS, Made, made, model
from tests.training.rows.killed import SYSTEM, set_of

TARGET = Binary(name="taken")
STILL = Minibatch(batch=64, epochs=1, rate=1e-12, weight_decay=0)
"""So small steps that weights stay as they begin."""


def before(fitted: Fitted[TrainedScorer]) -> Before:
    scorer = fitted.scorer
    return Before(name="version 1", target=scorer.target, scale=scorer.scale, state=fitted.state,
                  encoder=scorer.encoder)  # type: ignore[attr-defined]


def renamed(rows: Made) -> Made:
    """The same rows, half of them of films and in words that are new."""
    films = [f"a {film}" if at % 2 else film for at, film in enumerate(rows.texts["film"])]
    return replace(rows, texts={**rows.texts, "film": films}, dense=rows.dense * np.float32(1.5))


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "next item"])
def test_a_network_that_begins_as_another_says_the_same_of_what_that_knew(
    name: str, tmp_path: Path
) -> None:
    """Though codes of new values lie between those of old ones, and numbers spread otherwise."""
    declared, rows = model(NETWORKS[name]), made()
    first = fit(declared, TARGET, rows.labelled)
    later = fit(replace(declared, fit=STILL, seed=3), TARGET, renamed(rows).labelled,
                before=before(first))
    assert later.began == "version 1"
    said, now = (each.scorer.outputs(rows.texts, rows.dense) for each in (first, later))
    np.testing.assert_allclose(now, said, atol=1e-5)
    artifact.save(later.scorer, tmp_path, texts={n: v[:3] for n, v in rows.texts.items()},
                  dense=rows.dense[:3])
    assert artifact.load(tmp_path).outputs(rows.texts, rows.dense).tolist() == now.tolist()
    new = renamed(rows)
    drawn = fit(replace(declared, fit=STILL, seed=4), TARGET, new.labelled, before=before(first))
    assert drawn.scorer.outputs(new.texts, new.dense).tolist() != later.scorer.outputs(
        new.texts, new.dense).tolist()  # a new value's rows are drawn


def test_what_a_network_remembers_of_each_pair_of_values_cannot_grow() -> None:
    """It is of another shape, and refused by its name."""
    declared, rows = model(NETWORKS["next item"]), made()
    first = fit(declared, TARGET, rows.labelled)
    began = fit(declared, TARGET, renamed(rows).labelled, before=before(first)).began
    assert began is not None and "'companions.known_MM' is (7, 7), (13, 13) here" in began
    assert fit(declared, TARGET, rows.labelled, before=before(first)).began == "version 1"


@pytest.mark.parametrize(("change", "says"), [
    ({"network": Tabular(hidden=8, blocks=1, pieces=4)}, r"'trunk.first.weight' is .*\(8, "),
    ({"without": ("age",)}, "its numbers were .*'age'.* now they are"),
    ({"without": ("kind",)}, "its categories were film, visitor, kind, now they are film, visitor"),
])
def test_what_does_not_fit_is_named_and_the_network_begins_with_drawn_weights(
    change: dict[str, object], says: str
) -> None:
    declared, rows = model(NETWORKS["tabular"]), made()
    first = fit(declared, TARGET, rows.labelled)
    other: Model = replace(declared, **change)  # type: ignore[arg-type]
    warm, cold = (fit(other, TARGET, rows.labelled, before=each) for each in (before(first), None))
    assert warm.began is not None
    with pytest.raises(ModelRefused, match=f"drawn weights: version 1 does not fit.*{says}"):
        raise ModelRefused(warm.began)
    assert {name: each.tolist() for name, each in warm.state.items()} == \
        {name: each.tolist() for name, each in cold.state.items()}


def test_a_table_that_would_become_too_long_is_refused() -> None:
    book = Codebook(known=np.arange(10, 10 + MOST))
    assert book.extended(book).known.tolist() == book.known.tolist()
    with pytest.raises(ModelRefused, match="would have 16,385 known values"):
        book.extended(Codebook(known=np.array([5])))
    with pytest.raises(ModelRefused, match="has rows of known values, now 8 buckets"):
        book.extended(Codebook.hashed(8))


def test_a_codebook_finds_codes_in_any_order() -> None:
    book = Codebook(known=np.array([50, 7])).extended(Codebook(known=np.array([7, 9, 60])))
    assert book.known.tolist() == [50, 7, 9, 60]
    codes = np.array([7, 9, 50, 60, 8, np.nan, 99])
    assert book.of_codes(codes).tolist() == [2, 3, 1, 4, 0, 0, 0]


def test_a_version_says_as_which_it_began(tmp_path: Path) -> None:
    """And the same rows, seed and champion give the same weights."""
    registry, data = ModelRegistry(Settings(var=tmp_path)), set_of(SYSTEM)
    deployments = Deployments(registry.settings.deployments)
    warm = replace(SYSTEM, model=replace(
        SYSTEM.model, fit=Minibatch(batch=16, epochs=2, warm_start=True)))
    versions = [train(warm, data, registry, tags={})[0]]
    deployments.promote(SYSTEM.name, 1, reason="first", by="test", at=data.as_of)
    versions += [train(warm, data, registry, tags={})[0] for _ in range(2)]
    larger = replace(warm, model=replace(warm.model, network=Tabular(hidden=32)))
    last, trained = train(larger, data, registry, tags={})
    assert [each.tags["began"] for each in versions] == [
        "drawn weights: no version is in force yet", "version 1", "version 1"]
    assert last.tags["began"] == trained.began
    assert str(trained.began).startswith("drawn weights: version 1 does not fit: ")
    one, two, three = ((registry.folder(SYSTEM.name, each.version) / artifact.STATE).read_bytes()
                       for each in versions)
    assert one != two == three
