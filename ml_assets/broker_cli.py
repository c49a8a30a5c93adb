"""The commands `ml-assets consume` and `ml-assets publish`: events from a broker, and to one; and
`ml-assets publish-features`: online features to Redis.
"""

from __future__ import annotations

from collections.abc import Callable
from time import sleep
from typing import TYPE_CHECKING

import click

from ml_assets.core.errors import LogUnavailable, StateDamaged
from ml_assets.core.installation import opened

if TYPE_CHECKING:
    from ml_assets.serving.broker.outbox import PublishedKind

PUBLISH_S = 0.2
"""How far Redis may be behind the event log, beside the time that it takes."""

metrics_option = click.option(
    "--metrics", type=click.IntRange(1, 65535), metavar="PORT",
    help="Serve /metrics, the lag among them, on this port of 127.0.0.1.")
create_option = click.option(
    "--create", is_flag=True, help="Make the queue if the broker has none of this name.")


@click.command()
@click.argument("system_name", metavar="SYSTEM")
@click.argument("stream", required=False, metavar="[STREAM]")
@click.option("--from", "source", required=True, metavar="QUEUE",
              help="nats://HOST:4222/STREAM[/SUBJECT] or amqp://HOST:5672/[VHOST/]QUEUE")
@click.option("--replay-dead", is_flag=True,
              help="Take the messages of the dead-letter queue once more, and end.")
@create_option
@metrics_option
def consume(
    system_name: str, stream: str | None, source: str, replay_dead: bool, create: bool,
    metrics: int | None,
) -> None:
    """Take the messages of a broker's queue into the log of SYSTEM, until Ctrl-C.

    The body of a message is that of `POST /v1/SYSTEM/events/STREAM`, and is taken in by the same
    rules: {"event_id": "c-17", "event": {...}}. Without an `event_id` the id of the message is
    it. Each event counts once, however often it is delivered. Events of the stream that
    predictions are made for are predicted; `ml-assets publish` sends the answers on.

    \b
      ml-assets consume returns clicks --from nats://127.0.0.1:4222/clicks
      ml-assets consume returns clicks --from amqp://ann:secret@127.0.0.1:5672/clicks
      ml-assets consume returns --from nats://127.0.0.1:4222/market   subjects name the streams:
                                                                      market.clicks, market.visits

    A message is acknowledged once its event is in the log. While the log is busy or full, or no
    model answers, messages wait in the queue. What can never be taken in goes to QUEUE-dead with
    its bytes and the reason; --replay-dead tries those again. Several consumers may share a queue.

    NATS JetStream and RabbitMQ. Needs `pip install 'ml-assets[broker]'`.
    """
    from ml_assets.serving.broker.address import parse_address
    from ml_assets.serving.broker.commands import consume as run
    from ml_assets.systems import find

    run(opened(), find(system_name), stream, parse_address(source), create=create,
        metrics=metrics, dead=replay_dead)


@click.command()
@click.argument("system_name", metavar="SYSTEM")
@click.argument("kind", type=click.Choice(["predictions", "outcomes"]))
@click.option("--to", "target", required=True, metavar="QUEUE",
              help="nats://HOST:4222/SUBJECT or amqp://HOST:5672/[VHOST/]QUEUE")
@click.option("--from-now", is_flag=True,
              help="Leave out what is in the log already, if this queue got nothing of it yet.")
@create_option
@metrics_option
def publish(
    system_name: str, kind: PublishedKind, target: str, from_now: bool, create: bool,
    metrics: int | None,
) -> None:
    """Publish the predictions or outcomes of SYSTEM to a broker's queue, until Ctrl-C.

    Whatever made them, the API or `consume`: what is in the log is published, in the order of the
    log, each at least once and with an id of its own. A prediction's message is the answer that
    its client got; an outcome's says which label an event has, and since when it is known.

    \b
      ml-assets publish returns predictions --to nats://127.0.0.1:4222/scores
      ml-assets publish returns outcomes --to amqp://ann:secret@127.0.0.1:5672/labels

    How far it has got is kept in the installation, for each queue: started again, it goes on from
    there.

    NATS JetStream and RabbitMQ. Needs `pip install 'ml-assets[broker]'`.
    """
    from ml_assets.serving.broker.address import parse_address
    from ml_assets.serving.broker.commands import publish as run
    from ml_assets.systems import find

    run(opened(), find(system_name), kind, parse_address(target), create=create,
        from_now=from_now, metrics=metrics)


@click.command()
@click.option("--config", is_flag=True, help="Print the feature_store.yaml of those who read them, "
              "and end.")
def publish_features(config: bool) -> None:
    """Keep Redis at the end of the event log until Ctrl-C, so that other services read with Feast's
    client the very features that serving reads.

    Their feature_store.yaml is printed by --config; they need `pip install 'ml-assets[redis]'`,
    whose classes it names. Several may run at once, each event counts once.
    """
    from ml_assets.features.store import client_config
    from ml_assets.features.store import publish_features as publishing
    from ml_assets.serving.broker.pace import until_stopped

    settings = opened()
    if config:
        import yaml  # type: ignore[import-untyped]  # comes with Feast, ships no types

        click.echo(yaml.safe_dump(client_config(settings), sort_keys=False), nl=False)
        return
    with until_stopped() as stopping:
        publish_until(stopping, publishing(settings))


def publish_until(stopping: Callable[[], bool], publish: Callable[[], int]) -> None:
    """Whoever is away is waited for.

    publish: see `publish_features` of the store
    """
    from ml_assets.serving.broker.pace import Backoff

    backoff, said = Backoff(), ""
    while not stopping():
        try:
            new = publish()
        except StateDamaged:
            raise
        except LogUnavailable as error:
            if said != (said := str(error)):
                click.echo(f"{said}; trying again", err=True)
            backoff.sleep(stopping)
            continue
        if said:
            click.echo("features are published again", err=True)
        said = ""
        backoff.reset()
        if new:
            click.echo(f"applied {new:,} positions of the event log")
        sleep(PUBLISH_S)
