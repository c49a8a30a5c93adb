"""Ctrl-C, remembered whatever libraries make of it.

Python raises KeyboardInterrupt wherever the main thread happens to be, and not all code lets it
pass. DuckDB raises RuntimeError instead, Dagster an interrupt of its own, an extension module that
is being imported ImportError. A destructor drops it, and Dagster forgets one that comes after the
last step of a run. So the signal itself is noted: Python writes the number of each signal that it
handles to `signal.set_wakeup_fd`, whichever handler is in force and whatever that raises.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

STOPS = frozenset({signal.SIGINT, signal.SIGTERM})
"""SIGTERM has a handler only once Dagster has run something: it then does what SIGINT does."""
AGAIN_S = 0.1
"""After so long an interrupt that a destructor has dropped is sent again: it is over by then."""
DROPPED, OVER = b"d", b"o"


@dataclass(kw_only=True)
class Interrupts:
    """Whether this process has been told to stop. `signals` is read: numbers, a byte each."""

    signals: int
    _came: bool = False

    def came(self) -> bool:
        """Whether there has been one, raised or not."""
        with suppress(BlockingIOError):
            self._came |= not STOPS.isdisjoint(os.read(self.signals, 4096))
        return self._came

    def check(self) -> None:
        """Raise KeyboardInterrupt if there has been one: to be called between two steps."""
        if self.came():
            raise KeyboardInterrupt


@contextmanager
def remembered() -> Iterator[Interrupts]:
    """In the block interrupts are noted, and any error after one leaves it as KeyboardInterrupt.

    Of the main thread only. Where SIGINT is ignored, as by `nohup ... &`, there are none.
    """
    with ExitStack() as stack:
        reader, writer = os.pipe()
        for end in (reader, writer):
            os.set_blocking(end, False)
            stack.callback(os.close, end)
        before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        stack.callback(signal.set_wakeup_fd, before)
        interrupts = Interrupts(signals=reader)
        stack.enter_context(_sent_again(interrupts))
        try:
            yield interrupts
        except BaseException as error:
            if interrupts.came():
                raise KeyboardInterrupt from error
            raise


@contextmanager
def _sent_again(interrupts: Interrupts) -> Iterator[None]:
    """In the block, an interrupt that a destructor drops is sent again soon.

    So does a callback of a weak reference. SQLAlchemy has so many that one in twenty interrupts of
    a Dagster run meets one.
    """
    us = threading.get_ident()
    reader, writer = os.pipe()

    def dropped(what: sys.UnraisableHookArgs) -> None:
        if issubclass(what.exc_type, Exception) or not interrupts.came():
            before(what)
        else:
            os.write(writer, DROPPED)  # no lock is taken: a destructor may run while we hold it

    def send() -> None:
        while os.read(reader, 1) == DROPPED:
            time.sleep(AGAIN_S)
            signal.pthread_kill(us, signal.SIGINT)

    repeater = threading.Thread(target=send, name="interrupts", daemon=True)
    repeater.start()
    before, sys.unraisablehook = sys.unraisablehook, dropped
    try:
        yield
    finally:
        sys.unraisablehook = before
        os.write(writer, OVER)
        repeater.join()
        os.close(reader)
        os.close(writer)
