"""Laws of alerts: one message for a cause, delivered or tried again, and one when it is over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.cli import main
from ml_assets.core.errors import DeclarationError
from ml_assets.core.policies import AlertPolicy
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.monitoring.alerts.channels import Email, channels_of
from ml_assets.monitoring.alerts.incident import CAUSES, Cause, Incident, grouped
from ml_assets.monitoring.alerts.message import Message
from ml_assets.monitoring.alerts.telling import record_of, tell
from tests.monitoring.alerts.servers import Hook, Mailbox, mailbox, webhook
from tests.places import KINDS, cluster_at, environment
from tests.toy import TOY

START = datetime(2024, 3, 1, 8, tzinfo=UTC)
SYSTEM = replace(TOY, owners=("ann@example.com", "team:returns"),
                 alerts=AlertPolicy(repeat=timedelta(days=1)))


class Hand:
    """A clock that one sets."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at


def problem(cause: Cause = "drift", since: datetime = START) -> Incident:
    return Incident(system="toy", cause=cause, title=f"{cause} of amount", what=("amount: higher",),
                   since=since, sure="5%", means="a new price", to_do="retrain", asset=cause)


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with mailbox() as found:
        yield found


def test_a_long_subject_and_long_lines_arrive_in_one_piece(box: Mailbox) -> None:
    """A subject folded before its first word is an empty line, and read as a sign of spam."""
    long = replace(problem(), title="drift of " + ", ".join(f"column_{n}" for n in range(20)),
                   means="most of what is asked has changed at once, ±3 of 20, " * 3)
    for each in (long, replace(long, means="all of it, " * 30)):
        Email.of(f"smtp://127.0.0.1:{box.port}?from=a@example.com&to=b@example.com").send(Message(
            news="opened", problem=each, at=START, link="http://localhost/drift", owners=()))
    for raw, (_, mail) in zip(box.raw, box.mails, strict=True):
        assert f"Subject: [toy] {long.title}\r\n".encode() in raw
        assert long.title in mail.get_content()
    assert ("all of it, " * 30).encode() in box.raw[1]
    assert long.means in box.mails[0][1].get_content()


@pytest.fixture
def hook() -> Iterator[Hook]:
    with webhook() as found:
        yield found


@pytest.fixture(params=KINDS)
def told(
    request: pytest.FixtureRequest, settings: Settings, box: Mailbox, hook: Hook
) -> Settings:
    if request.param == "postgres":
        settings = replace(settings, cluster=cluster_at(request.getfixturevalue("postgres_url")))
    return replace(settings, webhook=hook.url, ui="https://ui.example",
                   smtp=f"smtp://127.0.0.1:{box.port}?from=alerts@example.com")


def look(*found: Incident) -> object:
    def at(system: System, settings: Settings, now: datetime) -> Sequence[Incident]:
        return found
    return at


def round_of(settings: Settings, clock: Hand, *found: Incident) -> str:
    return tell(SYSTEM, settings, wall=clock, look=look(*found))  # type: ignore[arg-type]


def test_a_problem_arrives_in_the_mailbox_and_at_the_webhook_once(
    told: Settings, box: Mailbox, hook: Hook
) -> None:
    clock = Hand()
    for _ in range(5):
        said = round_of(told, clock, problem())
        clock.at += timedelta(hours=1)
    assert said.startswith("drift stands; nothing new; 0 messages")
    ((recipients, mail),) = box.mails
    assert recipients == ["ann@example.com"]
    assert (mail["Subject"], mail["From"]) == ("[toy] drift of amount", "alerts@example.com")
    body = mail.get_content()
    for part in ("Since 2024-03-01 08:00 UTC", "- amount: higher", "How sure: 5%",
                 "probably means: a new price", "What to do: retrain",
                 "More: https://ui.example/assets/toy/drift", "team:returns"):
        assert part in body
    (posted,) = hook.posted
    assert posted["news"] == "opened" and posted["problem"]["cause"] == "drift"
    assert posted["link"] == "https://ui.example/assets/toy/drift"
    assert posted["owners"] == ["ann@example.com", "team:returns"]
    assert posted["text"].startswith("[toy] drift of amount")


def test_what_stands_is_repeated_once_an_interval_and_resolved_once(
    told: Settings, box: Mailbox
) -> None:
    clock = Hand()
    for _ in range(60):  # hours
        round_of(told, clock, problem())
        clock.at += timedelta(hours=1)
    for _ in range(10):
        round_of(told, clock)
        clock.at += timedelta(hours=1)
    subjects = [mail["Subject"] for _, mail in box.mails]
    assert subjects == ["[toy] drift of amount", "[toy] still: drift of amount",
                        "[toy] still: drift of amount", "[toy] resolved: drift of amount"]
    assert record_of(SYSTEM, told).open() == []


def test_a_problem_that_comes_and_goes_rings_once_an_interval(
    told: Settings, box: Mailbox
) -> None:
    clock = Hand()
    for number in range(23):
        round_of(told, clock, *([problem(since=clock.at)] if number % 2 == 0 else []))
        clock.at += timedelta(hours=1)
    opened = [mail for _, mail in box.mails if "resolved" not in mail["Subject"]]
    assert len(opened) == 1


