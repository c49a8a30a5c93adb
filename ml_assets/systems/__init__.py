"""The table of contents: every system that runs here."""

from ml_assets.core.errors import unknown
from ml_assets.core.system import System
from ml_assets.systems.spam import SPAM

SYSTEMS: tuple[System, ...] = (SPAM,)


def find(name: str) -> System:
    """The system of this name. Raises UnknownName, offering the closest."""
    for system in SYSTEMS:
        if system.name == name:
            return system
    raise unknown("system", name, (system.name for system in SYSTEMS))
