"""A request becomes the columns of one mail, or is quarantined with the reason."""

from __future__ import annotations

import base64
import json
import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ml_assets.core.errors import Quarantined
from ml_assets.core.source import Event
from ml_assets.systems.spam.artefacts import without_artefacts
from ml_assets.systems.spam.body import decode_text, link_host
from ml_assets.systems.spam.headers import organisation
from ml_assets.systems.spam.mail import LIMIT_BYTES, parse_mail, request_bytes
from ml_assets.systems.spam.source import MailArchive

PARSE = MailArchive().parse

TEXTS = {"sender", "sender_domain", "relay_ip", "mailing_list", "subject", "header_text",
         "body_raw", "body_text"}
NUMBERS = {"links", "distinct_link_domains", "images", "is_html", "attachments", "body_chars",
           "subject_upper_share", "exclamations", "is_reply", "mime_defects"}

HEAD = "From: Ann <Ann@Mail.Example.co.uk>\nSubject: =?utf-8?q?Caf=C3=A9?= NOW!\n"
FRAGMENTS = st.sampled_from([
    b"From: a@b.c\n", b"Received: from x ([1.2.3.4]) by y; Thu, 99 Aug 2002 99:99:99 +9999\n",
    b"Content-Type: multipart/mixed; boundary=b\n", b"Content-Type: text/html; charset=hex\n",
    b"Content-Type: text/plain; charset=\"a\0b\"\n", b"Content-Type: text/html; charset=utf-7\n",
    b"Content-Type: text/plain; x*99999=1; x*0*=hex'en'%00\n", b"Content-Type: message/rfc822\n",
    b"Content-Transfer-Encoding: base64\n", b"Content-Transfer-Encoding: x-uuencode\n",
    b"Subject: =?utf-16?b?AAAA?= =?x?q?=zz?=\n", b"--b\n", b"--b--\n", b"\n", b"\r\n",
    b"<a href='http://[x/'><!-- <script>", b"+2AA-", b"&#xD800;&#0;", b"zzzz\xc4\xb0jm@\n",
])
MESSAGES = st.lists(st.one_of(FRAGMENTS, st.binary(max_size=40)), max_size=30).map(b"".join)


def posted(content: bytes) -> dict[str, object]:
    return {"message_base64": base64.b64encode(content).decode()}


def assert_complete(event: Event) -> None:
    assert set(event) == TEXTS | NUMBERS
    assert all(isinstance(event[name], str) for name in TEXTS)
    assert all(isinstance(event[name], float) for name in NUMBERS)
    # What a table or an answer cannot hold: half surrogate pairs and null characters.
    json.dumps(dict(event), ensure_ascii=False).encode()
    assert "\0" not in "".join(str(event[name]) for name in TEXTS)
    assert len(str(event["sender"])) <= 320
    assert all(len(str(event[name])) <= 255 for name in ("sender_domain", "mailing_list"))
    assert all(len(str(event[name])) <= 32 * 1024 for name in ("body_raw", "body_text"))


@given(MESSAGES)
@example(b"From: a@b.c\nContent-Type: text/plain; charset=\"a\0b\"\n\nhello")
@example(b"From: a@b.c\nContent-Type: text/plain; charset*=a%00b''x\n\nhello")
@example(b"From: a@b.c\nContent-Type: multipart/mixed; boundary*=hex'a'%00\n\nhello")
@example(b"From: a@b.c\nContent-Type: text/plain; x*" + b"9" * 5000 + b"=1\n\nhello")
def test_any_bytes_give_all_columns_or_are_quarantined(content: bytes) -> None:
    """Law: parse is total; only Quarantined leaves it."""
    try:
        event = PARSE(posted(content))
    except Quarantined:
        return
    assert_complete(event)


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_gives_all_columns_or_is_quarantined(text: str) -> None:
    """Law: a text with broken surrogates is a mail like any other."""
    assert_complete(PARSE({"message": f"From: a@b.c\n\nx{text}"}))


@given(st.dictionaries(st.sampled_from(["message", "message_base64", "mesage"]),
                       st.one_of(st.none(), st.integers(), st.text())))
def test_any_request_is_parsed_or_quarantined(request_: dict[str, object]) -> None:
    """Law: the shape of a request raises nothing else either."""
    try:
        assert_complete(PARSE(request_))
    except Quarantined as reason:
        assert len(str(reason)) > 10