def test_thirty_columns_and_the_quality_they_cost_are_one_message(
    told: Settings, box: Mailbox
) -> None:
    round_of(told, Hand(), problem("quality", START + timedelta(days=2)), problem("drift"))
    ((_, mail),) = box.mails
    assert mail["Subject"] == "[toy] drift of amount"
    assert "probably because of it, since 2024-03-03: quality of amount" in mail.get_content()


def test_an_earlier_fall_is_a_message_of_its_own_and_keeps_it(
    told: Settings, box: Mailbox
) -> None:
    clock = Hand()
    round_of(told, clock, problem("quality"))
    # The drift began later, so it does not explain the fall.
    round_of(told, clock, problem("quality"), problem("drift", START + timedelta(days=1)))
    assert [mail["Subject"] for _, mail in box.mails] == [
        "[toy] quality of amount", "[toy] drift of amount"]


def test_a_message_that_a_server_refuses_is_tried_again_with_the_same_key(
    told: Settings, box: Mailbox, hook: Hook
) -> None:
    clock, box.refusals, hook.answers = Hand(), 2, [503, 500]
    first = round_of(told, clock, problem())
    assert "0 messages delivered, 2 failed" in first
    round_of(told, clock, problem())
    assert len(hook.keys) == 1  # not before a minute has passed
    for _ in range(4):
        clock.at += timedelta(minutes=3)
        round_of(told, clock, problem())
    assert len(box.mails) == 1 and len(hook.posted) == 1
    assert len(hook.keys) == 3 and len(set(hook.keys)) == 1
    assert all(each.done_at is not None for each in record_of(SYSTEM, told).deliveries())


def test_servers_that_are_not_there_break_nothing(settings: Settings) -> None:
    lost = replace(settings, webhook="http://127.0.0.1:9/x",
                   smtp="smtp://127.0.0.1:9?from=a@example.com")
    clock = Hand()
    assert "0 messages delivered, 2 failed" in round_of(lost, clock, problem())
    waiting = record_of(SYSTEM, lost).deliveries()
    assert len(waiting) == 2
    assert all(each.attempts == 1 and each.error for each in waiting)
    clock.at += timedelta(days=3)
    assert "resolved drift; 0 messages delivered, 2 failed" in round_of(lost, clock)
    assert [each.attempts for each in record_of(SYSTEM, lost).deliveries()] == [1, 1, 1, 1]
    nobody = round_of(replace(settings, var=settings.var / "other"), clock, problem())
    assert "nobody is told" in nobody


@given(st.lists(st.tuples(st.sampled_from(CAUSES), st.integers(0, 3)), max_size=4,
                unique_by=lambda each: each[0]))
def test_grouping_loses_no_problem_and_leaves_the_roots(found: list[tuple[Cause, int]]) -> None:
    problems = [problem(cause, START + timedelta(days=day)) for cause, day in found]
    told = grouped(problems)
    assert bool(told) == bool(problems)
    said = "\n".join(line for each in told for line in (each.title, *each.what))
    assert all(each.title in said for each in problems)
    days = {each.cause: each.since for each in told}
    for each in told:  # none of them explains another
        assert not any(CAUSES.index(other) < CAUSES.index(each.cause) and since <= each.since
                       for other, since in days.items())


@pytest.mark.parametrize("url", [
    "smtp://host", "http://host?from=a@b", "smtp://h:x?from=a@b", "smtp://?from=a@b"])
def test_a_mail_address_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(DeclarationError, match="expected smtp://") as refused:
        Email.of(url.replace("://", "://user:secret@", 1))
    assert "secret" not in str(refused.value)


def test_settings_name_the_channels_and_hide_what_may_be_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ML_ASSETS_WEBHOOK", "https://hooks.example/T0/secret")
    monkeypatch.setenv("ML_ASSETS_SMTP",
                       "smtps://me:p%40ss@mail.example?from=a@example.com&to=b@example.com")
    settings = Settings.from_environment()
    hook, mail = channels_of(settings)
    assert isinstance(mail, Email)
    assert (mail.port, mail.password, mail.encrypted) == (465, "p@ss", True)
    assert mail.addressees(SYSTEM.owners) == ("ann@example.com", "b@example.com")
    assert "secret" not in repr(settings) and hook.name == "webhook"
    monkeypatch.setenv("ML_ASSETS_WEBHOOK", "hooks.example/secret")
    with pytest.raises(DeclarationError, match="WEBHOOK is no address") as refused:
        Settings.from_environment()
    assert "secret" not in str(refused.value)


def test_the_command_sends_a_trial_and_lists_what_was_told(
    told: Settings, box: Mailbox, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml_assets.systems.find", lambda name: SYSTEM)
    for name, value in environment(told).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ML_ASSETS_WEBHOOK", told.webhook)
    monkeypatch.setenv("ML_ASSETS_SMTP", told.smtp)
    done = CliRunner().invoke(main, ["alerts", "test", "toy"])
    assert (done.exit_code, done.output) == (0, "webhook: delivered\nemail: delivered\n")
    assert box.mails[0][1]["Subject"] == "[toy] test: this is only a test"
    round_of(told, Hand(), problem())
    listed = CliRunner().invoke(main, ["alerts", "list", "toy"])
    assert "toy: 1 stands" in listed.output
    assert "opened drift by email: delivered 2024-03-01 08:00" in listed.output
    hook.answers = [500]
    assert CliRunner().invoke(main, ["alerts", "test", "toy"]).exit_code == 1
