"""What the store remembers right now: read while a prediction is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import midnight
from ml_assets.features.manifest import load_manifest
from ml_assets.features.store import load_log, open_store


class OnlineFeatures:
    """Reads the feature service of `system` from the online store. Cheap per call.

    names: the features, in the order of the columns that `read` returns.
    Raises UnknownName where the repository does not declare the service.
    """

    def __init__(self, settings: Settings, system: System) -> None:
        service = load_manifest(settings).service(system)
        self.names: tuple[str, ...] = service.features
        self._keys, self._views = service.keys, service.views
        self._store = open_store(settings)
        self._service = self._store.get_feature_service(service.name)
        self._log = load_log(settings)
        self._nothing_yet = midnight(system.calendar.first_day)

    def read(
        self, keys: Sequence[Mapping[str, str]], at: Sequence[datetime]
    ) -> tuple[npt.NDArray[np.float32], list[datetime]]:
        """The features (B, F) of B events, and for each the instant whose state they show.

        keys: for each event its entity keys, by event column; more columns do no harm
        at:   the events' instants

        That instant is the end of the last day that is loaded for all views. A daily store
        knows no other, so it also holds for an event that is dated earlier: recomputing the
        features at it gives the same bits. Unknown entities are NaN.
        """
        # Before the values: a load that ends in between is then in the log as such.
        until = self._log.watermark(self._views) or self._nothing_yet
        found = np.full((len(keys), len(self.names)), np.nan, dtype=np.float32)
        if keys:
            answer = self._store.get_online_features(
                features=self._service,
                entity_rows=[{key: row[key] for key in self._keys} for row in keys],
            ).to_dict()
            for column, name in enumerate(self.names):
                found[:, column] = [np.nan if value is None else value for value in answer[name]]
        return found, [until for _ in at]

    def close(self) -> None:
        self._log.close()
