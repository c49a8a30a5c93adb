"""An interrupt is remembered, whatever a library makes of the KeyboardInterrupt."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable

import duckdb
import pytest
from dagster._core.errors import raise_execution_interrupts
from dagster._utils.interrupts import capture_interrupts

from ml_assets.core.runtime.interrupts import remembered

WITHIN_A_QUERY_S = 0.3


def interrupt() -> None:
    """Ctrl-C, here and now."""
    signal.raise_signal(signal.SIGINT)


def duckdb_query() -> None:
    """It looks for signals itself, drops what their handler raises, and raises RuntimeError."""
    # The only thread of a query looks often enough; one of several may be at work for seconds.
    connection = duckdb.connect(config={"threads": 1})
    sending = threading.Timer(WITHIN_A_QUERY_S, os.kill, (os.getpid(), signal.SIGINT))
    sending.start()
    try:
        connection.execute("SELECT count(*) FROM range(100000000000)").fetchall()
    finally:
        sending.join()
        connection.close()


def sqlite_function() -> None:
    """SQLite reports an OperationalError of its own."""
    connection = sqlite3.connect(":memory:")
    connection.create_function("interrupt", 0, interrupt)
    try:
        connection.execute("SELECT interrupt()")
    finally:
        connection.close()


def dagster_boundary() -> None:
    """Around ops, sensors and resources Dagster raises DagsterExecutionInterruptedError."""
    with raise_execution_interrupts():
        interrupt()


def import_of_an_extension() -> None:
    """So does `import_array` of numpy's C interface."""
    try:
        interrupt()
    except KeyboardInterrupt:
        raise ImportError("numpy._core.multiarray failed to import") from None


def failing_cleanup() -> None:
    try:
        interrupt()
    finally:
        raise OSError("the second error")


def nothing_between() -> None:
    interrupt()


@pytest.mark.parametrize("code", [
    duckdb_query, sqlite_function, dagster_boundary, import_of_an_extension, failing_cleanup,
    nothing_between,
])
def test_an_interrupt_that_becomes_another_error_leaves_as_an_interrupt(
    code: Callable[[], None],
) -> None:
    with pytest.raises(KeyboardInterrupt), remembered():
        code()


def destructor() -> None:
    """What a destructor raises is printed and dropped."""
    class Dying:
        def __del__(self) -> None:
            interrupt()

    Dying()


def test_an_interrupt_that_a_destructor_drops_is_sent_again() -> None:
    """And again, if it meets another one."""
    with pytest.raises(KeyboardInterrupt), remembered():
        destructor()
        destructor()
        time.sleep(60)


def test_what_else_a_destructor_drops_is_printed() -> None:
    class Failing:
        def __del__(self) -> None:
            raise OSError("of its own")

    heard: list[sys.UnraisableHookArgs] = []
    before, sys.unraisablehook = sys.unraisablehook, heard.append
    try:
        with remembered():
            Failing()
    finally:
        sys.unraisablehook = before
    assert [type(each.exc_value) for each in heard] == [OSError]


def test_an_interrupt_that_is_swallowed_stops_the_next_step() -> None:
    """Dagster captures one that comes after the last step of a run, and forgets it with the run."""
    with remembered() as interrupts:
        interrupts.check()
        with capture_interrupts():
            interrupt()
        assert interrupts.came()
        assert interrupts.came(), "it stays so"
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()


def test_an_error_without_an_interrupt_is_left_as_it_is() -> None:
    """Another signal is no interrupt, even if it has a handler."""
    heard = []
    before = signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
    try:
        with pytest.raises(OSError, match="of its own"), remembered():
            signal.raise_signal(signal.SIGUSR1)
            raise OSError("of its own")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert heard == [1]


def test_afterwards_signals_are_noted_as_before() -> None:
    """An interrupt of an earlier block is not one of the next."""
    with pytest.raises(KeyboardInterrupt), remembered():
        interrupt()
    with remembered() as interrupts:
        assert not interrupts.came()
    assert signal.set_wakeup_fd(-1) == -1
