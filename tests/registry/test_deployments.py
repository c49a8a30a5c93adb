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

from ml_assets.core.errors import InvalidRequest, LogUnavailable, NotReady, RolloutRefused
from ml_assets.core.settings import ROOT
from ml_assets.registry.deployments import Deployment, Deployments, came, in_force, takeovers
from ml_assets.registry.rollout import (
    Approve,
    Canary,
    Change,
    Promote,
    Rollback,
    Rollout,
    Shadow,
    Withdraw,
)
from tests.places import KINDS, fresh, told
from tests.strategies import changes

AT = datetime(2024, 1, 8, 12, 30, 1, 234567, tzinfo=UTC)


@pytest.fixture(params=KINDS)
def deployments(request: pytest.FixtureRequest, tmp_path: Path) -> Deployments:
    if request.param == "sqlite":
        return Deployments(tmp_path / "deployments.sqlite")
    return Deployments(fresh(request.getfixturevalue("postgres_url"), "deployments"))


def deploy(deployments: Deployments, version: int, system: str = "toy") -> Deployment:
    return deployments.promote(system, version, reason=f"try {version}", by="tests", at=AT)


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
    kept = deployments.promote("toy", 1, reason="r", by="b", at=local)
    assert deployments.current("toy") == kept
    assert kept.at == AT
    with pytest.raises(InvalidRequest, match="no time zone"):
        deployments.promote("toy", 2, reason="r", by="b", at=AT.replace(tzinfo=None))


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


INSTEAD = ("into deployments select id, system, 9, previous, rollback, reason, by, at,"
           " action, challengers, shadows, salt, about from deployments")


def test_no_program_can_change_a_record(deployments: Deployments) -> None:
    first = deploy(deployments, 1)
    changes = ["update deployments set version = 9", "delete from deployments",
               f"insert or replace {INSTEAD}" if isinstance(deployments.place, Path)
               else f"insert {INSTEAD}"]
    for change in changes:
        with deployments._kept.open() as db, pytest.raises(
                db.Error, match=r"append-only|GENERATED ALWAYS"):
            db.execute(change)
    assert deployments.history("toy") == [first]


def test_what_is_forgotten_leaves_the_others_and_no_id_comes_again(
    deployments: Deployments,
) -> None:
    deploy(deployments, 1)
    other = deploy(deployments, 7, "other")
    deployments.forget("toy")
    assert (deployments.history("toy"), deployments.current("other")) == ([], other)
    assert deploy(deployments, 2).id > other.id
    with deployments._kept.open() as db, pytest.raises(db.refusals, match="append-only"):
        db.execute("delete from deployments")


def test_a_record_without_a_reason_is_refused(deployments: Deployments) -> None:
    with deployments._kept.open() as db, pytest.raises(db.refusals, match="reason"):
        deployments.promote("toy", 1, reason="", by="tests", at=AT)
    assert deployments.sequence() == 0


def test_two_processes_that_deploy_at_once_make_one_chain(deployments: Deployments) -> None:
    code = (
        "import sys; from datetime import UTC, datetime; from tests.places import place_of;"
        "from ml_assets.registry.deployments import Deployments;"
        "ds = Deployments(place_of(sys.argv[1]));"
        "[ds.promote('toy', v, reason='r', by='b', at=datetime(2024, 1, 1, tzinfo=UTC))"
        " for v in range(int(sys.argv[2]), int(sys.argv[2]) + 25)]"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code, told(deployments.place), start], cwd=ROOT)
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


# --- whole states -------------------------------------------------------------------------


def act(deployments: Deployments, action: Change | Rollback) -> Deployment:
    return deployments.act("toy", action, reason="try it", by="tests", at=AT)


def test_each_record_is_the_whole_state_and_says_what_it_replaced(
    deployments: Deployments,
) -> None:
    one = deploy(deployments, 1)
    canary = deployments.canary("toy", 2, 0.1, reason="a try", by="ann", at=AT)
    shadow = deployments.shadow("toy", 3, reason="look", by="bob", at=AT)
    assert deployments.current("toy") == shadow
    assert deployments.history("toy") == [one, canary, shadow]
    assert [each.replaced for each in (one, canary, shadow)] == [None, one.id, canary.id]
    assert [each.action for each in (one, canary, shadow)] == ["promote", "canary", "shadow"]
    assert (shadow.version, shadow.share(2), shadow.shadows) == (1, 0.1, (3,))
    assert (shadow.by, shadow.reason) == ("bob", "look")
    swapped = deployments.promote("toy", 2, reason="better", by="ann", at=AT)
    assert (swapped.answering, swapped.shadows, swapped.previous) == ((2,), (3,), 1)
    stopped = deployments.shadow("toy", 3, stop=True, reason="enough", by="bob", at=AT)
    assert stopped.named == (2,)
    # The champion before this one, whatever else was recorded since it took over.
    assert stopped.previous == 1
    assert takeovers(deployments.history("toy")) == [one, swapped]


