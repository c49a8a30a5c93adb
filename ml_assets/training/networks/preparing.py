"""A network before it is fitted: what comes in, and the weights that it begins with."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt
from torch import nn

from ml_assets.core.errors import ModelRefused
from ml_assets.core.model import Model
from ml_assets.core.target import Scale, Target
from ml_assets.training.encoding.encoder import Encoder
from ml_assets.training.encoding.extending import extended, grown
from ml_assets.training.encoding.learning import learnt
from ml_assets.training.loop.warm_start import start_from
from ml_assets.training.networks.building import build, reading
from ml_assets.training.rows.labelled import LabelledRows
from ml_assets.training.rows.training_rows import TrainingRows
from ml_assets.training.scored import Before

LEARNT_FROM = 2**18
"""Rows, at most, from which it is learnt how numbers spread."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """scale: of labels
    arrays: that the network is called with, of one row
    began: as which model its weights began, or why they did not; None if none was asked for
    """

    encoder: Encoder
    scale: Scale
    network: nn.Module
    arrays: Mapping[str, npt.NDArray[Any]]
    began: str | None = None


def prepared(
    model: Model, target: Target, rows: TrainingRows, before: Before | None
) -> Prepared:
    """Its weights drawn from the seed, or those of `before` where they fit."""
    some, scale = rows.sample(LEARNT_FROM), target.scale(rows.codes)
    encoder = learnt(model, rows, some)
    if before is None:
        return _drawn(model, target, encoder, scale, some)
    try:
        return _begun(model, target, encoder, scale, some, before)
    except ModelRefused as refused:
        began = f"drawn weights: {before.name} does not fit: {refused}"
        log.warning("the network begins with %s", began)
        return replace(_drawn(model, target, encoder, scale, some), began=began)


def _drawn(
    model: Model, target: Target, encoder: Encoder, scale: Scale, some: LabelledRows
) -> Prepared:
    shapes, arrays = encoder.shapes(target.logits), encoder(some.texts, some.dense)
    network = build(model.network, shapes, arrays, seed=model.seed)
    return Prepared(
        encoder=encoder, scale=scale, network=network,
        arrays={name: values[:1] for name, values in reading(network, shapes, arrays).items()})


def _begun(
    model: Model, target: Target, encoder: Encoder, scale: Scale, some: LabelledRows,
    before: Before,
) -> Prepared:
    """Raises ModelRefused, by name, for what does not fit."""
    if not target.answers_like(before.target):
        raise ModelRefused(f"it answers for {before.target}, now {target} is declared")
    encoder = extended(before.encoder, encoder)
    scale = replace(scale, mean=before.scale.mean, deviation=before.scale.deviation)
    made = _drawn(model, target, encoder, scale, some)
    start_from(made.network, before.state, grown=grown(before.encoder, encoder))
    log.info("the network begins as %s", before.name)
    return replace(made, began=before.name)
