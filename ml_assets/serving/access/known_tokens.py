"""The tokens as they were a moment ago, so that no request waits for a disk or a database."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import monotonic

from ml_assets.core.errors import ContractViolation
from ml_assets.serving.access.token import Token
from ml_assets.serving.access.tokens import Tokens

LOOK_SECONDS = 0.25
"""How often the tokens are looked at: a revocation takes effect within a second on every host."""
LATE_S = 2.0
"""From then on a token that is not known may be a new one, and is not called unknown."""
TRUSTED_S = 300.0
"""How long the tokens that are known go on if nobody can look at them, as while the database is
away. Then nobody is let in until somebody can."""
FIRST_S = 6.0
"""How long a server that starts waits for the first look: to connect may take five seconds."""
log = logging.getLogger(__name__)


class KnownTokens:
    """Follows the tokens, in a thread once it is started.

    damage: why nobody may be let in, whatever was known; None if nothing is damaged

    A file that is damaged lets nobody in, and what cannot be reached leaves things as they are for
    `TRUSTED_S`, and no longer: whoever has cut it off must not keep a revoked token alive.
    """

    def __init__(self, tokens: Tokens, now: Callable[[], float] = monotonic) -> None:
        """now: seconds, which never go back"""
        self._tokens, self._now = tokens, now
        self._by_id: dict[str, Token] = {}
        self._version: object = None
        self._read_at: float | None = None
        self._looked = threading.Event()
        self._problem: str | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self.damage: str | None = None

    def __bool__(self) -> bool:
        """Whether there is any, also one that has ended."""
        return bool(self._by_id)

    def get(self, token_id: str) -> Token | None:
        return self._by_id.get(token_id)

    @property
    def are_late(self) -> bool:
        """Whether one that is not known may be a new one."""
        return self._age_s > LATE_S

    @property
    def are_too_old(self) -> bool:
        """Whether they open nothing any more, or were never read."""
        return self._age_s > TRUSTED_S

    @property
    def _age_s(self) -> float:
        if self._thread is None and not self._looked.is_set():
            self.look()
        return float("inf") if self._read_at is None else self._now() - self._read_at

    def start(self) -> None:
        """Follow them until `stop`."""
        self._thread = threading.Thread(target=self._follow, name="tokens", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Return after the first look, or after FIRST_S without one."""
        self._looked.wait(FIRST_S)

    def stop(self) -> None:
        self._stop.set()

    def look(self) -> None:
        """Look at them now. Raises nothing: `damage` and their age say what went wrong."""
        began = self._now()
        try:
            version = self._tokens.version()
            if version != self._version or self._read_at is None or self.damage is not None:
                self._by_id = {token.id: token for token in self._tokens.read()}
            self._version, self._read_at, self.damage = version, began, None
            self._note(None)
        except ContractViolation as error:
            self._by_id, self.damage = {}, str(error)
            self._note(f"{error}; until then every call is refused")
        except Exception as error:
            self._note(f"the tokens cannot be read: {error}. Those that are known go on for "
                       f"{TRUSTED_S:.0f} s from the latest look, then nobody may call")
        finally:
            self._looked.set()

    def _follow(self) -> None:
        while True:
            self.look()
            if self._stop.wait(LOOK_SECONDS):
                return

    def _note(self, problem: str | None) -> None:
        if problem == self._problem:
            return
        self._problem = problem
        if problem is None:
            log.info("the tokens can be read again")
        else:
            log.error("%s", problem)
