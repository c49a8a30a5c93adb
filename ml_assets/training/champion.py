"""The champion, as a network that another begins as."""

from __future__ import annotations

from safetensors import SafetensorError
from safetensors.numpy import load_file

from ml_assets.core.errors import ModelRefused
from ml_assets.core.model import Minibatch
from ml_assets.core.system import System
from ml_assets.registry.deployments import Deployments
from ml_assets.registry.models import ModelRegistry
from ml_assets.training import artifact
from ml_assets.training.exported.scorer import OnnxScorer
from ml_assets.training.scored import Before


def champion(system: System, registry: ModelRegistry) -> Before | str | None:
    """The version in force; a reason if there is none to begin as; None if no fit asks for it."""
    fit = system.model.fit
    if not isinstance(fit, Minibatch) or not fit.warm_start:
        return None
    in_force = Deployments(registry.settings.deployments).current(system.name)
    if in_force is None:
        return "drawn weights: no version is in force yet"
    return weights_of(system, registry, in_force.version)


def weights_of(system: System, registry: ModelRegistry, version: int) -> Before | str:
    """A version's network; a reason if it cannot be begun as."""
    name = f"version {version}"
    try:
        folder = registry.folder(system.name, version)
        scorer = artifact.load(folder)
        if not isinstance(scorer, OnnxScorer):
            return f"drawn weights: {name} is a network of another kind, {scorer.parts.form}"
        return Before(name=name, version=version, target=scorer.target, scale=scorer.scale,
                      encoder=scorer.encoder, state=load_file(folder / artifact.STATE))
    except (ModelRefused, OSError, SafetensorError) as error:
        return f"drawn weights: {name} cannot be read: {error}"
