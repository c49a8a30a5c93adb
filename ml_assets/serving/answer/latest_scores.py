"""The latest score of each value of an entity: refreshed by every prediction, read by its key."""

from __future__ import annotations

from ml_assets.core.errors import UnknownName
from ml_assets.core.system import System
from ml_assets.features.online_store.latest_scores import Score
from ml_assets.serving.answer.features import GuardedState


class LatestScores:
    """Reads the view `<system>_scores` of the online state. For one thread.

    A batch loads the same view (`ml_assets.features.scores`); the store's rule decides between
    the two, whichever comes first: the later event, of one event the score that was given last.
    """

    def __init__(self, system: System, state: GuardedState) -> None:
        self._system, self._state = system, state

    def read(self, key: str) -> Score:
        """The latest score of `key`.

        Raises UnknownName if there is none or the system keeps none, NotReady if the store has
        another view of that name, LogUnavailable if it cannot be read.
        """
        name, by = self._system.name, self._system.scores_by
        if by is None:
            raise UnknownName(
                f"system {name!r} keeps no scores. Declare scores_by, one of its entities "
                f"({', '.join(self._system.keys) or 'it has none'}), and scores_view in its "
                "features.py; then predictions and batches keep them"
            )
        found = self._state.latest(key) if key else None
        if found is None:
            raise UnknownName(
                f"nothing has been scored of {by} {key!r}: no prediction of {name!r} was "
                f"about it since scores are kept, and no batch that was loaded ({name}/scores)"
            )
        return found
