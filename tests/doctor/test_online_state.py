"""The doctor looks into the online store, which holds nothing that cannot be made again."""

from __future__ import annotations

import json
import os
from contextlib import closing
from math import inf
from typing import Any

import pytest

from ml_assets.core.settings import Settings
from ml_assets.core.storage import layout
from ml_assets.doctor import online_state
from ml_assets.features.online_store.backend import digest_of
from ml_assets.features.online_store.lmdb.unsynced import Unsynced
from ml_assets.features.online_store.lmdb.writer_lock import WriterLock
from ml_assets.features.store import open_backend
from ml_assets.ingest.log.event_log import EventLog
from tests.core.kit import made
from tests.doctor.test_doctor import doctor
from tests.ingest.log.test_event_log import prediction
from tests.serving.tiles import SHOPPING, tiles


def found(settings: Settings) -> dict[str, Any]:
    told = json.loads(doctor(settings, "--json").stdout)
    return next((each for each in told["findings"] if each["what"] == "online.lmdb"), {})


def test_how_far_the_store_is_behind_the_log_is_told(settings: Settings) -> None:
    made(settings)
    assert found(settings) == {}
    with closing(open_backend(settings)) as store:
        assert found(settings)["note"] == "sound; no feature view is applied"
        store.register(SHOPPING.name, digest_of(SHOPPING))
        with closing(EventLog(settings.event_log)) as log:
            log.append([prediction("a"), prediction("b")])
            told = found(settings)
            assert told["trouble"] is None
            assert told["note"] == "sound; 2 positions behind the log, for the next reader"
            tiles(log.connection, settings).close()
    assert found(settings)["note"] == ""


def test_a_damaged_store_is_told_and_needs_no_decision(settings: Settings) -> None:
    made(settings)
    open_backend(settings).close()
    path = settings.online_store
    path.write_bytes(b"no store" * 1000)
    assert "not an LMDB file" in found(settings)["trouble"]
    with closing(open_backend(settings)):
        aside = list((settings.var / layout.SET_ASIDE).iterdir())
        assert any(each.name.startswith("online.lmdb.") for each in aside)
    assert found(settings)["trouble"] is None
    Unsynced(path).path.write_text("another boot of the machine")
    assert "when the machine stopped" in found(settings)["trouble"]


def test_a_writer_that_hangs_is_told_with_its_number(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(online_state, "PATIENCE_S", 0.1)
    made(settings)
    with closing(open_backend(settings)):
        with closing(WriterLock(settings.online_store)) as writer, writer.held(inf):
            told = found(settings)
            assert f"process {os.getpid()} has been writing the online store" in told["trouble"]
            assert "answers of the API are degraded" in told["remedy"]
        assert found(settings)["trouble"] is None
