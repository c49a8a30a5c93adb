"""A disk of a few megabytes, which a test can fill."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """Of 24 MB, of memory. Only root may mount one: CI must, others do without."""
    # Not pytest's folders, which other users may not enter: a server may be another one's.
    folder = Path(tempfile.mkdtemp(prefix="disk", dir="/tmp"))
    folder.chmod(0o755)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m,mode=755", "tmpfs", folder],
        capture_output=True, text=True, check=False) if os.geteuid() == 0 else None
    if done is None or done.returncode:
        folder.rmdir()
        message = f"no disk can be mounted: {'root may' if done is None else done.stderr.strip()}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """In the block it has not a page left."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            with suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass
    yield
    ballast.unlink()
