"""Progress is told in a log, a line every few seconds and one in the end."""

from __future__ import annotations

from ml_assets.training.loop.progress import LOGGED_S, ProgressLog


def test_a_log_gets_the_first_word_some_and_the_last() -> None:
    now, lines = 100.0, list[str]()
    with ProgressLog(2, lines.append, clock=lambda: now) as told:
        for epoch in (1, 2):
            for step in range(1, 101):
                now += LOGGED_S / 60
                told(epoch, step, 100, 1 / epoch)
    assert lines[0] == "[--------------------] epoch 1 of 2, step 1 of 100: loss 1"
    assert lines[-1] == "[####################] epoch 2 of 2, step 100 of 100: loss 0.5"
    assert len(lines) == 5