@pytest.mark.parametrize(("request_", "reason"), [
    ({}, "neither of message and message_base64"),
    ({"message": "a", "message_base64": "b"}, "both of"),
    ({"mesage": "a"}, "unknown field 'mesage'; known: message, message_base64"),
    ({"message": 3}, "message is of type int; expected a text"),
    ({"message_base64": "not base64!"}, "message_base64 is not base64"),
    ({"message": " \n"}, "the message is empty"),
    ({"message": "To: me\n\nhi"}, "neither a From nor a Received header"),
    ({"message": "From: a@b.c\n\n" + "x" * LIMIT_BYTES}, "at most 2,097,152"),
    ({"message": "From: a@b.c\n\n" + "boundary " * 101}, "names MIME boundaries over 100 times"),
])
def test_a_request_that_is_no_mail_says_why(request_: dict[str, object], reason: str) -> None:
    """Law: the reason of a quarantine names what was found and what was expected."""
    with pytest.raises(Quarantined, match=re.escape(reason)):
        PARSE(request_)


def test_the_headers_of_a_mail_become_columns() -> None:
    """Law: sender, organisation, list, thread and relay are read as documented."""
    event = PARSE({"message": (
        "Received: from x (y.z [64.1.2.3]) by dogma.slashnull.org; Thu, 22 Aug 2002 1:2:3 +0\n"
        + HEAD + "List-Id: Users <Users.List.org>\nReferences: <1@b>\nDate: never\n"
        'Content-Type: text/plain; boundary="=_Next_01C2"\nMessage-ID: <2002.ab12@c.d>\n\n'
        "See http://a.shop.com/x and HTTP://b.shop.com!!"
    )})
    assert event["sender"] == "ann@mail.example.co.uk"
    assert event["sender_domain"] == "example.co.uk"
    assert event["mailing_list"] == "users.list.org"
    assert event["relay_ip"] == "64.1.2.3"
    assert event["subject"] == "Café NOW!"
    assert (event["is_reply"], event["links"], event["distinct_link_domains"]) == (1.0, 2.0, 1.0)
    assert event["exclamations"] == 3.0
    assert event["subject_upper_share"] == 4 / 7
    assert str(event["header_text"]).splitlines() == [
        "From: Ann <Ann@Mail.Example.co.uk>", "Subject: Café NOW!",
        "List-Id: Users <Users.List.org>", 'Content-Type: text/plain; boundary="=_a_0a0"',
        "Message-ID: <0.a0@a.a>", "Relay: 64.1.2.3",
    ]


def test_html_shows_what_a_reader_sees_and_where_links_lead() -> None:
    """Law: comments and inline tags split no word; a wrong label does not hide HTML."""
    event = PARSE({"message": HEAD + (
        "Content-Type: text/plain\n\n<html><style>p {}</style>V<!-- x -->ia<b>g</b>ra"
        "<p>now <a href='http://shop.com/?a=1&amp;b'>here</a><img src=x.gif></html>"
    )})
    assert "Viagra\nnow http://shop.com/?a=1&b here" in str(event["body_text"])
    assert "p {}" not in str(event["body_text"])
    assert (event["is_html"], event["links"], event["images"]) == (1.0, 1.0, 1.0)
    assert "<style>" in str(event["body_raw"])


def test_attachments_are_counted_and_not_read() -> None:
    """Law: only readable parts make the body."""
    event = PARSE({"message": HEAD + (
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nseen\n"
        "--b\nContent-Type: application/zip\nContent-Transfer-Encoding: base64\n\nAAAA\n--b--\n"
    )})
    assert (event["body_text"], event["attachments"], event["mime_defects"]) == ("seen", 1.0, 0.0)


def test_masks_of_every_month_become_one_word() -> None:
    """Law: what the collector hid and how he hid it look the same."""
    texts = ["To jm@jmason.org", "To zzzz@spamassassin.taint.org", "To YYYY@netnoteinc.com",
             "To qqqqqq@mandark.labs.netnoteinc.com"]
    assert {without_artefacts(text) for text in texts} == {"To recipient@recipient.example"}
    assert without_artefacts("a\n> X-Spam-Status: Yes\nX-Status: R\nb") == "a\nb"
    assert without_artefacts("pizza and jams") == "pizza and jams"


