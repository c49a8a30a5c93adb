"""What is being measured right now, on standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

_console = Console(stderr=True, highlight=False)


@contextmanager
def announced(label: str) -> Iterator[None]:
    """Shows `label` and a clock on a terminal, or a line per label elsewhere."""
    if not _console.is_terminal:
        note(f"... {label}")
        yield
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=_console, transient=True) as progress:
        progress.add_task(label, total=None)
        yield


def note(text: str) -> None:
    """Print a permanent line."""
    _console.print(text, soft_wrap=True)
