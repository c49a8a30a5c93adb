"""The command `ml-assets token`: who may call the API."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from ml_assets.core.installation import opened
from ml_assets.core.time import WallClock

if TYPE_CHECKING:
    from ml_assets.serving.access.token import Token


def _named(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise click.BadParameter("name the holder, in printable characters")
    return value.strip()


NEEDS = ("tokens.json",)
"""A token must be revocable whatever else is broken."""
UNITS = {"w": timedelta(weeks=1), "d": timedelta(days=1), "h": timedelta(hours=1),
         "m": timedelta(minutes=1)}


def _span(ctx: click.Context, param: click.Parameter, value: str | None) -> timedelta | None:
    if value is None:
        return None
    found = re.fullmatch(r"(\d{1,5})([wdhm])", value)
    if found is None:
        raise click.BadParameter(f"{value!r} is not a time span; write `90d`, `12h`, `30m` or `2w`")
    return int(found[1]) * UNITS[found[2]]


def _lifetime(ctx: click.Context, param: click.Parameter, value: str | None) -> timedelta | None:
    span = _span(ctx, param, value)
    if span == timedelta():
        raise click.BadParameter("the token would never be valid; give at least a minute")
    return span


@click.group()
def token() -> None:
    """Manage who may call the API: tokens with scopes, shown once and stored as hashes.

    \b
      ml-assets token create website --scope predict
      ml-assets token create desk --scope predict --scope feedback --source buyer
      ml-assets token create ann --scope admin --expires 90d
      ml-assets token rotate website
      ml-assets token revoke website

    Callers send `Authorization: Bearer <token>`. Until the first token is created, everyone on
    this machine may call, and the API listens on loopback only; from then on every call needs a
    token. A running API follows a change within a second; in the profile `cluster` the APIs of all
    hosts do.
    """


@token.command(short_help="Create a token and show it, once.")
@click.argument("name", callback=_named)
@click.option("--scope", "scopes", multiple=True, required=True,
              type=click.Choice(["predict", "feedback", "admin"]),
              help="predict: predictions and /metrics. feedback: feedback. admin: records of "
              "predictions (the request, the rows behind it) and /metrics. May be repeated.")
@click.option("--source", "sources", multiple=True,
              help="A trusted feedback source that the holder may speak as, such as `buyer`; "
              "`analyst:` covers all names with that prefix. May be repeated.")
@click.option("--expires", metavar="SPAN", callback=_lifetime,
              help="Lifetime of the token: `90d`, `12h`, `30m`, `2w`.  [default: until it is "
              "revoked]")
def create(
    name: str, scopes: tuple[str, ...], sources: tuple[str, ...], expires: timedelta | None
) -> None:
    """Create a token for NAME, a person or a program.

    The token is shown once, as the only line on standard output. Only its hash is stored.
    """
    from ml_assets.serving.access.token import SCOPES
    from ml_assets.serving.access.tokens import Tokens

    if sources and "feedback" not in scopes:
        raise click.UsageError("--source applies to feedback; add --scope feedback")
    settings = opened(NEEDS)
    made, shown = Tokens(settings.tokens).create(
        name, [scope for scope in SCOPES if scope in scopes], sources, WallClock().now(), expires)
    click.echo(shown)
    click.echo(f"This is token {made.id} of {name!r}{_until(made.expires_at)}. Keep it safe: it is "
               "not shown again. The API now requires a token from every caller.", err=True)


@token.command(short_help="Replace a token; the old one stays valid for a while.")
@click.argument("name")
@click.option("--grace", metavar="SPAN", callback=_span, default="1d", show_default=True,
              help="How long the old token stays valid; 0d ends it at once.")
@click.option("--expires", metavar="SPAN", callback=_lifetime,
              help="Lifetime of the new token.  [default: the lifetime of the old one]")
def rotate(name: str, grace: timedelta, expires: timedelta | None) -> None:
    """Create a new token with the scopes and sources of NAME (a name or an id).

    It is shown once, as the only line on standard output. Give it to the holder of the old one,
    which ends after --grace. An expired token can be rotated too.
    """
    from ml_assets.serving.access.tokens import Tokens

    settings, now = opened(NEEDS), WallClock().now()
    made, shown = Tokens(settings.tokens).rotate(name, now, grace=grace, lifetime=expires)
    click.echo(shown)
    old = f"remains valid{_until(now + grace)} at most" if grace else "has ended"
    click.echo(f"This is token {made.id} of {made.name!r}{_until(made.expires_at)}. Keep it safe: "
               f"it is not shown again. The old one {old}.", err=True)


@token.command("list", short_help="List every token ever created, without its secret.")
def list_tokens() -> None:
    """List every token ever created: its scopes and sources, and how long it is valid."""
    from ml_assets.serving.access.tokens import Tokens

    settings, now = opened(NEEDS), WallClock().now()
    tokens = Tokens(settings.tokens).read()
    for each in tokens:
        speaks = f", speaks as {', '.join(each.sources)}" if each.sources else ""
        click.echo(f"{each.id}  {each.name}: {', '.join(each.scopes)}{speaks}; created "
                   f"{_minute(each.created_at)}{_end(each, now)}")
    if not tokens:
        click.echo("no tokens: everyone on this machine may call, and the API listens on loopback "
                   "only. `ml-assets token create -h` says how to create one")


@token.command(short_help="Revoke a token.")
@click.argument("name")
def revoke(name: str) -> None:
    """Revoke the token NAME (a name or an id), within a second.

    By name, this also revokes its predecessor if that is still valid after a rotation. The token
    stays on the list. If it was the last valid one, nobody may call until another is created.
    """
    from ml_assets.serving.access.tokens import Tokens

    settings = opened(NEEDS)
    for ended in Tokens(settings.tokens).revoke(name, WallClock().now()):
        click.echo(f"token {ended.id} of {ended.name!r} is revoked")


@token.command("import", short_help="Move this host's tokens to the database that all hosts share.")
def import_tokens() -> None:
    """Move the tokens of this host's tokens.json to the database of the profile `cluster`.

    They were made in the profile `local`, or before all hosts had the same. Those that are in the
    database are left out; the file is deleted.
    """
    from ml_assets.core.storage.marker import change_notes
    from ml_assets.serving.access.doorkeeper import file_left
    from ml_assets.serving.access.tokens import Tokens

    settings = opened(NEEDS)
    if (left := file_left(settings)) is None:
        raise click.UsageError(f"there is nothing to import: the tokens are in {settings.tokens}, "
                               f"and {settings.var} has no others")
    count = Tokens(settings.tokens).adopt(Tokens(left).read())
    left.unlink()
    change_notes(settings.var, drop=(left.name,))
    click.echo(f"{count} tokens of {left} are in {settings.tokens} now; the file is deleted")


def _end(token: Token, now: datetime) -> str:
    from ml_assets.core.time import in_words

    if token.revoked_at is not None:
        return f", revoked {_minute(token.revoked_at)}"
    if token.expires_at is None:
        return ""
    if token.expired(now):
        return f", expired {_minute(token.expires_at)}"
    return f", expires {_minute(token.expires_at)} (in {in_words(token.expires_at - now)})"


def _until(instant: datetime | None) -> str:
    return "" if instant is None else f" until {_minute(instant)} UTC"


def _minute(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M}"
