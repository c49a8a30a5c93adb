"""Training sets: matured labels joined with their events and with the features of that time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ml_assets.core.errors import NotReady, NotReproducible, StateDamaged, unknown
from ml_assets.core.model import Embedding
from ml_assets.core.settings import Settings
from ml_assets.core.storage.condition import read_object
from ml_assets.core.storage.files import beside, move, write_atomically
from ml_assets.core.storage.mounts import current, listed
from ml_assets.core.system import System
from ml_assets.core.target import Floats
from ml_assets.core.time import DAY, midnight
from ml_assets.features.manifest import load_manifest
from ml_assets.features.training_sets import GROUP, LOOKED_AT
from ml_assets.features.training_sets.address import Address, digest
from ml_assets.features.training_sets.assembling import assembled
from ml_assets.features.training_sets.labelled import drawn
from ml_assets.features.training_sets.progress import BuildProgress, untold
from ml_assets.features.training_sets.shown import shown_fields
from ml_assets.features.training_sets.stored import TrainingSet
from ml_assets.ingest.lake import INSTANT, Lake, frame_of, naming
from ml_assets.ingest.tables import events_schema

CONCLUDED, LEARNT, CONCLUDED_LEARNT = "concluded_as_of", "learnt_until", "concluded_learnt_until"
MEANING = ("feature_names", "coded", "texts", "feature_service", "definitions")
"""What is said of a training set that gives its values their meaning."""
AT_ONCE = 20_000
"""Rows of a stored one that are looked through together."""


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """What a training set knew: all before `as_of` in the days that had been closed `until` then.

    A label of a day that was still open is filed later, and is news although it came before.
    """

    as_of: datetime
    until: datetime


class TrainingSets:
    """The training sets of a system: `<lake>/<system>/training_set/<version>.parquet`."""

    def __init__(self, settings: Settings, system: System) -> None:
        self.settings, self.system = settings, system
        self.lake = Lake(settings.lake)
        self.folder = self.lake.table(system.name, "training_set")

    def build(self, as_of: datetime, progress: BuildProgress = untold) -> TrainingSet:
        """Build, store and return the training set of what was known strictly before `as_of`.

        Raises NotReady where nothing was.
        """
        with beside(self.folder / "new.parquet") as temporary:
            about = self._assemble(as_of, into=temporary, progress=progress)
            version = about["version"]
            if not self._path(version).exists():
                move(temporary, self._path(version))
        if not self._about(version).exists():
            write_atomically(self._about(version), json.dumps(about, indent=1).encode())
        before = self.concluded()
        self._write_latest({
            **about, LEARNT: self._learnt_until(as_of).isoformat(),
            CONCLUDED: before and before.as_of.isoformat(),
            CONCLUDED_LEARNT: before and before.until.isoformat(),
        })
        return self._training_set(about)

    def conclude(self, version: str) -> None:
        """A training on `version` has come to a verdict: it passed its gates or did not.

        Nothing changes unless `version` is the one that was built last.
        """
        latest = self._read_latest()
        if latest.get("version") == version:
            self._write_latest({**latest, CONCLUDED: latest["as_of"],
                                CONCLUDED_LEARNT: latest.get(LEARNT, latest["as_of"])})

    def concluded(self) -> Learnt | None:
        """What the latest knew on which a training came to a verdict, if any.

        A training that died half-way has left a training set and no verdict: why it was asked
        for still stands.
        """
        latest = self._read_latest()
        if not latest:
            return None
        # Files of the first releases do not tell verdicts from trials.
        at = latest.get(CONCLUDED, latest["as_of"])
        if at is None:
            return None
        return Learnt(as_of=datetime.fromisoformat(at),
                      until=datetime.fromisoformat(latest.get(CONCLUDED_LEARNT) or at))

    def _learnt_until(self, as_of: datetime) -> datetime:
        """The end of the last day of labels that a training set of `as_of` reads."""
        days = self.lake.days(self.system.name, "labels")
        return min(as_of, midnight(days[-1]) + DAY) if days else as_of

    def _write_latest(self, about: Mapping[str, Any]) -> None:
        write_atomically(self.folder / "latest.json", json.dumps(about, indent=1).encode())

    def rebuild(self, version: str) -> TrainingSet:
        """Build `version` once more from the lake, and prove that it is the same.

        Nothing is stored. What arrived later does not count, so the lake may have grown since.
        Raises UnknownName where there was no such version, and NotReproducible where the same
        instant now gives other rows: a partition was materialised anew from other data, or
        the features are declared differently.
        """
        recorded = self._recorded(version)
        as_of = datetime.fromisoformat(recorded["as_of"])
        return self._training_set(self._again(version, as_of, recorded))

    def restored(self, version: str, as_of: datetime, folder: Path) -> TrainingSet:
        """The same in a file of its own, in `folder`, whether or not anything is left of the one
        that was recorded. Raises NotReproducible, NotReady.
        """
        recorded = self._read_about(self._about(version)) if self._about(version).exists() else {}
        path = folder / f"{version}.parquet"
        again = self._again(version, as_of, recorded, into=path)
        return replace(self._training_set(again), path=path)

    def _again(
        self, version: str, as_of: datetime, recorded: Mapping[str, Any], *,
        into: Path | None = None,
    ) -> dict[str, Any]:
        """What is known of it, assembled once more; raises NotReproducible."""
        about = self._assemble(as_of, into=into)
        if about["version"] != version:
            changed = [name for name, meaning in about.items()
                       if meaning != recorded.get(name) and name != "version"]
            raise NotReproducible(
                f"training set {version} of {self.system.name!r}, as of {as_of.isoformat()}, comes "
                f"out as {about['version']}; what differs: "
                f"{', '.join(changed) if recorded and changed else 'values'}"
            )
        return about

    def difference(self, version: str, *, at_most: int = LOOKED_AT) -> str | None:
        """Why `version` cannot be built once more from the lake; None if nothing speaks against it.

        Of a set of many more than `at_most` rows about so many are built and compared, chosen by
        their ids; `rebuild` builds all of them.
        """
        recorded = self._recorded(version)
        if recorded["labels"] <= 2 * at_most:
            try:
                self.rebuild(version)
                return None
            except (NotReproducible, NotReady) as error:
                return str(error)
        share = at_most / recorded["labels"]
        as_of, about = datetime.fromisoformat(recorded["as_of"]), self._meaning()
        try:
            with assembled(self.settings, self.system, as_of, share=share) as made:
                rows = pd.concat(list(made.frames()), ignore_index=True)
        except NotReady as error:
            return str(error)
        changed = [name for name in MEANING if about.get(name) != recorded.get(name)]
        names = [name for name in rows.columns if name != "split"]  # that depends on all rows
        stored = self._read_drawn(version, share)
        if not changed and digest(stored[names]) == digest(self._as_stored(rows)[names]):
            return None
        return (f"of training set {version} of {self.system.name!r}, as of {recorded['as_of']}, "
                f"{len(stored):,} rows were built again, and come out differently: "
                f"{', '.join(changed) or 'other values'}")

    def _assemble(
        self, as_of: datetime, *, into: Path | None = None, progress: BuildProgress = untold
    ) -> dict[str, Any]:
        """What is known of the training set; its rows are written into a file, if one is given."""
        about, target, codes = self._meaning(), self.system.target, list[Floats]()
        with assembled(self.settings, self.system, as_of, progress=progress) as made, (
                ExitStack()) as stack:
            schema = self._schema(load_manifest(self.settings).service(self.system).features)
            file = None if into is None else stack.enter_context(
                pq.ParquetWriter(into, schema, compression="zstd"))
            address = Address(schema.names, about, made.partly)
            for rows in made.frames():
                progress("rows", sum(map(len, codes)), made.count)
                address.add(rows)
                codes.append(target.codes(rows["label"].tolist()))
                if file is not None:
                    table = pa.Table.from_pandas(rows, schema, preserve_index=False)
                    file.write_table(table, GROUP)
            return about | {
                "version": str(address), "as_of": as_of.isoformat(), "labels": made.count,
                "described": target.described(np.concatenate(codes)),
                "events_lacking": made.lacking,
                "partitions": [made.first.isoformat(), made.last.isoformat()],
            }

    def _meaning(self) -> dict[str, Any]:
        """What of a set is part of its address, beside values."""
        system = self.system
        service = load_manifest(self.settings).service(system)
        about: dict[str, Any] = {
            "feature_names": [*system.model.numbers, *service.features],
            "texts": list(system.model.texts),
            "feature_service": service.name,
            "definitions": service.definitions,
        }
        return about | ({"coded": sorted(service.coded)} if service.coded else {})

    def latest(self) -> TrainingSet:
        """The one that was built last. Raises NotReady where none was."""
        about = self._read_latest()
        if not about:
            raise NotReady(f"{self.system.name!r} has no training set yet; "
                           f"materialise {self.system.name}/training_set first")
        return self._training_set(about)

    def load(self, version: str) -> TrainingSet:
        """One version, as of the first time it was built. Raises UnknownName."""
        return self._training_set(self._recorded(version))

    def _recorded(self, version: str) -> dict[str, Any]:
        if (path := self._about(version)).exists():
            return self._read_about(path)
        known = [path.stem for path in listed(self.folder, "*.parquet")]
        raise unknown(f"training set of {self.system.name!r}", version, known)

    def _read_about(self, path: Path) -> dict[str, Any]:
        """Raises StateDamaged."""
        again = f"materialise {self.system.name}/training_set again"
        about = read_object(path, "of a training set", again)
        if "as_of" not in about:
            raise StateDamaged(f"{path} is damaged: it lacks 'as_of'. {again.capitalize()}")
        return about

    def latest_version(self) -> str | None:
        """The version that was built last, None where none was."""
        about = self._read_latest()
        return str(about["version"]) if about else None

    def _as_stored(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows as they come back from a file."""
        schema = self._schema(load_manifest(self.settings).service(self.system).features)
        return frame_of(pa.Table.from_pandas(rows, schema, preserve_index=False))

    def _schema(self, features: tuple[str, ...]) -> pa.Schema:
        event_id, happened, accepted, *columns, _position = events_schema(self.system)
        label = pa.type_for_alias(self.system.target.lake_type)
        return pa.schema([
            event_id, happened, accepted, ("label", label), ("known_at", INSTANT),
            ("split", pa.string()), *columns, *shown_fields(self.system),
            *((name, pa.float32()) for name in features),
            *((name, pa.float32()) for each in self.system.model.of(Embedding)
              for name in each.places),
        ])

    def _path(self, version: str) -> Path:
        return current(self.folder / f"{version}.parquet")

    def _about(self, version: str) -> Path:
        return current(self.folder / f"{version}.json")

    def _read_latest(self) -> dict[str, Any]:
        """Nothing if none was built."""
        path = current(self.folder / "latest.json")
        return self._read_about(path) if path.exists() else {}

    def _read_drawn(self, version: str, share: float) -> pd.DataFrame:
        with naming(path := self._path(version)), pq.ParquetFile(path) as file:
            return frame_of(pa.Table.from_batches([
                batch.filter(pa.array(drawn(batch["event_id"].to_pylist(), share), pa.bool_()))
                for batch in file.iter_batches(batch_size=AT_ONCE)
            ], file.schema_arrow))

    def _training_set(self, about: Mapping[str, Any]) -> TrainingSet:
        first, last = about["partitions"]
        return TrainingSet(
            version=about["version"],
            as_of=datetime.fromisoformat(about["as_of"]),
            feature_names=tuple(about["feature_names"]),
            texts=tuple(about["texts"]),
            partitions=(date.fromisoformat(first), date.fromisoformat(last)),
            feature_service=about["feature_service"],
            labels=about["labels"],
            events_lacking=about["events_lacking"],
            path=self._path(about["version"]),
            coded=frozenset(about.get("coded", ())),
        )
