"""The policies that compete, by name."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from ml_assets.core.errors import unknown
from ml_assets.core.policies import RetrainingPolicy, Worth
from ml_assets.core.system import System

ORACLE = "oracle"
POLICIES = ("never", "daily", "weekly", "drift", "performance", "labels", "cost-aware", ORACLE)
"""Those that play unless some are named."""
NAMED = (*POLICIES, "declared")
SHORT = timedelta(hours=1)
"""By how much a schedule looks earlier, so that a day is a day."""


def policy_of(name: str, system: System, worth: Worth) -> RetrainingPolicy:
    """A competitor; the oracle is none, it is made of what others saw. Raises UnknownName."""
    own = system.retraining
    quiet = RetrainingPolicy(on_drift=False, on_fall=False, cooldown=timedelta(0),
                             weigh_again=own.weigh_again)
    cooldown = own.cooldown
    match name:
        case "never":
            return quiet
        case "daily":
            return replace(quiet, after_labels=1, cooldown=timedelta(days=1) - SHORT)
        case "weekly":
            return replace(quiet, after_labels=1, cooldown=timedelta(days=7) - SHORT)
        case "drift":
            return replace(quiet, on_drift=True, cooldown=cooldown)
        case "performance":
            return replace(quiet, on_fall=True, cooldown=cooldown)
        case "labels":
            return replace(quiet, after_labels=own.after_labels or 1000, cooldown=cooldown)
        case "cost-aware":
            return replace(quiet, worth=worth)
        case "declared":
            return own
    raise unknown("retraining policy", name, NAMED)