def test_a_rollback_puts_the_whole_state_back_one_change_at_a_time(
    deployments: Deployments,
) -> None:
    records = [act(deployments, change) for change in (
        Promote(version=1), Canary(version=2, share=0.1), Shadow(version=3), Promote(version=2),
    )]
    for earlier in reversed(records[:-1]):
        back = rollback(deployments)
        assert back.state == earlier.state
        assert (back.rollback, back.action) == (True, "rollback")
    with pytest.raises(NotReady, match="version 1 is the first"):
        rollback(deployments)


@given(st.lists(st.none() | changes(), max_size=12))
@settings(max_examples=60, deadline=None)
def test_whatever_is_done_the_record_is_a_stack_of_whole_states(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Change | None]
) -> None:
    deployments = Deployments(tmp_path_factory.mktemp("steps") / "d.sqlite")
    stack: list[Rollout] = []
    for step in steps:
        try:
            record = act(deployments, Rollback() if step is None else step)
        except (NotReady, RolloutRefused):
            continue
        if step is None:
            stack.pop()
        elif stack[-1:] != [record.state]:
            stack.append(record.state)
        assert record == deployments.current("toy")
        assert record.state == stack[-1]
    history = deployments.history("toy")
    assert [each.state for each in in_force(history)] == stack
    assert [each.replaced for each in history] == [None, *(each.id for each in history)][:-1]


def test_a_refused_change_leaves_no_record(deployments: Deployments) -> None:
    first = deploy(deployments, 1)
    with pytest.raises(RolloutRefused, match="version 1 is the champion"):
        deployments.canary("toy", 1, 0.1, reason="a slip", by="tests", at=AT)
    assert deployments.history("toy") == [first]


def test_who_meets_a_challenger_is_drawn_anew_for_each_and_the_same_in_a_replay(
    tmp_path: Path,
) -> None:
    def salts(name: str) -> list[str]:
        deployments = Deployments(tmp_path / f"{name}.sqlite")
        deploy(deployments, 1)
        return [act(deployments, Canary(version=2, share=share)).salt
                for share in (0.1, 0.2, 0.0, 0.1)]

    first = salts("first")
    assert first == salts("second")
    assert first[0] == first[1] == first[2] != first[3]


def test_a_decision_about_a_state_that_is_gone_is_refused(deployments: Deployments) -> None:
    """Of two that judge at once, one wins and the other must look again."""
    deploy(deployments, 1)
    judged = act(deployments, Canary(version=2, share=0.5))
    act(deployments, Canary(version=2, share=0.25))
    with pytest.raises(NotReady, match=r"record 2 of 'toy' was judged, but record 3 is in force"):
        deployments.act("toy", Promote(version=2), reason="better", by="judge", at=AT,
                        expecting=judged.id)
    done = deployments.act("toy", Promote(version=2, watched=True), reason="better", by="judge",
                           at=AT, expecting=3)
    assert (done.version, done.by, done.reason) == (2, "judge", "better")
    assert (done.shadows, done.previous, done.about) == ((1,), 1, 2)


def test_a_withdrawal_is_one_record_whatever_the_version_did(deployments: Deployments) -> None:
    for action in (Promote(version=1), Canary(version=2, share=0.1), Shadow(version=3)):
        act(deployments, action)
    assert act(deployments, Withdraw(version=3)).named == (1, 2)
    assert act(deployments, Withdraw(version=2)).named == (1,)
    act(deployments, Promote(version=2, watched=True))
    back = act(deployments, Withdraw(version=2, instead=1))
    assert (back.named, back.action, back.about, back.previous) == ((1,), "withdraw", 2, 2)
    with pytest.raises(RolloutRefused, match="version 1 is the champion; expected `instead`"):
        act(deployments, Withdraw(version=1))
    # A person who disagrees undoes it as any other change.
    assert rollback(deployments).named == (2, 1)


def test_an_approval_is_recorded_and_changes_nobodys_side(deployments: Deployments) -> None:
    deploy(deployments, 1)
    shadow = act(deployments, Shadow(version=2))
    approved = act(deployments, Approve(version=2))
    assert (approved.action, approved.about, approved.state) == ("approve", 2, shadow.state)
    with pytest.raises(RolloutRefused, match="version 3 is not being tried; versions beside"):
        act(deployments, Approve(version=3))
    assert rollback(deployments).named == (1,)  # the shadow, not the approval, is undone


