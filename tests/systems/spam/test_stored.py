"""Mail as it lies on disks is the mail that was sent."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.source import Event
from ml_assets.systems.spam.mail import LIMIT_BYTES
from ml_assets.systems.spam.source import MailArchive
from ml_assets.systems.spam.stored import as_sent

MAIL = (b"Received: from x (y [192.0.2.7]) by mx.example; Thu, 22 Aug 2002 13:53:39 +0100\n"
        b"From: Ann <ann@a.example>\nSubject: caf\xc3\xa9\n"
        b"Content-Type: text/plain; charset=utf-8\n\n"
        b"From here on\n>From there\n\nhello https://a.example/x\n")
KEPT = [b"\xef\xbb\xbf", b"\n", b" \t\n", b"From ann@a.example Thu Aug 22 13:53:39 2002\n",
        b">From ann@a.example Thu Aug 22 13:53:39 2002\n", b"From - Thu Aug 22\n",
        b"\x01\x01\x01\x01\n"]


def parsed(content: bytes) -> Event:
    return MailArchive().parse({"message_base64": base64.b64encode(content).decode()})


@given(st.lists(st.sampled_from(KEPT), max_size=4).map(b"".join), st.sampled_from(
    [b"\n", b"\r\n", b"\r"]))
def test_what_a_keeper_puts_before_a_mail_changes_no_column(before: bytes, end: bytes) -> None:
    stored = (before + MAIL).replace(b"\n", end)
    assert as_sent(stored) == MAIL
    assert parsed(stored) == parsed(MAIL)


def test_a_text_with_a_byte_order_mark_is_a_mail() -> None:
    text = MAIL.decode()
    assert MailArchive().parse({"message": f"\ufeff\n{text}"}) == parsed(MAIL)


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_mail_that_an_editor_saved_in_utf_16_is_read(coding: str) -> None:
    mark = {"utf-16": "", "utf-16-le": "\ufeff", "utf-16-be": "\ufeff"}[coding]
    assert parsed((mark + MAIL.decode()).encode(coding)) == parsed(MAIL)


def test_an_emlx_is_read_without_its_length_and_properties() -> None:
    plist = b'<?xml version="1.0"?><plist><string>https://b.example</string></plist>\n'
    assert as_sent(b"%d      \n" % len(MAIL) + MAIL + plist) == MAIL
    assert as_sent(b"3\n" + MAIL) == MAIL  # a length that is not the mail's hides nothing


@pytest.mark.parametrize("head", ["From : ann@a.example", "From\t: ann@a.example",
                                  "From:ann@a.example", "FROM: ann@a.example"])
def test_a_header_with_a_space_before_its_colon_is_one(head: str) -> None:
    """And what follows is no body: the old syntax of RFC 5322, which readers accept."""
    event = MailArchive().parse({"message": f"{head}\nSubject : hi\nContent-Type : text/html\n\n"
                                            "<a href=https://b.example>x</a>"})
    assert (event["sender"], event["subject"]) == ("ann@a.example", "hi")
    assert (event["is_html"], event["links"]) == (1.0, 1.0)


@given(st.binary(max_size=60))
def test_to_strip_a_mail_twice_is_to_strip_it_once(content: bytes) -> None:
    once = as_sent(b"From: a@b.example\n" + content)
    assert as_sent(once) == once


@pytest.mark.parametrize("piece", [
    b"From x\n", b">", b">From ", b"\n", b" ", b"\xef\xbb\xbf", b"a ", b"a\t",
    b"\x01\x01\x01\x01\n", b"1", b"a :",
])
def test_no_beginning_takes_long(piece: bytes) -> None:
    started = time.process_time()
    as_sent(piece * (LIMIT_BYTES // len(piece)))
    assert time.process_time() - started < 1
