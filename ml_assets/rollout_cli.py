"""The command `ml-assets rollout`: which versions answer, and how a person changes that."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from ml_assets.core.installation import opened
from ml_assets.core.settings import Settings

if TYPE_CHECKING:
    from ml_assets.registry.deployments import Deployment
    from ml_assets.registry.rollout import Action

FOLLOW_SECONDS = 3.0
"""How long the API may take to follow a change; it needs less than one second."""
SHOWN_RECORDS = 5
NEEDS = ("deployments.sqlite",)
"""In an emergency MLflow or the log may be what is broken."""


def _share(ctx: click.Context, param: click.Parameter, value: str) -> float:
    text = value.strip()
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a share; write it as 5% or 0.05") from None
    if share >= 1 and not text.endswith("%"):
        raise click.BadParameter(f"{text!r} is more than all the traffic; did you mean {text}%?")
    return share


def _said(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if not value.strip():
        raise click.BadParameter("give the reason in a sentence; the record keeps it")
    return value.strip()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _recorded(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that every change has."""
    reason = click.option("--reason", required=True, callback=_said,
                          help="Why, in a sentence; the record keeps it.")
    by = click.option("--by", default=_user, help="Who decides.  [default: you]")
    return reason(by(command))


@click.group()
def rollout() -> None:
    """Show and change which model versions answer.

    One version, the champion, answers. Others may stand beside it: shadows score every event but
    answer none; challengers answer a share of the events, at most half in all. All events of one
    entity (the system's `sticky_by`) meet the same version.

    \b
    A version's way into traffic, and out:
      ml-assets rollout shadow   <system> 7 --reason "how does it score?"
      ml-assets rollout canary   <system> 7 5% --reason "its shadow scores look right"
      ml-assets rollout canary   <system> 8 5% --reason "A/B/n: beside 7, from the same start"
      ml-assets rollout promote  <system> 7 --reason "a third fewer errors than 6"
      ml-assets rollout rollback <system> --reason "support reports wrong answers"

    Each change is one record that is never altered; a running API follows within a second and
    drops no request. `rollout status` shows everything, including versions the API has refused to
    load.
    """


@rollout.command(short_help="Show who answers, since when and why; what is loaded.")
@click.argument("system")
def status(system: str) -> None:
    """Show who answers for SYSTEM, since when and why, and what the API has loaded."""
    from ml_assets.registry.deployments import Deployments
    from ml_assets.systems import find

    settings, name = opened(NEEDS), find(system).name
    history = Deployments(settings.deployments).history(name)
    click.secho(name, bold=True)
    if not history:
        click.echo(f"  no version answers yet: `ml-assets run {name}` trains and promotes one, "
                   f"`ml-assets rollout promote {name} VERSION` promotes by hand")
        return
    for kind, value in _status(history):
        click.echo(f"  {kind:<11} {value}")
    click.echo(f"  {'API':<11} {_loaded(settings, name)}")


@rollout.command(short_help="Score everything, answer nothing.")
@click.argument("system")
@click.argument("version", type=click.IntRange(1))
@click.option("--stop", is_flag=True, help="Stop scoring with VERSION.")
@_recorded
def shadow(system: str, version: int, stop: bool, reason: str, by: str) -> None:
    """Let VERSION score every event of SYSTEM without answering.

    It scores after the answer is sent, from the same features; its scores are in the event log's
    table `shadow_scores`. A challenger that becomes a shadow loses its traffic.
    """
    from ml_assets.registry.rollout import Shadow

    _change(system, Shadow(version=version, stop=stop), reason, by)


@rollout.command(short_help="Answer a share of the events.")
@click.argument("system")
@click.argument("version", type=click.IntRange(1))
@click.argument("share", callback=_share)
@click.option("--reshuffle", is_flag=True, help="Redraw which entities meet which version.")
@_recorded
def canary(
    system: str, version: int, share: float, reshuffle: bool, reason: str, by: str
) -> None:
    """Let VERSION answer SHARE of SYSTEM's events, such as 5% or 0.05; 0 takes it out.

    Raising a share keeps everyone who already meets the version, and moves nobody between other
    versions. Several challengers may run side by side; together they get at most 50%.
    """
    from ml_assets.registry.rollout import Canary

    _change(system, Canary(version=version, share=share, reshuffle=reshuffle), reason, by)


@rollout.command(short_help="Make a version the champion.")
@click.argument("system")
@click.argument("version", type=click.IntRange(1))
@click.option("--alone", is_flag=True, help="Take all challengers out of traffic as well.")
@_recorded
def promote(system: str, version: int, alone: bool, reason: str, by: str) -> None:
    """Make VERSION the champion of SYSTEM, at once, for all traffic without a challenger.

    The previous champion stops answering; `rollout rollback` restores it. Other challengers keep
    their traffic, unless --alone is given.
    """
    from ml_assets.registry.rollout import Promote

    _change(system, Promote(version=version, alone=alone), reason, by)