def test_records_of_the_release_before_are_read(tmp_path: Path) -> None:
    path = tmp_path / "deployments.sqlite"
    deploy(Deployments(path), 1)
    with sqlite3.connect(path) as db:
        db.execute("alter table deployments drop column about")
    again = Deployments(path)
    assert again.history("toy")[0].about is None
    assert deploy(again, 2).about == 2


def test_since_when_a_version_has_its_role_is_told_by_the_record_that_gave_it(
    deployments: Deployments,
) -> None:
    one, canary, more, shadow, swap, back, again = (act(deployments, action) for action in (
        Promote(version=1), Canary(version=2, share=0.1), Canary(version=2, share=0.2),
        Shadow(version=3), Promote(version=2), Rollback(), Shadow(version=3, stop=True),
    ))
    history = deployments.history("toy")
    assert came(history, 1, "champion") == back
    assert came(history, 2, "challenger") == back
    assert came(history[:4], 2, "challenger") == canary
    assert came(history[:4], 1, "champion") == one
    assert came(history, 2, "champion") == swap
    assert came(history, 3, "shadow") == shadow
    assert came(history, 3, "champion") is None
    assert more in history
    assert again == history[-1]


OLD_SCHEMA = """
create table if not exists deployments (
    id       integer primary key autoincrement,
    system   text not null,
    version  integer not null check (version > 0),
    previous integer,                  -- the version in force before, null for the first
    rollback integer not null check (rollback in (0, 1)),
    reason   text not null check (length(reason) > 0),
    by       text not null check (length(by) > 0),
    at       integer not null          -- microseconds since 1970, UTC
);
create index if not exists deployments_by_system on deployments (system, id);
create trigger if not exists deployments_stay before update on deployments
begin select raise(abort, 'deployments are append-only'); end;
create trigger if not exists deployments_remain before delete on deployments
begin select raise(abort, 'deployments are append-only'); end;
-- `insert or replace` would delete without firing the trigger above.
create trigger if not exists deployments_once before insert on deployments
when exists (select 1 from deployments where id = new.id)
begin select raise(abort, 'deployments are append-only'); end;
insert into deployments (system, version, previous, rollback, reason, by, at) values
    ('toy', 1, null, 0, 'the first', 'a run', 1704717001234567),
    ('toy', 2, 1, 0, 'better', 'a run', 1704717001234567),
    ('toy', 1, 2, 1, 'worse', 'ann', 1704717001234567),
    ('toy', 3, 1, 0, 'better', 'a run', 1704717001234567);
"""


def test_a_file_of_the_first_release_is_read_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "deployments.sqlite"
    database = sqlite3.connect(path)
    database.executescript(OLD_SCHEMA)
    database.close()
    # All at once, as the API, a sensor and a person may be the first to meet it.
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda _: Deployments(path), range(8)))
    history = opened[0].history("toy")
    assert [(d.version, d.previous, d.action, d.rollback) for d in history] == [
        (1, None, "promote", False), (2, 1, "promote", False), (1, 2, "rollback", True),
        (3, 1, "promote", False),
    ]
    assert [d.named for d in history] == [(1,), (2,), (1,), (3,)]
    assert (history[0].at, history[3].replaced) == (AT, 3)
    deployments = opened[1]
    canary = act(deployments, Canary(version=4, share=0.1))
    assert canary.previous == 1
    assert rollback(deployments).named == (3,)
    assert rollback(deployments).named == (1,)
    with pytest.raises(NotReady):
        rollback(deployments)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        sqlite3.connect(path).execute("update deployments set salt = 'mine'")


def test_two_processes_that_canary_at_once_never_give_away_more_than_half(
    deployments: Deployments,
) -> None:
    """What was decided on is still so when it is written: one chain, no share twice."""
    deploy(deployments, 1)
    code = (
        "import sys; from datetime import UTC, datetime; from tests.places import place_of;"
        "from ml_assets.core.errors import RolloutRefused;"
        "from ml_assets.registry.deployments import Deployments;"
        "ds = Deployments(place_of(sys.argv[1]));"
        "from contextlib import suppress\n"
        "for version in range(int(sys.argv[2]), int(sys.argv[2]) + 20):\n"
        "    with suppress(RolloutRefused):\n"
        "        ds.canary('toy', version, 0.03, reason='r', by='b',"
        " at=datetime(2024, 1, 1, tzinfo=UTC))"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code, told(deployments.place), start], cwd=ROOT)
        for start in ("100", "200")
    ]
    assert [process.wait(60) for process in both] == [0, 0]
    history = deployments.history("toy")
    assert len(history) == 1 + 16
    assert [len(d.challengers) for d in history] == list(range(17))
    assert history[-1].share(1) == 0.52
    assert [d.replaced for d in history] == [None, *(d.id for d in history[:-1])]
