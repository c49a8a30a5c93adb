"""The tokens of an installation in one file of its own."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ml_assets.core.errors import ContractViolation
from ml_assets.core.storage.files import make_private, write_atomically
from ml_assets.core.storage.marker import is_noted, note
from ml_assets.serving.access.token import Token


class TokenFile:
    """See `TokenStorage`. Readable by its owner only."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[Token]:
        """Oldest first. Raises ContractViolation if the file is damaged."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=list[Token])
        except FileNotFoundError as error:
            if is_noted(self.path):
                raise ContractViolation(
                    f"the tokens in {self.path} are missing, though some were made. Restore the "
                    "file; or let everyone on this machine call again: `ml-assets doctor --give-up "
                    f"{self.path.name}`"
                ) from error
            return []
        except (msgspec.MsgspecError, OSError) as error:
            raise ContractViolation(
                f"the tokens in {self.path} cannot be read: {error}. Restore the file; or delete "
                "it and create all tokens anew"
            ) from error

    def version(self) -> object:
        """By what the file system says of it: a microsecond."""
        try:
            status = os.stat(self.path)  # noqa: PTH116  (four times a second)
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    @contextmanager
    def changing(self) -> Iterator[list[Token]]:
        make_private(lock_file := self.path.with_suffix(".lock"))
        with lock_file.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            tokens = self.read()
            yield tokens
            write_atomically(self.path, msgspec.json.format(msgspec.json.encode(tokens)) + b"\n")
            note(self.path)
