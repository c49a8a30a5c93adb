"""Bearer tokens with scopes, kept as hashes: in one file, or in PostgreSQL for all hosts."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import msgspec

from ml_assets.core.errors import DeclarationError, UnknownName, unknown
from ml_assets.core.storage.places import Place
from ml_assets.serving.access.token import PREFIX, Scope, Token, hashed
from ml_assets.serving.access.token_file import TokenFile


class TokenStorage(Protocol):
    """Where tokens are kept. What each call raises is said at `Tokens`."""

    def read(self) -> list[Token]:
        """Oldest first."""

    def version(self) -> object:
        """Another one once a token was made or changed: cheap to poll."""

    def changing(self) -> AbstractContextManager[list[Token]]:
        """All tokens, for one writer at a time. What the block has added to the list or replaced
        in it is kept as one change; nothing is if it fails."""


class Tokens:
    """The tokens of an installation, ended ones too: who could call when stays on record.

    Each change is whole or not at all, and of several at once none is lost. All instants are the
    wall's: a replay moves its system's clock, and must neither end a token nor bring one back.
    Each call raises ContractViolation if the file is damaged, LogUnavailable if the database does
    not answer.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._kept = _kept_at(place)

    def read(self) -> list[Token]:
        """Oldest first."""
        return self._kept.read()

    def version(self) -> object:
        return self._kept.version()

    def create(
        self, name: str, scopes: Sequence[Scope], sources: Sequence[str], at: datetime,
        lifetime: timedelta | None = None,
    ) -> tuple[Token, str]:
        """A new token, and what its bearer sends: nobody can read that again.

        Raises DeclarationError if a token in force has the name.
        """
        token, shown = _made(name, tuple(scopes), tuple(sources), at, lifetime)
        with self._kept.changing() as tokens:
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
        with self._kept.changing() as tokens:
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
        with self._kept.changing() as tokens:
            ended = []
            for index, token in enumerate(tokens):
                if name_or_id in (token.name, token.id) and token.in_force(at):
                    tokens[index] = msgspec.structs.replace(token, revoked_at=at)
                    ended.append(tokens[index])
            if not ended:
                raise _unknown(name_or_id, [token for token in tokens if token.in_force(at)])
        return ended

    def adopt(self, made: Iterable[Token]) -> int:
        """Add tokens that were made elsewhere, but for those that are there; returns how many."""
        with self._kept.changing() as tokens:
            there = {token.id for token in tokens}
            new = [token for token in made if token.id not in there]
            tokens += new
        return len(new)


def _kept_at(place: Place) -> TokenStorage:
    if isinstance(place, Path):
        return TokenFile(place)
    from ml_assets.serving.access.token_table import TokenTable

    return TokenTable(place)


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
