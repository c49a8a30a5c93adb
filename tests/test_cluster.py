"""The loop on servers that hosts share gives what it gives in files, whichever host is asked."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from ml_assets.core.time import midnight
from ml_assets.features.store import client_config, open_store, publish_features
from ml_assets.ingest.log.answers_digest import answers_digest
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.served import row_of
from ml_assets.monitoring.parity import ParityReports
from ml_assets.registry.deployments import Deployments
from ml_assets.registry.models import ModelRegistry
from tests.places import cluster_at, environment
from tests.serving.kit import serving
from tests.whole_loop import WholeLoop, whole_loop

EVENTS = 24
SHOPS = [f"shop {number}" for number in range(7)]
"""The last of which nobody has heard of."""


STRANGERS: list[object] = []
"""Kept, because Feast leaves the connections of its registry open."""


def asked(number: int) -> dict[str, Any]:
    return {"event_id": f"e{number}", "event": {
        "shop": f"shop {number % 5}", "note": f"note {number % 7}", "amount": 3.0 + number}}


def live_day(loop: WholeLoop, hosts: Sequence[WholeLoop]) -> None:
    """Its events go to the hosts by turns, and so does what becomes known of them."""
    start = midnight(loop.system.calendar.go_live)
    with serving(hosts[0]) as first, serving(hosts[-1]) as last:
        apis = [first, last]

        def post(number: int, call: str, body: dict[str, Any]) -> httpx.Response:
            for host in hosts:
                host.clock.set(start + timedelta(minutes=number))
            answer = apis[number % 2].post(f"/v1/toy/{call}", json=body)
            assert answer.status_code == 200, answer.text
            return answer

        for number in range(EVENTS):
            answer = post(number, "predict", asked(number)).json()
            assert answer["degraded"] is False
            # Sent again, to the other one.
            again = apis[(number + 1) % 2].post("/v1/toy/predict", json=asked(number)).json()
            assert again["prediction_id"] == answer["prediction_id"]
            assert again["score"] == answer["score"]
            if number % 3 == 0:
                post(number, "feedback", {"prediction_id": answer["prediction_id"],
                                          "label": number % 2 == 0, "source": "buyer"})
    loop.close(loop.system.calendar.go_live)


def made(loop: WholeLoop) -> dict[str, object]:
    """All that the log says of the day, and who answered, each by its name."""
    start = midnight(loop.system.calendar.go_live)
    with closing(EventLog(loop.settings.event_log)) as log:
        said = [row_of(each, each.seq or 0, None)
                for each in log.predictions("toy", start, start + timedelta(days=1))]
        digest = answers_digest(log, "toy")
        words = list(log.feedback.between("toy", start, start + timedelta(days=1)))
    deployed = Deployments(loop.settings.deployments).history("toy")
    [report] = [ParityReports(loop.settings, loop.system).read(loop.system.calendar.go_live)]
    assert report is not None and report.checked == EVENTS and report.holds
    decided = [(each.version, each.action, each.reason) for each in deployed]
    return {
        **{f"prediction {number}": each for number, each in enumerate(said)}, "digest": digest,
        **{f"feedback {number}": each for number, each in enumerate(words)},
        "decisions": decided, "parity report": report,
    }


def assert_same(found: dict[str, object], expected: dict[str, object]) -> None:
    """With all that differs in the message, uncut."""
    different = [f"{name}: {found.get(name)!r}, not {expected.get(name)!r}"
                 for name in expected | found if found.get(name) != expected.get(name)]
    assert not different, "\n".join(different)


@pytest.mark.slow
def test_the_loop_on_servers_gives_what_it_gives_in_files_whichever_host_answers(
    tmp_path: Path, postgres_url: str, objects_url: str, redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two hosts share servers, and no folder; the second has seen nothing of the history."""
    with whole_loop(tmp_path / "local") as local:
        live_day(local, [local])
        expected = made(local)
    cluster = cluster_at(postgres_url, objects=objects_url)
    for name, value in environment(replace(local.settings, cluster=cluster)).items():
        monkeypatch.setenv(name, value)
    with whole_loop(tmp_path / "first", cluster=cluster) as first:
        second = WholeLoop(settings=replace(first.settings, var=tmp_path / "second" / "var"))
        live_day(first, [first, second])
        assert_same(made(first), expected)
        assert_same(made(second), expected)
        there = {each.name for each in first.settings.var.iterdir()}
        assert not {name for name in there if name.endswith(".sqlite")} | (there & {"lake"})
        registry = ModelRegistry(second.settings)
        assert [each.version for each in registry.versions("toy")] == [1]
        views = [each.name for each in open_store(second.settings).list_all_feature_views()]
        assert views
        for host in (first, second):
            assert read_by_a_stranger(host, tmp_path / "first" / "repository", redis_url)


def read_by_a_stranger(host: WholeLoop, repository: Path, redis_url: str) -> bool:
    """Whether Feast's client reads in Redis, which follows the log, what it reads at a host."""
    from feast import FeatureStore
    from feast.repo_config import RepoConfig

    assert host.settings.cluster is not None
    settings = replace(host.settings, cluster=replace(host.settings.cluster, redis=redis_url))
    own = open_store(settings, repository)
    apply = publish_features(settings, repository)
    apply()
    assert apply() == 0
    said = client_config(settings, repository)
    assert "log" not in said["online_store"]
    stranger = FeatureStore(config=RepoConfig(**said))
    STRANGERS.append(stranger)
    [service] = own.list_feature_services()
    asked = [{"shop": shop} for shop in SHOPS]
    told, expected = (
        store.get_online_features(service, asked).proto for store in (stranger, own))
    return bool(told == expected and expected.results)
