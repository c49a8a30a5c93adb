"""What a search came to: figures, and a snippet to paste."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, fields, is_dataclass
from datetime import timedelta

from ml_assets.core.model.search import Value, value_of, with_values
from ml_assets.training.tuning.study import Trial, Values, best_of


def snippet(model: object, values: Values) -> str:
    """The parts of the declaration that these values change, as they would be declared."""
    changed = with_values(model, dict(values))
    parts = dict.fromkeys(name.partition(".")[0] for name in values)
    return "\n".join(f"{part}={as_code(getattr(changed, part))}," for part in parts)


def as_code(value: object) -> str:
    """A declaration as one would write it: only what differs from the defaults."""
    if isinstance(value, timedelta):
        return repr(value).removeprefix("datetime.")
    if not is_dataclass(value) or isinstance(value, type):
        return f"{value:.4g}" if isinstance(value, float) else repr(value)
    said = [f"{each.name}={as_code(own)}" for each in fields(value)
            if (own := getattr(value, each.name)) != _default(each)]
    return f"{type(value).__name__}({', '.join(said)})"


def described(model: object, trials: Sequence[Trial]) -> dict[str, Value]:
    """Figures by name: the losses, and each value that was found beside the declared one."""
    best, declared = best_of(trials), trials[0]
    return {
        "trials": len(trials), "failed": sum(trial.loss is None for trial in trials),
        "best_trial": best.number, "loss": best.loss, "declared_loss": declared.loss,
        **{f"{name} (declared {as_code(value_of(model, name))})":
           as_code(value) if isinstance(value, timedelta | tuple) else value
           for name, value in best.values.items()},
    }


def _default(each: object) -> object:
    default = getattr(each, "default", MISSING)
    factory = getattr(each, "default_factory", MISSING)
    return factory() if default is MISSING and factory is not MISSING else default


def line(trial: Trial, trials: int) -> str:
    """One trial in a line."""
    values = ", ".join(f"{name} {as_code(value)}" for name, value in trial.values.items())
    loss = "failed" if trial.loss is None else f"validation loss {trial.loss:.5g}"
    return f"trial {trial.number + 1} of {trials}: {loss} with {values}"
