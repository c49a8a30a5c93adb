"""Progress is told in a log, a line every few seconds and one in the end."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console
from rich.progress import Progress

from ml_assets.training.loop.bar import LOGGED_S, TrainingBar, is_watched


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_the_first_word_some_and_the_last() -> None:
    now, lines = 100.0, list[str]()
    with TrainingBar(2, lines.append, clock=lambda: now) as bar:
        for epoch in (1, 2):
            for step in range(1, 101):
                now += LOGGED_S / 60
                bar(epoch, step, 100, 1 / epoch)
    assert lines[0] == "[--------------------] epoch 1 of 2, step 1 of 100: loss 1"
    assert lines[-1] == "[####################] epoch 2 of 2, step 100 of 100: loss 0.5"
    assert len(lines) == 5


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with TrainingBar(2, lambda line: None) as bar:
        bar(1, 5, 10, 0.25)
    assert "epoch 1 of 2" in terminal.getvalue() and "loss 0.25" in terminal.getvalue()


def test_a_bar_of_somebody_else_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert is_watched()
    with Progress(console=Console(file=Terminal())):
        assert not is_watched()
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert not is_watched()
