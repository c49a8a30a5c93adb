"""The candidates of a request that brings none: from the lists of the latest night."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NoReturn

from ml_assets.core.errors import NotReady, StateDamaged
from ml_assets.core.storage.files import identity
from ml_assets.core.storage.mounts import FollowedFile
from ml_assets.serving.answer.slates.list_file import EVERYBODY, CandidateList, ListFile

log = logging.getLogger(__name__)


class Candidates:
    """Follows the file of lists: a new one is read from the next look on. One call at a time.

    problem: why the latest file cannot be read; None if it can, or there is none. The one that
        was open stays in use
    """

    def __init__(self, path: Path, system: str) -> None:
        self._path, self._system, self._followed = path, system, FollowedFile(path)
        self._seen: tuple[int, int] | None = None
        self._file: ListFile | None = None
        self.problem: str | None = None

    @property
    def version(self) -> int | None:
        """The model that scored the lists; None if there are none, or no model was there."""
        return None if self._file is None else self._file.version

    def find(self, user: str) -> CandidateList | None:
        """The list of `user`, or of those who have none; None if there is neither.

        user: a key; an empty one is no user's
        """
        file = self._look()
        if file is None:
            return None
        try:
            return (file.of(user) if user else None) or file.of(EVERYBODY)
        except StateDamaged as error:
            self._note(error)
            return None

    def require(self, user: str) -> CandidateList:
        """The same. Raises NotReady if there is neither, saying which asset makes them."""
        return self.find(user) or self._refuse("have none for this user, and none for newcomers")

    def any_item(self) -> object:
        """One of the items. Raises NotReady if there are none, saying which asset makes them."""
        file = self._look()
        return file.items[0] if file is not None and file.items else self._refuse("are empty")

    def close(self) -> None:
        """Let go of the file; the next look opens it again."""
        if self._file is not None:
            self._file.close()
        self._file, self._seen = None, None

    def _look(self) -> ListFile | None:
        """The lists as they are now; None if there are none. Costs a look at the folder."""
        found = identity(self._followed.look())
        if found is None or found == self._seen:
            return self._file
        try:
            opened = ListFile(self._path, self._system)
        except StateDamaged as error:
            self._note(error)
            return self._file
        before = self._file
        # The open file holds its inode, so no other file can have it meanwhile.
        self._file, self._seen, self.problem = opened, found, None
        if before is not None:
            before.close()
        log.info("%s: candidates of %s, %d lists", self._system, opened.day, len(opened))
        return opened

    def _note(self, error: StateDamaged) -> None:
        if str(error) != self.problem:
            log.error("%s: %s", self._system, error)
        self.problem = str(error)

    def _refuse(self, why: str) -> NoReturn:
        why = "there are no lists yet" if self._file is None else (
            f"the lists of {self._file.day} {why}")
        raise NotReady(
            f"{self._system!r} has no candidates: {self.problem or why}. Materialise "
            f"{self._system}/candidates, or send `candidates` in the request")
