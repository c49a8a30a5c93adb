"""The mail archive is protocol W: nothing lost silently, nothing told by order or name."""

from __future__ import annotations

import base64
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ml_assets.core.errors import FetchError
from ml_assets.core.source import ArchivedEvent, Event
from ml_assets.systems.spam.relay import arrival
from ml_assets.systems.spam.source import MailArchive

OUTSIDE = ("from mail.shop.com (mail.shop.com [64.1.2.3]) by dogma.slashnull.org (8.11.6) "
           "with ESMTP id g1; Thu, 22 Aug 2002 13:53:39 +0100")
INSIDE = ("from localhost (localhost [127.0.0.1]) by phobos.labs.netnoteinc.com (Postfix) "
          "with ESMTP id 03; Fri, 23 Aug 2002 08:52:58 -0400 (EDT)")
FORGED = "from bank ([9.9.9.9]) by bank.com; Mon, 1 Jan 2001 00:00:00 +0000"


def test_arrival_is_what_the_recipients_exchanger_says() -> None:
    """Law: neither later hops inside nor lines forged below move the time of arrival."""
    expected = datetime(2002, 8, 22, 12, 53, 39, tzinfo=UTC)
    assert arrival([OUTSIDE], None) == expected
    assert arrival([INSIDE, OUTSIDE, FORGED], "Sat, 24 Aug 2002 00:00:00") == expected


def test_arrival_falls_back_to_the_topmost_line_then_to_delivery_less_an_hour() -> None:
    """Law: the sender's Date is never asked."""
    assert arrival([INSIDE], None) == datetime(2002, 8, 23, 12, 52, 58, tzinfo=UTC)
    delivered = arrival([], "Tue May 14 08:01:07 2002")
    assert delivered == datetime(2002, 5, 14, 7, 1, 7, tzinfo=UTC)
    assert arrival([], None) is None


def test_a_file_that_is_no_archive_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """Law: a damaged file is an error of fetching, not a short history."""
    broken = tmp_path / "broken.tgz"
    broken.write_bytes(b"\x1f\x8b no archive")
    with pytest.raises(FetchError, match="fetch it again"):
        list(MailArchive().archive(broken))


def test_equal_mails_keep_ids_of_their_own_and_one_order(tmp_path: Path) -> None:
    """Law: an id is unique, and the order of the files changes neither ids nor order."""
    mails = [f"Received: {OUTSIDE}\nFrom: {name}@b.c\n\nhello".encode() for name in "aab"]
    folders = [("package/data/spam-1", "00001"), ("package/data/easy-ham-1", "00001"),
               ("package/data/spam-2", "00003")]
    paths = []
    for turn, order in enumerate(([0, 1, 2], [2, 1, 0])):
        paths.append(tmp_path / f"{turn}.tgz")
        with tarfile.open(paths[-1], "w:gz") as package:
            for position in order:
                (tmp_path / "mail").write_bytes(mails[position])
                package.add(tmp_path / "mail", "/".join(folders[position]) + ".txt")
    first, second = ([event.event_id for event in MailArchive().archive(path)] for path in paths)
    assert first == second
    assert len(set(first)) == 3


@pytest.mark.corpus
def test_the_archive_is_protocol_w(mail_events: list[ArchivedEvent]) -> None:
    """Law: counts of classes and splits as measured, in the order of arrival, without a gap."""
    spam = [bool(event.outcome) for event in mail_events]
    times = [event.event_timestamp for event in mail_events]
    assert (len(spam), sum(spam)) == (3185, 955)
    assert (sum(spam[:1592]), sum(spam[1592:1911]), sum(spam[1911:])) == (503, 108, 344)
    assert times == sorted(times)
    assert {time.tzinfo for time in times} == {UTC}
    days = sorted({time.date() for time in times})
    assert (days[0].isoformat(), days[-1].isoformat()) == ("2002-07-28", "2002-09-26")
    assert days[-1] - days[0] == timedelta(days=len(days) - 1)
    for label in (True, False):
        assert len({t.date() for t, s in zip(times, spam, strict=True) if s == label}) == len(days)


@pytest.mark.corpus
def test_no_mail_is_dropped_without_a_reason(mail_corpus: Path) -> None:
    """Law: kept and left out add up to the corpus."""
    census = MailArchive().census(mail_corpus)
    assert sum(census.values()) == 6046
    assert census["kept"] == 3185
    assert census["feed RSS-to-mail"] == 623


@pytest.mark.corpus
def test_neither_id_nor_its_order_tells_the_class(mail_events: list[ArchivedEvent]) -> None:
    """Law: sorted by id, spam is spread evenly (Mann-Whitney within four standard errors)."""
    by_id = sorted(mail_events, key=lambda event: event.event_id)
    assert len({event.event_id for event in by_id}) == len(by_id)
    ranks = [rank for rank, event in enumerate(by_id) if event.outcome]
    total, spam = len(by_id), len(ranks)
    mean = sum(ranks) / spam
    deviation = ((total + 1) * (total - spam) / (12 * spam)) ** 0.5
    assert abs(mean - (total - 1) / 2) < 4 * deviation


@pytest.mark.corpus
def test_history_and_a_live_post_give_the_same_event(
    mail_events: list[ArchivedEvent], mail_columns: list[Event]
) -> None:
    """Law: the line ends of the wire change no column."""
    archive = MailArchive()
    for event, columns in list(zip(mail_events, mail_columns, strict=True))[::20]:
        content = base64.b64decode(str(event.request["message_base64"]))
        wire = content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        posted = {"message_base64": base64.b64encode(wire).decode()}
        assert archive.parse(posted) == columns


