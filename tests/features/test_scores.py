"""The view of scores: one rule for batches and predictions, in Feast's words too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ml_assets.core.assets import key
from ml_assets.core.errors import DeclarationError
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import EventClock, midnight
from ml_assets.core.truths import Recorded
from ml_assets.features import declaration
from ml_assets.features.assets import build
from ml_assets.features.manifest import load_manifest
from ml_assets.features.online_store.backend import Backend, digest_of
from ml_assets.features.online_store.counting import put_rows
from ml_assets.features.online_store.latest_scores import (
    CREATED,
    TIMESTAMP,
    Basis,
    Score,
    columns_of,
    latest_of,
    name_of,
    row_of,
    scores_view,
)
from ml_assets.features.online_store.lmdb.backend import LmdbBackend
from ml_assets.features.online_store.versions import PlainView
from ml_assets.features.scores import load_scores
from ml_assets.features.store import open_backend, open_store
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import batch_schema
from ml_assets.systems import SYSTEMS
from ml_assets.systems.spam import SPAM
from ml_assets.targets import Number
from tests.features.recorded import first_days
from tests.serving.kit import NOON
from tests.toy import TOY
from tests.trips_features import zone as ZONE

VIEW = scores_view(TOY)
DAY = first_days(SPAM, 1)[0]
WEIRD = 'a "b" <c@d.example>, é'


@pytest.fixture
def state(tmp_path: Path) -> Iterator[LmdbBackend]:
    backend = LmdbBackend(tmp_path / "online.lmdb")
    yield backend
    backend.close()


DECIDED: dict[str, st.SearchStrategy[Any]] = {
    "Bool": st.booleans(), "Float64": st.floats(-1e15, 1e15),
    "String": st.text(st.characters(codec="utf-8"), min_size=1, max_size=8),
}
"""By Feast's type of decisions."""


def view_of(decision: str) -> PlainView:
    return replace(VIEW, columns=columns_of(decision))


@st.composite
def _scores(draw: st.DrawFn, decision: str = "Bool") -> Score:
    event, when = draw(st.integers(0, 3)), draw(st.integers(0, 5))
    basis: Basis = draw(st.sampled_from(["batch", "prediction"]))
    return Score(
        key=draw(st.sampled_from(["", "corner", "mall"])), score=draw(st.floats(0, 1)),
        decision=draw(DECIDED[decision]), model_version=draw(st.integers(1, 2**40)),
        event_id=f"é{event}", event_timestamp=NOON + timedelta(seconds=event),
        scored_at=NOON + timedelta(hours=when), basis=basis,
    )


def put(state: Backend, number: int, score: Score) -> None:
    """As a batch does, or as a prediction does."""
    if score.basis == "prediction":
        row = row_of(score)
        state.put(number, [] if row is None else [row])
    else:
        put_rows(VIEW, state, table_of([score]), timestamp=TIMESTAMP, created=CREATED)


def table_of(scores: Sequence[Score]) -> Any:
    rows = [{**asdict(score), "shop": score.key} for score in scores]
    return pa.Table.from_pylist(rows)


@hypothesis_settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(_scores(), min_size=1, max_size=8,
             unique_by=lambda score: (score.event_timestamp, score.scored_at)),
    st.randoms(use_true_random=False),
)
def test_in_any_order_the_latest_event_s_latest_score_stays(
    state: LmdbBackend, scores: list[Score], draw: Any
) -> None:
    """The law: what is known of an entity does not depend on who wrote first, nor how often."""
    order = [*scores, *scores[:3]]
    draw.shuffle(order)
    number = state.register(VIEW.name, digest_of(VIEW))
    for score in order:
        put(state, number, score)
    blobs = state.get(number, [b"corner", b"mall"])
    state.drop(number)
    for name, blob in zip(("corner", "mall"), blobs, strict=True):
        mine = [score for score in scores if score.key == name]
        if not mine:
            assert blob is None
            continue
        assert blob is not None
        assert latest_of(VIEW, name, blob) == max(
            mine, key=lambda score: (score.event_timestamp, score.scored_at))


@hypothesis_settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@pytest.mark.parametrize("decision", DECIDED)
@given(st.data())
def test_a_prediction_is_packed_as_a_batch_packs_it(
    state: LmdbBackend, decision: str, data: st.DataObject
) -> None:
    """Bit by bit, whichever way a score takes, and read back as it was, whatever is decided."""
    score = data.draw(_scores(decision).filter(lambda score: score.key != ""))
    blobs, view = list[bytes | None](), view_of(decision)
    for way in ("batch", "prediction"):
        number = state.register(view.name, digest_of(view))
        if way == "batch":
            put_rows(view, state, table_of([score]), timestamp=TIMESTAMP, created=CREATED)
        else:
            row = row_of(score)
            assert row is not None
            state.put(number, [row])
        blobs += state.get(number, [score.key.encode()])
        state.drop(number)
    assert blobs[0] is not None and blobs[0] == blobs[1]
    assert latest_of(view, score.key, blobs[0]) == score