def test_nothing_but_allow_listed_headers_is_read() -> None:
    """Law: mailbox headers, clocks, recipients and other Received lines change no column."""
    extra = ("X-Keywords: \nStatus: RO\nX-Status: A\nDelivered-To: zzzz@localhost\nTo: you\n"
             "Date: Thu, 22 Aug 2002 13:52:38 +0100\nX-Spam-Level: ***\n"
             "Received: from a by localhost with IMAP (fetchmail); 22 Aug 2002 12:00:00 -0000\n")
    assert PARSE({"message": extra + HEAD + "\nhi"}) == PARSE({"message": HEAD + "\nhi"})


@pytest.mark.parametrize(("content", "reason"), [
    ("Content-Type: text/html" + ";a=b" * 400_000, "at most 8,192"),
    ("To: a\rContent-Type: text/html" + ";\r a=b" * 200_000, "at most 8,192"),
    ("Content-Type: multipart/mixed; boundary=b\n\n" + "--b\n\n" * 300_000, "1000 MIME parts"),
    ("Content-Type: message/rfc822\n\n" * 60_000, "RecursionError"),
])
def test_a_mail_built_to_cost_time_is_refused_at_once(content: str, reason: str) -> None:
    """Law: no mail holds up the others (these took the standard parser up to 40 s)."""
    started = time.process_time()
    with pytest.raises(Quarantined, match=reason):
        PARSE({"message": f"From: a@b.c\n{content}"})
    assert time.process_time() - started < 2


def test_small_rules_hold() -> None:
    """Law: organisations, link hosts and charsets as documented."""
    assert [organisation(host) for host in ("a.b.com", "a.b.ie", "b.co.uk", "a.b.co.uk", "1.2.3.4",
                                            "localhost", "")] == [
        "b.com", "b.ie", "b.co.uk", "b.co.uk", "1.2.3.4", "localhost", ""]
    assert link_host("HTTP://user@Shop.com:80/x@y") == "shop.com"
    assert link_host("mailto:a@b.c") == ""
    assert decode_text(b"\xe9", "no-such-charset") == "é"
    assert decode_text("é".encode("cp850"), "IBM850") == "é"
    assert decode_text(b"abc", "hex") == "abc"


@pytest.mark.parametrize("body", [
    "<" * 300_000, "<!--" * 100_000, "<a " * 100_000, "<script>" * 50_000, "\n " * 200_000,
    "mail." * 100_000 + "jmason.org", "http://" * 60_000, "<a href=" * 50_000, "&" * 300_000,
    "=?a?q?" * 50_000, ">" * 300_000 + "x-spam",
])
def test_no_body_takes_long(body: str) -> None:
    """Law: time grows with size alone; 2 s allow for a slow machine, quadratic cost takes more."""
    started = time.process_time()
    for head in ("Content-Type: text/html", f"Subject: {body}"):
        parse_mail(request_bytes({"message": f"From: a@b.c\n{head}\n\n{body}"}))
    assert time.process_time() - started < 2


@pytest.mark.corpus
def test_every_mail_of_the_corpus_is_complete(mail_columns: list[Event]) -> None:
    """Law: real mail is never quarantined."""
    assert len(mail_columns) == 3185
    for event in mail_columns:
        assert_complete(event)


@pytest.mark.corpus
def test_no_artefact_of_the_collection_survives(mail_columns: list[Event]) -> None:
    """Law: no mask, no domain of the recipient and no mailbox line is left in any text."""
    artefact = re.compile(
        r"zzzz|yyyy|qqqq|\bjm@|netnoteinc\.com|jmason\.org|taint\.org|slashnull\.org|"
        r"^[> ]*X-(?:Spam-\w+|Status|Keywords|UID):|^(?:In-Reply-To|References|Date|Received):",
        re.IGNORECASE | re.MULTILINE,
    )
    for event in mail_columns:
        for name in TEXTS:
            text = str(event[name])
            if name.startswith("body"):  # people quote and forward headers: that is content
                text = re.sub(r"^(?:In-Reply-To|References|Date|Received):", "", text,
                              flags=re.IGNORECASE | re.MULTILINE)
            assert not artefact.search(text), (name, artefact.search(text))
