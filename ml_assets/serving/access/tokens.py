"""Bearer tokens with scopes, kept as hashes in one file."""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Literal

import msgspec

from ml_assets.core.errors import ContractViolation, DeclarationError, UnknownName, unknown
from ml_assets.core.storage.files import make_private, write_atomically
from ml_assets.core.storage.marker import is_noted, note

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


class TokenFile:
    """The tokens of an installation, ended ones too: who could call when stays on record.

    All instants are the wall's: a replay moves its system's clock, and must neither end a
    token nor bring one back.
    """

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

    def create(
        self, name: str, scopes: Sequence[Scope], sources: Sequence[str], at: datetime,
        lifetime: timedelta | None = None,
    ) -> tuple[Token, str]:
        """A new token, and what its bearer sends: nobody can read that again.

        Raises DeclarationError if a token in force has the name.
        """
        token, shown = _made(name, tuple(scopes), tuple(sources), at, lifetime)
        with self._changing() as tokens:
            if any(each.name == name and each.in_force(at) for each in tokens):
                raise DeclarationError(
                    f"there is a token named {name!r}; choose another name, or revoke it first: "
                    f"`ml-assets token revoke {name}`. A new secret for it: `ml-assets token "
                    f"rotate {name}`"
                )
            tokens.append(token)
        return token, shown

    def rotate(
        self, name_or_id: str, at: datetime, *, grace: timedelta, lifetime: timedelta | None = None
    ) -> tuple[Token, str]:
        """A new token of the same name and rights; those before it end after `grace`.

        One that has expired is followed likewise, so that its bearer need not be set up anew.

        lifetime: of the new one; None: as long as that of the one before

        Raises UnknownName if every token of this name was revoked, or none has it.
        """
        with self._changing() as tokens:
            known = [each for each in tokens if each.revoked_at is None]
            names = {each.name for each in known if name_or_id in (each.name, each.id)}
            if not names:
                raise _unknown(name_or_id, known)
            latest = [each for each in known if each.name in names][-1]
            if lifetime is None:
                lifetime = latest.lifetime
            token, shown = _made(latest.name, latest.scopes, latest.sources, at, lifetime)
            ends = at + grace
            for index, each in enumerate(tokens):
                if each.name == latest.name and each.in_force(ends):
                    tokens[index] = msgspec.structs.replace(each, expires_at=ends)
            tokens.append(token)
        return token, shown

    def revoke(self, name_or_id: str, at: datetime) -> list[Token]:
        """End all tokens in force of this name, or the one with this id.

        While a rotation's grace lasts, several have the same name. Raises UnknownName if no token
        in force has the name or id.
        """
        with self._changing() as tokens:
            ended = []
            for index, token in enumerate(tokens):
                if name_or_id in (token.name, token.id) and token.in_force(at):
                    tokens[index] = msgspec.structs.replace(token, revoked_at=at)
                    ended.append(tokens[index])
            if not ended:
                raise _unknown(name_or_id, [token for token in tokens if token.in_force(at)])
        return ended

    @contextmanager
    def _changing(self) -> Iterator[list[Token]]:
        make_private(lock_file := self.path.with_suffix(".lock"))
        with lock_file.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            tokens = self.read()
            yield tokens
            write_atomically(self.path, msgspec.json.format(msgspec.json.encode(tokens)) + b"\n")
            note(self.path)


def hashed(secret: str) -> str:
    """As it is kept in `Token.sha256`."""
    return sha256(secret.encode("utf-8", "replace")).hexdigest()


def _made(
    name: str, scopes: tuple[Scope, ...], sources: tuple[str, ...], at: datetime,
    lifetime: timedelta | None,
) -> tuple[Token, str]:
    secret = secrets.token_urlsafe(32)
    token = Token(
        id=secrets.token_hex(4), name=name, scopes=scopes, sources=sources, sha256=hashed(secret),
        created_at=at, expires_at=None if lifetime is None else at + lifetime,
    )
    return token, f"{PREFIX}_{token.id}_{secret}"


def _unknown(name: str, known: Sequence[Token]) -> UnknownName:
    return unknown("token in force", name, {token.name for token in known},
                   "`ml-assets token list` shows all.")
