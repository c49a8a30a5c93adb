"""Who may call: bearer tokens with scopes, kept as hashes in one file."""

from __future__ import annotations

import fcntl
import hmac
import ipaddress
import logging
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Literal

import msgspec

from ml_assets.core.errors import ContractViolation, DeclarationError, MlAssetsError, unknown
from ml_assets.core.files import write_atomically
from ml_assets.core.settings import Settings
from ml_assets.serving.protocol import RequestRefused

Scope = Literal["predict", "feedback", "admin"]
SCOPES: tuple[Scope, ...] = ("predict", "feedback", "admin")
OPEN = frozenset({"/", "/docs", "/openapi.json", "/healthz", "/readyz"})
"""Addresses that tell nothing about anyone: they need no token."""
NEEDED: tuple[tuple[re.Pattern[str], frozenset[Scope]], ...] = (
    (re.compile(r"/v1/[^/]+/predict(/batch)?"), frozenset({"predict"})),
    (re.compile(r"/v1/[^/]+/scores/.*", re.DOTALL), frozenset({"predict"})),
    (re.compile(r"/v1/[^/]+/feedback"), frozenset({"feedback"})),
    (re.compile(r"/v1/[^/]+/version"), frozenset(SCOPES)),
    # Not admin alone: who collects metrics should not hold a key to everyone's mail.
    (re.compile(r"/metrics"), frozenset({"predict", "admin"})),
)
"""One of these scopes is needed. Every other address needs admin: records of predictions hold
what others have sent, and what is forgotten here stays closed."""
LOOK_SECONDS = 0.25
"""So often the file is looked at: a revocation is followed within a second."""
PREFIX = "mla"
log = logging.getLogger(__name__)
_CHALLENGE = {"www-authenticate": 'Bearer realm="ml-assets"'}


class ListenRefused(MlAssetsError, PermissionError):
    """The API was told to listen where strangers reach it, and nobody has a token."""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a token: all but its secret.

    sha256: of the secret. A slow hash protects words that people choose, which can be guessed;
        nobody guesses 256 random bits, and each request pays for the hash.
    sources: trusted sources of feedback that it may speak as; a name that ends in a colon is
        the beginning of names
    """

    id: str
    name: str
    scopes: tuple[Scope, ...]
    sources: tuple[str, ...] = ()
    sha256: str
    created_at: datetime
    revoked_at: datetime | None = None

    def may_speak_as(self, source: str) -> bool:
        return any(
            source.startswith(own) and len(source) > len(own) if own.endswith(":")
            else source == own for own in self.sources
        )


class TokenFile:
    """The tokens of an installation, revoked ones too: who could call when stays on record."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[Token]:
        """Oldest first. Raises ContractViolation where the file is damaged."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=list[Token])
        except FileNotFoundError:
            return []
        except (msgspec.MsgspecError, OSError) as error:
            raise ContractViolation(
                f"the tokens in {self.path} cannot be read: {error}. Restore the file; or delete "
                "it and create all tokens anew"
            ) from error

    def create(
        self, name: str, scopes: Sequence[Scope], sources: Sequence[str], at: datetime
    ) -> tuple[Token, str]:
        """A new token, and what its bearer sends: nobody can read that again.

        Raises DeclarationError where a living token has the name.
        """
        secret = secrets.token_urlsafe(32)
        token = Token(
            id=secrets.token_hex(4), name=name, scopes=tuple(scopes), sources=tuple(sources),
            sha256=_hash(secret), created_at=at,
        )
        with self._changing() as tokens:
            if any(each.name == name and each.revoked_at is None for each in tokens):
                raise DeclarationError(
                    f"there is a token named {name!r}; choose another name, or revoke it first: "
                    f"`ml-assets token revoke {name}`"
                )
            tokens.append(token)
        return token, f"{PREFIX}_{token.id}_{secret}"

    def revoke(self, name_or_id: str, at: datetime) -> Token:
        """End a token's life. Raises UnknownName where no living token is called so."""
        with self._changing() as tokens:
            for place, token in enumerate(tokens):
                if name_or_id in (token.name, token.id) and token.revoked_at is None:
                    tokens[place] = msgspec.structs.replace(token, revoked_at=at)
                    return tokens[place]
            living = [token.name for token in tokens if token.revoked_at is None]
            raise unknown("token in force", name_or_id, living, "`ml-assets token list` shows all.")

    @contextmanager
    def _changing(self) -> Iterator[list[Token]]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            tokens = self.read()
            yield tokens
            write_atomically(self.path, msgspec.json.format(msgspec.json.encode(tokens)) + b"\n")


