"""Who may call: whose token opens which address, looked at for every request."""

from __future__ import annotations

import hmac
import ipaddress
import logging
import re
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from ml_assets.core.errors import LogUnavailable, MlAssetsError
from ml_assets.core.settings import Settings
from ml_assets.core.storage.layout import TOKENS
from ml_assets.core.time import Clock, WallClock
from ml_assets.serving.access.known_tokens import KnownTokens
from ml_assets.serving.access.token import PREFIX, SCOPES, Scope, Token, hashed
from ml_assets.serving.access.tokens import Tokens
from ml_assets.serving.contract.decoding import RequestRefused

OPEN = frozenset({"/", "/docs", "/openapi.json", "/healthz", "/readyz"})
READY_OF = "/readyz/"
"""Before the name of a system."""
"""Addresses that tell nothing about anyone: they need no token."""
NEEDED: tuple[tuple[re.Pattern[str], frozenset[Scope]], ...] = (
    (re.compile(r"/v1/[^/]+/(predict(/batch)?|rank)"), frozenset({"predict"})),
    (re.compile(r"/v1/[^/]+/events/[^/]+(/batch)?"), frozenset({"predict"})),
    (re.compile(r"/v1/[^/]+/scores/.*", re.DOTALL), frozenset({"predict"})),
    (re.compile(r"/v1/[^/]+/feedback(/batch)?"), frozenset({"feedback"})),
    (re.compile(r"/v1/[^/]+/(version|guardrails)"), frozenset(SCOPES)),
    # Not only admin: who collects metrics should not hold a key to what everyone has sent.
    (re.compile(r"/metrics"), frozenset({"predict", "admin"})),
)
"""One of these scopes is needed. Every other address needs admin: records of predictions hold
what others have sent, and what is forgotten here stays closed."""
log = logging.getLogger(__name__)
_CHALLENGE = {"www-authenticate": 'Bearer realm="ml-assets"'}


class ListenRefused(MlAssetsError, PermissionError):
    """The API was told to listen on an address that others reach, and nobody has a token."""


class Doorkeeper:
    """Decides for each request who calls, by the tokens as they were a moment ago.

    Without tokens everyone may call, and only on loopback. Once there was a token, also one that
    has ended, callers need one; in the profile `local` `ml-assets doctor --give-up tokens.json`
    opens loopback again, deleting the file does not.
    """

    def __init__(
        self, settings: Settings, now: Callable[[], float] = monotonic, clock: Clock | None = None
    ) -> None:
        """now: seconds, by which the tokens are looked at. clock: what tokens expire by."""
        self.tokens = KnownTokens(Tokens(settings.tokens), now)
        """Whoever serves starts and stops it."""
        self._exposed = not is_loopback(settings.host)
        self._clock = clock or WallClock()

    @property
    def closed(self) -> bool:
        """Whether callers need a token."""
        tokens = self.tokens
        return self._exposed or tokens.are_too_old or tokens.damage is not None or bool(tokens)

    def admit(self, path: str, authorization: bytes | None) -> Token | None:
        """Who asks for `path`; None if no token is needed.

        Raises RequestRefused: 401 without a token that is known and in force, saying so if it has
        expired, 403 if it lacks the scope, 503 if nobody can tell who may call.
        """
        if path in OPEN or path.startswith(READY_OF) or not self.closed:
            return None
        if self.tokens.damage is not None or self.tokens.are_too_old:
            raise RequestRefused(503, "tokens_unreadable", "the server cannot read its tokens, so "
                                 "nobody may call; its log has the details")
        token = self._bearer(authorization)
        if token is None:
            if authorization is not None and self.tokens.are_late:
                raise RequestRefused(
                    503, "tokens_unreadable", "the server does not know this token and cannot look "
                    "it up now; its log has the details. Try again", headers={"retry-after": "1"})
            said = "is missing" if authorization is None else "is unknown, revoked or misspelt"
            raise RequestRefused(
                401, "unauthorized", f"the token {said}; send `Authorization: Bearer mla_...`. "
                "The operator makes one by `ml-assets token create`", headers=_CHALLENGE,
            )
        if token.expires_at is not None and token.expired(self._clock.now()):
            raise RequestRefused(
                401, "token_expired", f"token {token.name!r} has expired: it was good until "
                f"{token.expires_at:%Y-%m-%d %H:%M} UTC. The operator makes a new one by "
                f"`ml-assets token rotate {token.name}`", headers=_CHALLENGE,
            )
        needed = needed_for(path)
        if needed.isdisjoint(token.scopes):
            raise RequestRefused(
                403, "not_allowed", f"{path} needs a token with the scope "
                f"{' or '.join(sorted(needed))}; token {token.name!r} has "
                f"{', '.join(token.scopes)}",
            )
        return token

    def _bearer(self, authorization: bytes | None) -> Token | None:
        kind, _, text = (authorization or b"").decode("latin-1").partition(" ")
        prefix, _, rest = text.strip().partition("_")
        token_id, _, secret = rest.partition("_")
        if kind.lower() != "bearer" or prefix != PREFIX:
            return None
        token = self.tokens.get(token_id)
        # The id is public. The secret is compared in constant time, even if there is none.
        same = hmac.compare_digest(hashed(secret), token.sha256 if token else hashed(""))
        return token if same and token is not None and token.revoked_at is None else None


def needed_for(path: str) -> frozenset[Scope]:
    """The scopes one of which opens `path`."""
    for pattern, scopes in NEEDED:
        if pattern.fullmatch(path):
            return scopes
    return frozenset({"admin"})


def require_tokens(settings: Settings) -> None:
    """Raise ListenRefused if other machines would reach an API without tokens, or if this host
    has tokens in a file that nobody reads any more."""
    if (left := file_left(settings)) is not None:
        raise ListenRefused(
            f"the tokens of {left} are from before all hosts had the same in PostgreSQL, and open "
            "nothing. Move them there: `ml-assets token import`")
    if is_loopback(settings.host):
        return
    tokens = Tokens(settings.tokens)
    try:
        known, now = tokens.read(), WallClock().now()
    except LogUnavailable as error:
        log.error("%s. Until the tokens can be read nobody may call", error)
        return
    if not any(token.in_force(now) for token in known):
        raise ListenRefused(
            f"the API was told to listen on {settings.host or 'all addresses'}, where others "
            f"reach it, and {tokens.place} has no token in force. Create one, `ml-assets token "
            "create NAME --scope predict`, or listen on 127.0.0.1 (--host, ML_ASSETS_HOST)"
        )


def file_left(settings: Settings) -> Path | None:
    """The file of tokens of a host that has them in a database by now."""
    left = settings.var / TOKENS
    return left if settings.tokens != left and left.exists() else None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`. A name other than localhost counts as open."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
