"""The latest score of each value of an entity: refreshed by every prediction, read by its key."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping, Sequence

from ml_assets.core.errors import LogUnavailable, NotReady, UnknownName
from ml_assets.core.settings import Settings
from ml_assets.core.storage.sqlite import is_busy
from ml_assets.core.system import System
from ml_assets.core.texts import key_text
from ml_assets.features.online_store.backend import OWN, Backend, digest_of, number_of
from ml_assets.features.online_store.latest_scores import Score, latest_of, row_of, scores_view
from ml_assets.features.online_store.sqlite.backend import SqliteBackend, SqliteState
from ml_assets.features.online_store.versions import PlainView
from ml_assets.ingest.log.event_log import Prediction
from ml_assets.ingest.log.patience import Patience

log = logging.getLogger(__name__)


class OnlineScores:
    """The view `<system>_scores` of the online store. For one thread.

    A batch loads the same view (`ml_assets.features.scores`); the store's rule decides between
    the two, whichever comes first: the later event, of one event the score that was given last.

    Whichever of the two comes first registers the view.

    problem: why the latest prediction did not refresh it; None if it did
    patience: how long opening the store waits for writers; shared with all that write the file
    Of a system that declares no `scores_by` nothing is kept.
    """

    def __init__(
        self, settings: Settings, system: System, *, patience: Patience | None = None
    ) -> None:
        self._system = system
        self._view = None if system.scores_by is None else scores_view(system)
        self._path, self._patience = settings.event_log, patience or Patience(2)
        self._opened: SqliteBackend | None = None
        self._number: int | None = None
        self._state: tuple[sqlite3.Connection, SqliteState] | None = None
        self.problem: str | None = None

    def close(self) -> None:
        """The next call opens the store anew, for example after its file was replaced."""
        if self._opened is not None:
            self._opened.close()
        self._opened = self._state = self._number = None

    def refresh(
        self,
        connection: sqlite3.Connection,
        predictions: Sequence[tuple[Prediction, Mapping[str, object]]],
    ) -> None:
        """Put the scores of these predictions, in the transaction that `connection` has open.

        predictions: each with its event. If another process has declared the view otherwise,
        nothing is put and `problem` says so: no score that waits may keep an answer back.
        """
        if self._view is None:
            return
        [key] = self._view.keys
        rows = [row for p, event in predictions if (row := row_of(Score(
            key=key_text(event[key]), score=p.score, decision=bool(p.decision),
            model_version=p.model_version, event_id=p.event_id,
            event_timestamp=p.event_timestamp, scored_at=p.accepted_at, basis="prediction",
        ))) is not None]
        state = self._on(connection)
        try:
            number = self._find(self._view, state)
            if number is None:
                # Not noted: this transaction may be undone, and then the number is another's.
                number = state.register(self._view.name, digest_of(self._view))
            state.put(number, rows)
        except NotReady as error:
            self._number = None
            self._note(self._view, error)
        else:
            self.problem = None

    def read(self, key: str) -> Score:
        """The latest score of `key`, in one read.

        Raises UnknownName if there is none or the system keeps none, NotReady if the store has
        another view of that name, LogUnavailable if it cannot be read.
        """
        name, view = self._system.name, self._view
        if view is None:
            raise UnknownName(
                f"system {name!r} keeps no scores. Declare scores_by, one of its entities "
                f"({', '.join(self._system.keys) or 'it has none'}), and scores_view in its "
                "features.py; then predictions and batches keep them"
            )
        blob = self._blob(view, key) if key else None
        if blob is None:
            raise UnknownName(
                f"nothing has been scored of {view.keys[0]} {key!r}: no prediction of {name!r} was "
                f"about it since scores are kept, and no batch that was loaded ({name}/scores)"
            )
        return latest_of(view, key, blob)

    def _blob(self, view: PlainView, key: str) -> bytes | None:
        try:
            backend = self._backend()
            number = self._find(view, backend)
            if number is None:
                return None
            # With the view's own entry, which goes when it is deleted or redefined.
            own, blob = backend.get(number, [OWN, key.encode()])
            if own is None:
                self._number = None
                return self._blob(view, key)
        except sqlite3.Error as error:
            self.close()
            if is_busy(error):
                self._patience.spent()
            raise LogUnavailable(f"cannot read the online store {self._path}: {error}") from error
        return blob

    def _find(self, view: PlainView, backend: Backend) -> int | None:
        """The view's number, None before it is registered. Raises NotReady as `read`."""
        if self._number is None and view.name in backend.views():
            self._number = number_of(backend, view)
        return self._number

    def _on(self, connection: sqlite3.Connection) -> SqliteState:
        if self._state is None or self._state[0] is not connection:
            self._state, self._number = (connection, SqliteState(connection)), None
        return self._state[1]

    def _backend(self) -> SqliteBackend:
        if self._opened is None:
            self._opened = SqliteBackend(self._path, patience_s=self._patience.left_ms / 1000)
        return self._opened

    def _note(self, view: PlainView, error: Exception) -> None:
        problem = f"predictions do not refresh {view.name}: {type(error).__name__}: {error}"
        if problem != self.problem:
            log.warning("%s", problem)
        self.problem = problem
