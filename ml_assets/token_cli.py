"""The command `ml-assets token`: who may call the API."""

from __future__ import annotations

import click

from ml_assets.core.settings import Settings
from ml_assets.core.time import WallClock


def _named(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise click.BadParameter("name whoever will hold it, in words that can be printed")
    return value.strip()


@click.group()
def token() -> None:
    """Who may call the API: tokens with scopes, shown once and kept as hashes.

    \b
      ml-assets token create shop --scope predict
      ml-assets token create mail-client --scope predict --scope feedback --source recipient
      ml-assets token create ann --scope admin
      ml-assets token revoke shop

    Callers send `Authorization: Bearer <token>`. Before the first token is created everyone on
    this machine may call, and the API listens on no other address; from then on every call needs
    one. A running API follows a change within a second.
    """


@token.command(short_help="Make a token and show it, once.")
@click.argument("name", callback=_named)
@click.option("--scope", "scopes", multiple=True, required=True,
              type=click.Choice(["predict", "feedback", "admin"]),
              help="predict: predictions and /metrics. feedback: feedback. admin: records of "
              "predictions (what was asked, the rows behind it) and /metrics. Repeat for several.")
@click.option("--source", "sources", multiple=True,
              help="A trusted source of feedback that it may speak as, such as `recipient`; "
              "`analyst:` stands for all names that begin so. Repeat for several.")
def create(name: str, scopes: tuple[str, ...], sources: tuple[str, ...]) -> None:
    """Make a token for NAME: a person, or a program that calls.

    The token is shown once, on standard output and alone there. What is kept is a hash of it.
    """
    from ml_assets.serving.security import SCOPES, TokenFile

    if sources and "feedback" not in scopes:
        raise click.UsageError("--source is about feedback; add --scope feedback")
    settings = Settings.from_environment()
    made, shown = TokenFile(settings.tokens).create(
        name, [scope for scope in SCOPES if scope in scopes], sources, WallClock().now())
    click.echo(shown)
    click.echo(f"This is token {made.id} of {name!r}. Keep it safe: it is not shown again. The "
               "API asks every caller for a token now.", err=True)


@token.command("list", short_help="Every token that was ever made, without its secret.")
def list_tokens() -> None:
    """Every token that was ever made: its scopes, its sources, whether it is in force."""
    from ml_assets.serving.security import TokenFile

    settings = Settings.from_environment()
    tokens = TokenFile(settings.tokens).read()
    for each in tokens:
        ended = f", revoked {each.revoked_at:%Y-%m-%d %H:%M}" if each.revoked_at else ""
        speaks = f", speaks as {', '.join(each.sources)}" if each.sources else ""
        click.echo(f"{each.id}  {each.name}: {', '.join(each.scopes)}{speaks}; created "
                   f"{each.created_at:%Y-%m-%d %H:%M}{ended}")
    if not tokens:
        click.echo("no tokens: everyone on this machine may call, and the API listens on no other "
                   "address. `ml-assets token create -h` says how to make one")


@token.command(short_help="End a token's life.")
@click.argument("name")
def revoke(name: str) -> None:
    """End the life of the token called NAME (or whose id it is), within a second.

    It stays on the list. Where it was the last one, nobody may call until another is created.
    """
    from ml_assets.serving.security import TokenFile

    settings = Settings.from_environment()
    ended = TokenFile(settings.tokens).revoke(name, WallClock().now())
    click.echo(f"token {ended.id} of {ended.name!r} is revoked")
