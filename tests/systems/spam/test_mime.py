"""Text that a common reader shows is seen by the filter, however the mail breaks MIME."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.errors import Quarantined
from ml_assets.core.source import Event
from ml_assets.systems.spam.source import MailArchive

TEXT = 'Claim your <b>prize</b> now <a href="https://evil.example/claim">here</a>'
SHOWN = "prize now https://evil.example/claim here"


def parsed(head: str, body: str) -> Event:
    return MailArchive().parse({"message": f"From: x@evil.example\n{head}\n\n{body}"})


def assert_seen(event: Event, *, links: float = 1.0) -> None:
    assert SHOWN in " ".join(str(event["body_text"]).split())
    assert (event["links"], event["is_html"]) == (links, 1.0)


PART = f"Content-Type: text/html\n\n{TEXT}\n"


@pytest.mark.parametrize("body", [
    f"--abd\n{PART}--abd--\n", f"--abd\n{PART}", f"--abc-\n{PART}--abc-\n{PART}--abc---\n",
    f"This is MIME.\n--ABC\n{PART}--ABC--\n", f"-- abc\n{PART}", TEXT, PART, f"--abd\n\n{TEXT}\n",
    f"--abd\nContent-Type: text/plain\n\nhi\n--abd\n{PART}--abd--\n",
    f"--abd\n{PART}--abc--\n", f"--abc--\n{PART}", f"--abc\n{PART}", f"--abc\n{PART}--abd--\n",
    f"--abd\nContent-Type: multipart/mixed; boundary=x\n\n--y\n{PART}--y--\n--abd--\n",
])
@pytest.mark.parametrize("head", [
    "Content-Type: multipart/alternative; boundary=abc",
    "Content-Type: multipart / alternative; boundary=abc", "Content-Type: multipart/mixed",
    'Content-Type: Multipart/Related; BOUNDARY = "abc"',
])
def test_a_multipart_with_another_boundary_than_it_declares_is_read(head: str, body: str) -> None:
    seen = parsed(head, body)
    assert SHOWN in " ".join(str(seen["body_text"]).split())
    assert seen["is_html"] == 1.0 and seen["links"] in (1.0, 2.0)


def test_a_part_in_base64_behind_a_misspelt_boundary_is_decoded() -> None:
    part = ("Content-Type: text/html\nContent-Transfer-Encoding: base64\n\n"
            "Q2xhaW0geW91ciA8Yj5wcml6ZTwvYj4gbm93IDxhIGhyZWY9Imh0dHBzOi8vZXZpbC5leGFtcGxlL2NsYWlt\n"
            "Ij5oZXJlPC9hPg==\n")
    event = parsed("Content-Type: multipart/mixed; boundary=abc", f"--abd\n{part}--abd--\n")
    assert_seen(event)
    assert event["attachments"] == 0.0


@pytest.mark.parametrize("kind", [
    "text / html", "text/ html", " TEXT /HTML", '"text/html"', "text/html charset=utf-8",
    "text/html;;charset=utf-8", "text/html ; charset=utf-8", "text\t/\thtml", "text/html;charset",
])
def test_a_media_type_with_spaces_is_the_one_without(kind: str) -> None:
    assert_seen(parsed(f"Content-Type: {kind}", TEXT))


@pytest.mark.parametrize("kind", ["html", "text", "", "text:html", "/html", "text/"])
def test_a_media_type_that_is_none_is_text(kind: str) -> None:
    """RFC 2045, 5.2; that it looks like HTML is seen all the same."""
    assert_seen(parsed(f"Content-Type: {kind}", f"<html>{TEXT}</html>"))


@pytest.mark.parametrize("encoding", ["base64", "BASE64", '"base64"', "base64 (as ever)",
                                      " base64;"])
def test_a_transfer_encoding_with_more_around_it_is_undone(encoding: str) -> None:
    event = parsed(f"Content-Type: text/plain\nContent-Transfer-Encoding: {encoding}",
                   "aHR0cHM6Ly9ldmlsLmV4YW1wbGU=")
    assert event["body_text"] == "https://evil.example"


@pytest.mark.parametrize("body", [
    f"{TEXT}\n--abc\n\nhi\n--abc--\n", f"--abc\n\nhi\n--abc--\n{TEXT}",
    f"--abc\n\nhi\n--abc--\n\n--abc\n{PART}",
    f"--abc\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\nhi\n--x--\n{TEXT}\n--abc--\n",
])
def test_text_before_and_behind_the_parts_is_seen(body: str) -> None:
    event = parsed("Content-Type: multipart/mixed; boundary=abc", body)
    assert "evil.example/claim" in str(event["body_text"]) and "hi" in str(event["body_text"])
    assert event["links"] == 1.0


def test_the_notice_of_mail_programs_is_no_text() -> None:
    notice = ("This is a multi-part message in MIME format.\nYour mail reader does not\n"
              "understand this format.\n")
    event = parsed("Content-Type: multipart/mixed; boundary=abc",
                   f"{notice}--abc\n\nhi\n--abc--\n")
    assert event["body_text"] == "understand this format.\nhi"


BOUNDARIES = st.from_regex(r"[A-Za-z0-9'()+_,./:=?-]{1,30}", fullmatch=True)


@given(declared=BOUNDARIES, used=BOUNDARIES, before=st.sampled_from(["", "\n", "hello\n"]),
       closed=st.booleans(), inner=st.sampled_from(["mixed", "alternative", "related"]))
def test_no_boundary_hides_a_part(
    declared: str, used: str, before: str, closed: bool, inner: str
) -> None:
    """Whatever is declared and used: the text of a part is seen."""
    end = f"--{used}--\n" if closed else ""
    event = parsed(f'Content-Type: multipart/{inner}; boundary="{declared}"',
                   f"{before}--{used}\n{PART}{end}")
    assert SHOWN in " ".join(str(event["body_text"]).split())


@pytest.mark.parametrize("body", [
    "--b\ncontent-type: multipart/mixed; boundary=c\n\n" * 2000,
    "".join(f"--b{n}\nContent-Type: multipart/mixed; boundary=x\n\n" for n in range(90))
    + "x" * 10**6,
    "boundary=x \n--x--\n" * 90 + "--x--\n" * 200_000, "--" + "b" * 10**6,
    "--b\n" * 300_000, "--b \n" * 300_000,
])
def test_no_repair_takes_long(body: str) -> None:
    started = time.process_time()
    with suppress(Quarantined):
        parsed("Content-Type: multipart/mixed; boundary=x", body)
    assert time.process_time() - started < 2