class Doorkeeper:
    """Decides for each request who calls, by the file as it is now.

    Without a token file everyone may call, and only on loopback. Once there was a token, also
    one that is revoked now, callers need one; deleting the file opens loopback again.
    """

    def __init__(self, settings: Settings, now: Callable[[], float] = monotonic) -> None:
        self._file = TokenFile(settings.tokens)
        self._exposed = not is_loopback(settings.host)
        self._now = now
        self._looked_at = float("-inf")
        self._seen: tuple[int, int, int] | None = None
        self._tokens: dict[str, Token] = {}
        self._damage: str | None = None

    @property
    def closed(self) -> bool:
        """Whether callers need a token."""
        self._look()
        return self._exposed or self._damage is not None or bool(self._tokens)

    def admit(self, path: str, authorization: bytes | None) -> Token | None:
        """Who asks for `path`; None where no token is needed.

        Raises RequestRefused: 401 without a token that is known and in force, 403 where it lacks
        the scope, 503 where the file is damaged.
        """
        if path in OPEN or not self.closed:
            return None
        if self._damage is not None:
            raise RequestRefused(503, "tokens_unreadable", "the server cannot read its tokens, so "
                                 "nobody may call; its log has the details")
        token = self._bearer(authorization)
        if token is None:
            said = "is missing" if authorization is None else "is unknown, revoked or misspelt"
            raise RequestRefused(
                401, "unauthorized", f"the token {said}; send `Authorization: Bearer mla_...`. "
                "The operator makes one by `ml-assets token create`", headers=_CHALLENGE,
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
        token = self._tokens.get(token_id)
        # The id is public. The secret is compared in constant time, also where there is none.
        same = hmac.compare_digest(_hash(secret), token.sha256 if token else _hash(""))
        return token if same and token is not None and token.revoked_at is None else None

    def _look(self) -> None:
        now = self._now()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        found = _identity(self._file.path)
        if found == self._seen:
            return
        self._seen = found
        try:
            self._tokens = {token.id: token for token in self._file.read()}
            self._damage = None
        except ContractViolation as error:
            self._tokens, self._damage = {}, str(error)
            log.error("%s; until then every call is refused", error)


def needed_for(path: str) -> frozenset[Scope]:
    """The scopes one of which opens `path`."""
    for pattern, scopes in NEEDED:
        if pattern.fullmatch(path):
            return scopes
    return frozenset({"admin"})


def require_tokens(settings: Settings) -> None:
    """Raise ListenRefused where others than this machine would reach an API without tokens."""
    tokens = TokenFile(settings.tokens).read()
    if not is_loopback(settings.host) and all(token.revoked_at for token in tokens):
        raise ListenRefused(
            f"the API was told to listen on {settings.host or 'all addresses'}, where others "
            f"reach it, and {settings.tokens} has no token in force. Create one, `ml-assets token "
            "create NAME --scope predict`, or listen on 127.0.0.1 (--host, ML_ASSETS_HOST)"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`. A name other than localhost counts as open."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _hash(secret: str) -> str:
    return sha256(secret.encode("utf-8", "replace")).hexdigest()


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  (on the way of requests)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
