"""The API on the real stores: Feast's online store, MLflow's registry, a torch model."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest

from ml_assets.core.model import HashedText
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import EventClock, midnight
from ml_assets.features.manifest import load_manifest
from ml_assets.features.offline import OfflineFeatures
from ml_assets.features.online_load import load_view
from ml_assets.ingest.events import parse_raw, raw_from_log
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.tables import events_schema
from ml_assets.registry.deployments import Deployments
from ml_assets.registry.models import ModelRegistry
from ml_assets.serving.batch.tables import agreement, batch_rows, served_rows
from ml_assets.serving.composition import Backends
from ml_assets.systems.spam import SPAM
from tests.features.recorded import first_days, record
from tests.serving.kit import Toy, problem, serving

pytestmark = pytest.mark.slow

SMALL = replace(SPAM, model=replace(
    SPAM.model, network=HashedText(buckets=2**12, pieces=0, l2_dense=2.0)))
DAYS = first_days(SMALL, 6)
NOW = midnight(DAYS[-1]) + timedelta(days=1, hours=9)


@dataclass(kw_only=True)
class Real(Toy):
    """An installation with a past, a loaded online store and one registered model."""

    system: System = SMALL

    @property
    def clock(self) -> EventClock:
        return EventClock(self.settings.clock_file(self.system.name))

    def __post_init__(self) -> None:
        self.clock.set(NOW)

    def backends(self) -> Backends:
        return Backends.of(self.settings)


def mail(n: int) -> dict[str, object]:
    text = (f"From: Someone <person{n}@sender_domain-{n % 6}>\r\n"
            f"List-Id: <mailing_list-{n % 5}>\r\nSubject: Offer number {n}!\r\n\r\n"
            f"{'Buy now. ' * n}See http://shop{n % 3}.example/ for more.\r\n")
    return {"message_base64": base64.b64encode(text.encode()).decode()}


def asked(n: int) -> dict[str, object]:
    return {"event_id": f"m{n}", "event": mail(n)}


def register_a_model(settings: Settings, folder: Path) -> int:
    from ml_assets.training import artifact
    from ml_assets.training.fit import fit
    from ml_assets.training.rows.labelled import LabelledRows

    features = load_manifest(settings).service(SMALL).features
    names = (*SMALL.model.numbers, *features)
    events = [SMALL.source.parse(mail(n)) for n in range(20)]
    texts = {name: [str(event[name]) for event in events] for name in SMALL.model.texts}
    dense = np.random.default_rng(3).lognormal(0, 1, (20, len(names))).astype(np.float32)
    dense[::3, -1] = np.nan
    scorer = fit(SMALL.model, SMALL.target, LabelledRows(
        texts=texts, dense=dense, codes=np.arange(20.0) % 2, feature_names=names)).scorer
    artifact.save(scorer, folder, dense=dense[:4],
                  texts={name: values[:4] for name, values in texts.items()})
    version = ModelRegistry(settings).register(
        SMALL.name, folder, params={}, metrics={}, tags={"data_version": "made up"}
    )
    return version.version


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Real:
    settings = Settings(var=tmp_path_factory.mktemp("real"))
    made = Real(settings=settings)
    record(settings, SMALL, DAYS)
    views = load_manifest(settings).service(SMALL).views
    for view in views:
        load_view(settings, view, DAYS)
    made.deploy(register_a_model(settings, settings.var / "new_model"))
    return made


@pytest.fixture(scope="module")
def api(real: Real) -> Iterator[httpx.Client]:
    with serving(real) as client:
        yield client


def test_served_features_are_those_of_history_and_batch_scores_those_served(
    real: Real, api: httpx.Client
) -> None:
    """Parity bit by bit, through every real store."""
    ready = api.get("/readyz").json()
    assert ready == {"ready": True, "systems": {"spam": True}, "problems": [], "warnings": []}
    body = {"events": [asked(n) for n in range(30)]}
    together = api.post("/v1/spam/predict/batch", json=body).json()["predictions"]
    for n in range(30, 60):
        assert api.post("/v1/spam/predict", json=asked(n)).status_code == 200
    assert not any(answer["degraded"] for answer in together)

    log = EventLog(real.settings.event_log)
    accepted = list(log.predictions("spam", NOW, NOW + timedelta(days=1)))
    log.close()
    assert [p.features_as_of for p in accepted] == [p.event_timestamp for p in accepted]
    events = parse_raw(SMALL, raw_from_log(accepted)).events
    Lake(real.settings.lake).write("spam", "events", NOW.date(), events, events_schema(SMALL))
    offline = OfflineFeatures(real.settings, SMALL)
    history = offline.read(events, events["event_timestamp"], accepted_at=events["accepted_at"])
    served = np.array([p.features for p in accepted])[:, len(SMALL.model.numbers) :]
    assert np.isfinite(served).any()
    assert np.array_equal(served, history, equal_nan=True)

    version = Deployments(real.settings.deployments).current("spam")
    assert version is not None
    scorer = Backends.of(real.settings).model(SMALL, version.version)
    batch = batch_rows(SMALL, scorer, version.version, events, history, at=NOW)
    found = agreement(batch, served_rows(accepted))
    assert (found.compared, found.differing) == (60, 0)


def test_a_retry_alone_of_what_was_answered_in_a_batch_scores_the_same(
    api: httpx.Client
) -> None:
    body = {"events": [{"event": mail(n)} for n in range(20)]}
    together = api.post("/v1/spam/predict/batch", json=body).json()["predictions"]
    alone = [api.post("/v1/spam/predict", json={"event": mail(n)}).json() for n in range(20)]
    assert [one["score"] for one in together] == [one["score"] for one in alone]


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ({"message_base64": base64.b64encode(b"no headers at all").decode()}, "neither a From"),
        ({"message_base64": "!"}, "base64"),
        ({"message": ""}, "empty"),
        ({}, "neither of message"),
    ],
)
def test_a_broken_mail_is_refused_with_the_reason_and_leaves_no_prediction(
    real: Real, api: httpx.Client, event: dict[str, object], says: str
) -> None:
    log = EventLog(real.settings.event_log)
    before = log.count("spam")
    found = problem(api.post("/v1/spam/predict", json={"event": event}), 422, "unusable_event")
    assert says in found["message"]
    assert found["field"] == "event"
    assert log.count("spam") == before
    log.close()


def test_a_damaged_model_is_refused_and_the_old_one_stays(real: Real, api: httpx.Client) -> None:
    from tests.serving.kit import wait_until

    broken = register_a_model(real.settings, real.settings.var / "broken_model")
    folder = ModelRegistry(real.settings).folder("spam", broken)
    weights = folder / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-400:] = (each ^ 0xFF for each in content[-400:])
    weights.write_bytes(content)
    before = api.get("/v1/spam/version").json()["loaded"]
    real.deploy(broken)
    wait_until(lambda: api.get("/v1/spam/version").json()["refused"])
    shown = api.get("/v1/spam/version").json()
    assert shown["loaded"] == before
    assert "ModelRefused" in shown["refused"][0]["reason"]
    assert api.post("/v1/spam/predict", json={"event": mail(1)}).json()["model_version"] == before
