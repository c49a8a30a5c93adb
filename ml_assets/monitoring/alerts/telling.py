"""Looks for problems, records them, and sends what is due. Never raises for a message's sake."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import Clock, WallClock
from ml_assets.monitoring.alerts.channels import Channel, channels_of
from ml_assets.monitoring.alerts.incident import Incident
from ml_assets.monitoring.alerts.message import Message, News, page_of
from ml_assets.monitoring.alerts.record import AlertRecord, Delivery
from ml_assets.monitoring.alerts.seen import problems_of

log = logging.getLogger(__name__)


def record_of(system: System, settings: Settings) -> AlertRecord:
    """Of what a system's owners were told."""
    return AlertRecord(settings.alerts(system.name))


def tell(
    system: System, settings: Settings, *, wall: Clock | None = None,
    look: Callable[[System, Settings, datetime], Sequence[Incident]] = problems_of,
) -> str:
    """One round: what stands now, what is told of it, and what was delivered; in one sentence.

    wall: the clock by which attempts are made and messages repeated
    """
    now = (wall or WallClock()).now()
    channels, record = channels_of(settings), record_of(system, settings)
    problems = look(system, settings, settings.clock_of(system.name).now())
    said = record.update(problems, now, repeat=system.alerts.repeat,
                         channels=[each.name for each in channels])
    sent, failed = deliver(system, settings, record, channels, now)
    standing = ", ".join(sorted({each.cause for each in problems})) or "nothing"
    news = ", ".join(f"{kind} {problem.cause}" for kind, problem in said) or "nothing new"
    where = "" if channels else "; nobody is told: set ML_ASSETS_WEBHOOK or ML_ASSETS_SMTP"
    return f"{standing} stands; {news}; {sent} messages delivered, {failed} failed{where}"


def deliver(
    system: System, settings: Settings, record: AlertRecord, channels: Sequence[Channel],
    now: datetime,
) -> tuple[int, int]:
    """Send what is due; how many messages were delivered, and how many failed."""
    by_name, outcomes = {channel.name: channel for channel in channels}, list[bool]()
    for delivery in record.claim(now):
        channel = by_name.get(delivery.channel)
        if channel is None:
            record.failed(delivery, f"{delivery.channel} is not set up any more", now)
            continue
        error = attempt_at(channel, message_of(system, settings, delivery))
        outcomes.append(error is None)
        if error is None:
            record.delivered(delivery, now)
        else:
            log.warning("%s: a message was not delivered by %s, and is tried again: %s",
                        system.name, channel.name, error)
            record.failed(delivery, error, now)
    return sum(outcomes), len(outcomes) - sum(outcomes)


def attempt_at(channel: Channel, message: Message) -> str | None:
    """Send it; what went wrong, None if nothing did."""
    try:
        channel.send(message)
    except Exception as error:
        # Whatever a server or a library does wrong, the next round is not lost.
        return f"{type(error).__name__}: {error}"
    return None


def message_of(system: System, settings: Settings, delivery: Delivery) -> Message:
    return Message(news=delivery.news, problem=delivery.problem, at=delivery.at,
                   link=page_of(settings.ui, (system.name, delivery.problem.asset)),
                   owners=system.owners)


def trial_message(system: System, settings: Settings, now: datetime) -> Message:
    """What `ml-assets alerts test` sends."""
    news: News = "test"
    problem = Incident(
        system=system.name, cause="data", title="this is only a test",
        what=("nothing is wrong",), since=now, sure="quite", asset="drift",
        means="somebody tries whether messages arrive", to_do="nothing")
    return Message(news=news, problem=problem, at=now, owners=system.owners,
                   link=page_of(settings.ui, (system.name, "drift")))