def test_a_view_whose_decisions_are_of_another_type_is_named_with_what_to_write() -> None:
    manifest = load_manifest(Settings())
    graded = replace(SPAM, model=replace(SPAM.model, loss=None), gates=(),
                     target=Number(name="harm", unit="EUR", tolerance=1),
                     truth=Recorded(source="recipient", within=timedelta(days=1)))
    with pytest.raises(DeclarationError, match=r"has one by sender of decisions that are Bool\. .*"
                       r"scores_view\('spam', sender, decisions='double'\)"):
        manifest.require_scores(graded)
    with pytest.raises(DeclarationError, match="decisions is 'number'; expected 'bool', 'string'"):
        declaration.scores_view("trips", ZONE, decisions="number")  # type: ignore[arg-type]
    ours = declaration.scores_view("trips", ZONE, decisions="double")
    assert [(each.name, str(each.dtype)) for each in ours.features] == [
        (each.name, each.type) for each in columns_of("Float64")]


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_what_keeps_scores_declares_their_view_just_as_serving_knows_it(system: System) -> None:
    manifest = load_manifest(Settings())
    manifest.require_scores(system)
    if system.scores_by is not None:
        declared, view = manifest.feast.view(name_of(system.name)), scores_view(system)
        assert declared.join_keys == view.keys
        assert [(each.name, each.dtype) for each in declared.features] == [
            (each.name, each.type) for each in view.columns]


def test_a_system_whose_view_is_not_declared_is_told_what_to_write() -> None:
    manifest = load_manifest(Settings())
    with pytest.raises(DeclarationError, match=r"no such view\. Declare it in .*toy/features\.py: "
                       r"scores = scores_view\('toy', shop\)"):
        manifest.require_scores(TOY)
    manifest.require_scores(replace(TOY, scores_by=None))
    with pytest.raises(DeclarationError, match="the repository has one by sender"):
        manifest.require_scores(replace(SPAM, scores_by="sender_domain"))


def record_batch(settings: Settings) -> pd.DataFrame:
    """A day of batch scores: two mails of one sender, one of another, one of nobody."""
    at = [midnight(DAY) + timedelta(hours=hour) for hour in (3, 1, 2, 4)]
    rows = pd.DataFrame({
        "event_id": ["new", "old", "other", "nobody's"], "event_timestamp": at,
        "features": [[1.0]] * 4, "feature_names": [["links"]] * 4, "model_version": 7,
        "outputs": [[]] * 4,
        "score": [0.875, 0.25, 0.5, 0.75], "decision": [True, False, True, True],
        "scored_at": midnight(DAY) + timedelta(days=1), "basis": "batch",
        "sender": [WEIRD, WEIRD, "b@example", ""],
    })
    Lake(settings.lake).write("spam", "batch_predictions", DAY, rows, batch_schema(SPAM))
    return rows


def test_a_load_keeps_of_each_entity_the_latest_event_s_score(settings: Settings) -> None:
    record_batch(settings)
    view = scores_view(SPAM)
    for _ in range(2):
        assert load_scores(settings, SPAM, [DAY]) == 3
        backend = open_backend(settings)
        number = backend.views()[view.name].id
        [blob] = backend.get(number, [WEIRD.encode()])
        assert blob is not None
        assert latest_of(view, WEIRD, blob).event_id == "new"
        assert backend.count(number) == 2
        backend.close()


@pytest.mark.slow
def test_the_asset_loads_a_day_and_feast_answers_what_was_loaded(settings: Settings) -> None:
    """Native Feast: registered, loaded by Dagster, read by `get_online_features`."""
    record_batch(settings)
    EventClock(settings.clock_file("spam")).set(midnight(DAY) + timedelta(days=1))
    tags = {"dagster/asset_partition_range_start": DAY.isoformat(),
            "dagster/asset_partition_range_end": DAY.isoformat()}
    result = dg.materialize(build(SPAM), selection=[key(SPAM, "scores")], tags=tags,
                            resources={"settings": settings})
    [loaded] = result.get_asset_materialization_events()
    assert loaded.materialization.metadata["dagster/row_count"].value == 3
    store = open_store(settings)
    names = ("score", "decision", "model_version", "event_id", "basis")

    def online() -> dict[str, Any]:
        found: dict[str, Any] = store.get_online_features(
            features=[f"spam_scores:{name}" for name in names],
            entity_rows=[{"sender": WEIRD}, {"sender": "who?"}],
        ).to_dict()
        return {name: found[name] for name in names}

    expected = {"score": [0.875, None], "decision": [True, None], "model_version": [7, None],
                "event_id": ["new", None], "basis": ["batch", None]}
    assert online() == expected
    store.materialize(midnight(DAY), midnight(DAY) + timedelta(days=1),
                      feature_views=["spam_scores"])
    assert online() == expected
    history = store.get_historical_features(
        entity_df=pd.DataFrame({"sender": [WEIRD] * 2, "event_timestamp": [
            midnight(DAY) + timedelta(hours=2), midnight(DAY) + timedelta(days=2)]}),
        features=["spam_scores:score", "spam_scores:event_id"],
    ).to_df()
    assert history["event_id"].tolist() == ["old", "new"]
