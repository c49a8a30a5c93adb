"""What will not work in a system, said before anything runs. One file for each thing looked at."""

from ml_assets.projects.check.examine import examine
from ml_assets.projects.check.finding import Noted

__all__ = ["Noted", "examine"]
