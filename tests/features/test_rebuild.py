"""A store that is rebuilt from lake and log gives the same bits, and parity still holds."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from click.testing import CliRunner

from ml_assets.cli import main
from ml_assets.core.errors import NotReady
from ml_assets.core.settings import Settings
from ml_assets.features import rebuild as rebuild_room
from ml_assets.features.offline import OfflineFeatures
from ml_assets.features.online import OnlineState
from ml_assets.features.online_store.lmdb import environment
from ml_assets.features.rebuild import WORTH_TELLING, progress, rebuild
from ml_assets.features.store import open_backend
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.serving.answer.features import GuardedState
from ml_assets.systems.spam import SPAM
from tests.features.loaded_mail import ASKED, DAYS, NOON

pytestmark = pytest.mark.slow


def served(settings: Settings) -> tuple[npt.NDArray[np.float32], int]:
    with (closing(EventLog(settings.event_log)) as log,
          closing(OnlineState(log.connection, settings, SPAM)) as state):
        values, _, position = state.read(ASKED, [NOON] * len(ASKED))
    return values, position


def damage(settings: Settings, how: str) -> None:
    """Of the store's file; nobody has it open."""
    path = settings.online_store
    if how == "lost":
        path.unlink()
    elif how == "cut short":
        path.write_bytes(path.read_bytes()[:20_000])
    elif how == "no store":
        path.write_bytes(b"Once upon a time" * 1000)
    else:
        with closing(open_backend(settings)) as store:
            env = environment.environment(path, store)
            if how == "of another format":
                env.write(lambda txn: txn.put(environment._FORMAT_KEY, b"0"))
            else:
                env.write(of_another_log)


def of_another_log(txn: Any) -> None:
    """What had been counted of this log was counted of another."""
    marks = [(key, value) for key, value in txn.cursor() if key[0] >> 6 == 2]
    assert marks
    for key, value in marks:
        txn.delete(key)
        txn.put(key[:4] + b"another.", value)


HOW = ["lost", "cut short", "no store", "of another format", "of another log"]


@pytest.mark.parametrize("how", HOW)
def test_a_store_that_is_lost_or_damaged_is_counted_again_by_whoever_opens_it(
    installed: Settings, how: str
) -> None:
    before, position = served(installed)
    assert np.nansum(before) > 0
    damage(installed, how)
    after, same = served(installed)
    np.testing.assert_array_equal(after, before)
    assert same == position
    again, _ = served(installed)
    np.testing.assert_array_equal(again, before)


def test_one_damaged_entity_is_told_and_a_rebuild_counts_it_again_while_others_read(
    installed: Settings,
) -> None:
    before, position = served(installed)
    with closing(EventLog(installed.event_log)) as log:
        guard = GuardedState(SPAM, lambda connection: OnlineState(connection, installed, SPAM),
                             lambda: log.connection)

        def read() -> tuple[npt.NDArray[np.float32], int | None]:
            values, _, read_at = guard.read(ASKED, [NOON] * len(ASKED), names)
            return values, read_at

        names = OnlineState(log.connection, installed, SPAM).names
        assert read()[1] == position
        with closing(open_backend(installed)) as store:
            environment.environment(installed.online_store, store).write(cut_states)
        assert read()[1] is None
        assert guard.problem is not None and "ml-assets store rebuild spam" in guard.problem
        told = CliRunner().invoke(main, ["store", "rebuild", "spam"],
                                  env={"ML_ASSETS_VAR": str(installed.var)})
        assert told.exit_code == 0, told.output
        assert f"up to position {position}" in told.output.replace(",", "")
        after, same = read()
        if same is None:  # its views have other numbers now, which it finds by itself
            after, same = read()
    np.testing.assert_array_equal(after, before)
    assert same == position
    history = OfflineFeatures(installed, SPAM)
    keys, at = pd.DataFrame(ASKED), pd.Series([NOON] * len(ASKED))
    # The lake does not have today's mail: what it has is the same before and after.
    np.testing.assert_array_equal(
        history.read_at(keys, at, np.full(len(ASKED), position - 20)),
        history.read_at(keys, at, np.full(len(ASKED), position)),
    )


def cut_states(txn: Any) -> None:
    """The bytes of all entities of all views."""
    keys = [key for key in txn.cursor().iternext(values=False)
            if key[0] >> 6 == 0 and key[:4] != bytes(4) and len(key) > 4]
    assert keys
    for key in keys:
        txn.put(key, b"\0")


def test_a_rebuild_that_cannot_succeed_leaves_everything_as_it_was(installed: Settings) -> None:
    before, position = served(installed)
    Lake(installed.lake).partition("spam", "labels", DAYS[3]).unlink()
    with pytest.raises(NotReady, match=f"spam/labels of {DAYS[3]} is not in the lake"):
        rebuild(installed, SPAM)
    after, same = served(installed)
    np.testing.assert_array_equal(after, before)
    assert same == position


def test_rebuilding_twice_changes_nothing_more(installed: Settings) -> None:
    first = rebuild(installed, SPAM)
    before, _ = served(installed)
    assert rebuild(installed, SPAM) == first
    after, _ = served(installed)
    np.testing.assert_array_equal(after, before)


def test_how_far_it_has_got_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"), progress("counting", 10 * WORTH_TELLING) as step:
        step(5)
        rebuild_room.TELL_EVERY, before = 0.0, rebuild_room.TELL_EVERY
        step(7)
        rebuild_room.TELL_EVERY = before
    assert [record.message for record in caplog.records] == ["counting: 7 of 20000"]


def test_where_nothing_was_loaded_there_is_nothing_to_rebuild(settings: Settings) -> None:
    told = CliRunner().invoke(main, ["store", "rebuild", "spam"],
                              env={"ML_ASSETS_VAR": str(settings.var)})
    assert told.exit_code == 0, told.output
    assert "nothing to rebuild" in told.output