@rollout.command(short_help="Let a version be promoted once the evidence is there.")
@click.argument("system")
@click.argument("version", type=click.IntRange(1))
@_recorded
def approve(system: str, version: int, reason: str, by: str) -> None:
    """Approve the promotion of VERSION, which stands beside SYSTEM's champion.

    Nothing changes at once: the next day's judgement promotes it if the evidence is there. Needed
    if the system's `RolloutPolicy` has `approval=True`.
    """
    from ml_assets.registry.rollout import Approve

    _change(system, Approve(version=version), reason, by)


@rollout.command(short_help="Undo the latest change.")
@click.argument("system")
@_recorded
def rollback(system: str, reason: str, by: str) -> None:
    """Undo the latest change of SYSTEM: champion, challengers and shadows are as before.

    Run it again to go one change further back. It needs neither MLflow nor the API.
    """
    from ml_assets.registry.rollout import Rollback

    _change(system, Rollback(), reason, by)


def _change(system: str, action: Action, reason: str, by: str) -> None:
    from ml_assets.registry.deployments import Deployments
    from ml_assets.registry.models import ModelRegistry
    from ml_assets.registry.steering import steer
    from ml_assets.systems import find

    settings, name = opened(NEEDS), find(system).name
    registry, deployments = ModelRegistry(settings), Deployments(settings.deployments)
    before = deployments.current(name)
    record = steer(name, action, registry, deployments, reason=reason, by=by,
                   at=settings.clock_of(name).now())
    if before is not None and record.id == before.id:
        click.echo(f"{name}: nothing to change, {record.told}")
    else:
        was = "" if before is None else f" (before: {before.told})"
        click.echo(f"{name}: {record.told}{was}")
    click.echo(f"API: {_loaded(settings, name, record)}")
    _name_in_mlflow(name, registry, deployments)


def _name_in_mlflow(name: str, registry: Any, deployments: Any) -> None:
    from ml_assets.registry.aliases import follow

    try:
        follow(name, registry, deployments)
    except Exception as error:
        # The record is in force, whatever MLflow says about it.
        click.echo(f"MLflow's aliases `champion` and `challenger` could not follow: {error}",
                   err=True)


def _status(history: list[Deployment]) -> Iterator[tuple[str, str]]:
    from ml_assets.registry.deployments import came
    from ml_assets.registry.rollout import percent

    current = history[-1]
    for version in current.named:
        role = current.role(version)
        assert role is not None
        since = came(history, version, role)
        assert since is not None
        does = "" if role == "shadow" else f" answers {percent(current.share(version))}"
        yield role, (f"version {version}{does}, since {since.at:%Y-%m-%d %H:%M} by {since.by}: "
                     f"{since.reason}")
    for place, record in enumerate(reversed(history[-SHOWN_RECORDS:])):
        yield "" if place else "record", (
            f"{record.id}. {record.at:%Y-%m-%d %H:%M} {record.action} by {record.by}: "
            f"{record.reason} -> {record.told}"
        )


def _loaded(settings: Settings, name: str, record: Deployment | None = None) -> str:
    """What the API has loaded; after a change, once it has followed `record`."""
    import httpx

    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    address = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
    token = os.environ.get("ML_ASSETS_TOKEN")
    headers = {"authorization": f"Bearer {token}"} if token else {}
    ends = time.monotonic() + FOLLOW_SECONDS
    while True:
        try:
            answer = httpx.get(f"{address}/v1/{name}/version", timeout=2, headers=headers)
            shown = answer.raise_for_status().json()
        except httpx.HTTPStatusError:
            if answer.status_code == 401:
                return f"{address} requires a token; set ML_ASSETS_TOKEN to see what it has loaded"
            return f"{address} answers with status {answer.status_code}: {answer.text[:200]}"
        except (httpx.HTTPError, ValueError):
            return f"nothing answers at {address}"
        if record is None or _followed(shown, record):
            return f"{address} has loaded {_listed(shown)}"
        if time.monotonic() > ends:
            return (f"{address} has not followed yet (is its ML_ASSETS_VAR {settings.var}?): it "
                    f"has loaded {_listed(shown)}")
        time.sleep(0.1)


def _followed(shown: dict[str, Any], record: Deployment) -> bool:
    known = {each["version"] for each in (*shown["serving"], *shown["refused"])}
    return (shown["deployment"] or {}).get("id") == record.id and known >= set(record.named)


def _listed(shown: dict[str, Any]) -> str:
    loaded = [f"{each['role']} {each['version']}" for each in shown["serving"]]
    refused = [f"{each['role']} {each['version']} is REFUSED: {each['reason']}"
               for each in shown["refused"]]
    return "; ".join([", ".join(loaded) or "nothing", *refused])
