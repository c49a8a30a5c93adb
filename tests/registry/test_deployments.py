"""Laws of the deployment record: append-only, one writer at a time, undone in reverse."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.errors import InvalidRequest, LogUnavailable, NotReady
from ml_assets.core.settings import ROOT
from ml_assets.registry.deployments import Deployment, Deployments, in_force

AT = datetime(2024, 1, 8, 12, 30, 1, 234567, tzinfo=UTC)


@pytest.fixture
def deployments(tmp_path: Path) -> Deployments:
    return Deployments(tmp_path / "deployments.sqlite")


def deploy(deployments: Deployments, version: int, system: str = "toy") -> Deployment:
    return deployments.deploy(system, version, reason=f"try {version}", by="tests", at=AT)


def rollback(deployments: Deployments) -> Deployment:
    return deployments.rollback("toy", reason="it was worse", by="tests", at=AT)


def test_nothing_is_in_force_at_first(deployments: Deployments) -> None:
    assert deployments.current("toy") is None
    assert deployments.history("toy") == []
    assert deployments.sequence() == 0


def test_the_last_deployment_is_in_force_and_names_the_one_before(
    deployments: Deployments,
) -> None:
    first, second = deploy(deployments, 1), deploy(deployments, 4)
    assert (first.previous, second.previous) == (None, 1)
    assert deployments.current("toy") == second
    assert deployments.history("toy") == [first, second]
    assert second.at == AT


def test_systems_do_not_meet(deployments: Deployments) -> None:
    deploy(deployments, 1)
    other = deploy(deployments, 7, "other")
    assert other.previous is None
    assert [d.version for d in deployments.history("toy")] == [1]
    assert deployments.sequence() == other.id


def test_deploying_what_is_in_force_changes_nothing(deployments: Deployments) -> None:
    first = deploy(deployments, 1)
    assert deploy(deployments, 1) == first
    assert deployments.sequence() == first.id


def test_an_instant_is_kept_to_the_microsecond_in_utc(deployments: Deployments) -> None:
    local = AT.astimezone(timezone(timedelta(hours=2)))
    kept = deployments.deploy("toy", 1, reason="r", by="b", at=local)
    assert deployments.current("toy") == kept
    assert kept.at == AT
    with pytest.raises(InvalidRequest, match="no time zone"):
        deployments.deploy("toy", 2, reason="r", by="b", at=AT.replace(tzinfo=None))


def test_a_rollback_is_a_new_record_that_puts_the_earlier_version_back(
    deployments: Deployments,
) -> None:
    deploy(deployments, 1)
    deploy(deployments, 2)
    back = rollback(deployments)
    assert (back.version, back.previous, back.rollback) == (1, 2, True)
    assert deployments.current("toy") == back
    assert [d.version for d in deployments.history("toy")] == [1, 2, 1]


def test_rolling_back_twice_goes_back_twice(deployments: Deployments) -> None:
    for version in (1, 2, 3):
        deploy(deployments, version)
    assert [rollback(deployments).version for _ in range(2)] == [2, 1]
    with pytest.raises(NotReady, match="version 1 is the first"):
        rollback(deployments)
    deploy(deployments, 4)
    assert rollback(deployments).version == 1


def test_there_is_nothing_to_go_back_to_at_first(deployments: Deployments) -> None:
    with pytest.raises(NotReady, match="'toy' has no earlier deployment"):
        rollback(deployments)


@given(st.lists(st.none() | st.integers(1, 5), max_size=12))
@settings(max_examples=40, deadline=None)
def test_what_is_in_force_is_the_last_that_was_not_undone(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int | None]
) -> None:
    deployments = Deployments(tmp_path_factory.mktemp("steps") / "d.sqlite")
    stack: list[int] = []
    for step in steps:
        if step is not None:
            deploy(deployments, step)
            if stack[-1:] != [step]:
                stack.append(step)
        elif len(stack) > 1:
            rollback(deployments)
            stack.pop()
        current = deployments.current("toy")
        assert [d.version for d in in_force(deployments.history("toy"))] == stack
        assert (None if current is None else current.version) == (stack[-1] if stack else None)


@pytest.mark.parametrize("change", [
    "update deployments set version = 9",
    "delete from deployments",
    "insert or replace into deployments select id, system, 9, previous, rollback, reason, by, at"
    " from deployments",
])
def test_no_program_can_change_a_record(deployments: Deployments, change: str) -> None:
    first = deploy(deployments, 1)
    database = sqlite3.connect(deployments.path)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        database.execute(change)
    database.close()
    assert deployments.history("toy") == [first]


def test_a_record_without_a_reason_is_refused(deployments: Deployments) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="reason"):
        deployments.deploy("toy", 1, reason="", by="tests", at=AT)
    assert deployments.sequence() == 0


def test_two_processes_that_deploy_at_once_make_one_chain(deployments: Deployments) -> None:
    code = (
        "import sys; from datetime import UTC, datetime; from pathlib import Path;"
        "from ml_assets.registry.deployments import Deployments;"
        "ds = Deployments(Path(sys.argv[1]));"
        "[ds.deploy('toy', v, reason='r', by='b', at=datetime(2024, 1, 1, tzinfo=UTC))"
        " for v in range(int(sys.argv[2]), int(sys.argv[2]) + 25)]"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(deployments.path), start], cwd=ROOT)
        for start in ("100", "200")
    ]
    assert [process.wait(60) for process in both] == [0, 0]
    history = deployments.history("toy")
    assert sorted(d.version for d in history) == [*range(100, 125), *range(200, 225)]
    assert [d.previous for d in history] == [None, *(d.version for d in history[:-1])]


def test_one_object_serves_many_threads(deployments: Deployments) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda version: deploy(deployments, version), range(1, 41)))
    history = deployments.history("toy")
    assert [d.previous for d in history] == [None, *(d.version for d in history[:-1])]
    assert sorted(d.version for d in history) == list(range(1, 41))


def test_a_file_that_is_no_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / "deployments.sqlite"
    path.write_text("this is not a database" * 100)
    with pytest.raises(LogUnavailable, match=r"deployments\.sqlite: file is not a database"):
        Deployments(path)
