"""One bearer token: what is kept of it, and what it opens."""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import sha256
from typing import Literal

import msgspec

Scope = Literal["predict", "feedback", "admin"]
SCOPES: tuple[Scope, ...] = ("predict", "feedback", "admin")
PREFIX = "mla"


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a token: all but its secret.

    sha256: of the secret. A slow hash protects words that people choose, which can be guessed;
        nobody guesses 256 random bits, and each request pays for the hash.
    sources: trusted sources of feedback that it may speak as; a name that ends in a colon is
        the beginning of names
    expires_at: from then on it opens nothing; None: it lasts until it is revoked
    """

    id: str
    name: str
    scopes: tuple[Scope, ...]
    sources: tuple[str, ...] = ()
    sha256: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def in_force(self, at: datetime) -> bool:
        return self.revoked_at is None and not self.expired(at)

    def expired(self, at: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= at

    @property
    def lifetime(self) -> timedelta | None:
        return None if self.expires_at is None else self.expires_at - self.created_at

    def may_speak_as(self, source: str) -> bool:
        return any(
            source.startswith(own) and len(source) > len(own) if own.endswith(":")
            else source == own for own in self.sources
        )


def hashed(secret: str) -> str:
    """As it is kept in `Token.sha256`."""
    return sha256(secret.encode("utf-8", "replace")).hexdigest()
