"""Whether the object store answers: asked by a thread, so that no request waits to find out."""

from __future__ import annotations

import logging
import threading

from ml_assets.core.errors import MlAssetsError
from ml_assets.core.objects.bucket import Bucket, away

LOOK_SECONDS = 5.0
"""Between two looks."""
log = logging.getLogger(__name__)


class StoreWatch:
    """Looks at a store until `stop`.

    problem: why it cannot be used, and what to do; None if it can. Meanwhile whoever asks for what
        lies there, in this process, is refused at once instead of after a time-out
    """

    def __init__(self, url: str) -> None:
        self._bucket = Bucket.parse(url)
        self._stop = threading.Event()
        self.problem: str | None = None

    def start(self) -> None:
        """Look, which takes a few seconds at most, and then again and again in a thread."""
        self.look()
        threading.Thread(target=self._follow, name="object store", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()
        away.pop(self._bucket.url, None)

    def look(self) -> None:
        """Raises nothing."""
        try:
            self._bucket.probe()
        except Exception as error:
            if self.problem is None:
                log.error("the object store cannot be used: %s. What is loaded goes on", error)
            kind = "" if isinstance(error, MlAssetsError) else f"{type(error).__name__}: "
            self.problem = away[self._bucket.url] = f"{kind}{error}"
        else:
            away.pop(self._bucket.url, None)
            if self.problem is not None:
                log.info("the object store %s answers again", self._bucket.url)
            self.problem = None

    def _follow(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            self.look()
