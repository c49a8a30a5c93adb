"""What the store remembered at any past instant: the point-in-time join over the history."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml_assets.core.errors import NotReady
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.features.manifest import View, load_manifest
from ml_assets.features.store import open_store
from ml_assets.ingest.lake import Lake


class OfflineFeatures:
    """Reads the feature service of `system` through Feast's historical retrieval.

    names: the features, in the order of the columns that `read` returns.
    Raises UnknownName where the repository does not declare the service.
    """

    def __init__(self, settings: Settings, system: System) -> None:
        service = load_manifest(settings).service(system)
        self.names: tuple[str, ...] = service.features
        self._keys, self._views = service.keys, service.views
        self._lake = Lake(settings.lake)
        self._store = open_store(settings)
        self._service = self._store.get_feature_service(service.name)

    def read(self, keys: pd.DataFrame, at: pd.Series[pd.Timestamp]) -> npt.NDArray[np.float32]:
        """The features (n, F) as they were at or before each instant, in the order of the spine.

        keys: (n rows) a column for each entity key; other columns are ignored
        at:   (n) aware instants

        NaN where the entity was unknown at the instant. Raises NotReady where a day before
        the latest instant lacks its history.
        """
        if not len(keys):
            return np.empty((0, len(self.names)), dtype=np.float32)
        instants = pd.to_datetime(at, utc=True).dt.as_unit("us").reset_index(drop=True)
        for view in self._views:
            self._require_history(view, instants.max().date() - timedelta(days=1))
        spine = keys[list(self._keys)].reset_index(drop=True).assign(event_timestamp=instants)
        joined = self._store.get_historical_features(entity_df=spine, features=self._service)
        return joined.to_df()[list(self.names)].to_numpy(dtype=np.float32)

    def _require_history(self, view: View, last: date) -> None:
        there = self._lake.days(view.system, view.table)
        if not there:
            raise NotReady(f"{view.system}/{view.table} has no history; materialise it first")
        needed = (there[0] + timedelta(days=n) for n in range((last - there[0]).days + 1))
        missing = sorted(set(needed) - set(there))
        if missing:
            raise NotReady(f"{view.system}/{view.table} lacks {len(missing)} days, from "
                           f"{missing[0]} on; materialise them first")
