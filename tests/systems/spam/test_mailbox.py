"""The sender of a mail is its mailbox by RFC 5322, whatever else its From header shows."""

from __future__ import annotations

import time
from email.headerregistry import HeaderRegistry
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.systems.spam.mailbox import LIMIT_CHARS, mailbox
from ml_assets.systems.spam.source import MailArchive

PARSE = MailArchive().parse
DECOY = "ceo@bank.example"


@pytest.mark.parametrize(("value", "expected"), [
    (f"x@evil.example ({DECOY})", "x@evil.example"),
    (f"({DECOY}) x@evil.example", "x@evil.example"),
    (f"x@evil.example (a ({DECOY}) \\) b", "x@evil.example"),
    (f"x({DECOY})@evil.example", "x@evil.example"),
    (f"<x@evil.example> ({DECOY})", "x@evil.example"),
    (f"<x({DECOY})@evil.example({DECOY})>", "x@evil.example"),
    (f"{DECOY} <x@evil.example>", "x@evil.example"),
    (f'"{DECOY}" <x@evil.example>', "x@evil.example"),
    (f'"<{DECOY}>" x@evil.example', "x@evil.example"),
    (f"<{DECOY}> <x@evil.example>", "x@evil.example"),
    (f'"x\\", {DECOY}" <x@evil.example>', "x@evil.example"),
    ("=?utf-8?q?=3Cceo=40bank.example=3E?= <x@evil.example>", "x@evil.example"),
    ("=?utf-8?b?eEBldmlsLmV4YW1wbGU=?=", "x@evil.example"),
    ("pat.o'neil@a.example", "pat.o'neil@a.example"),
    ("Pat O'Neil <Pat.O'Neil@A.Example>", "pat.o'neil@a.example"),
    ("'ann@a.example'", "ann@a.example"), ("a+b=c/d!#$%&*?^`{|}~@a.example",
                                           "a+b=c/d!#$%&*?^`{|}~@a.example"),
    ('"a b"@a.example', '"a b"@a.example'), ('"a@b"@a.example', '"a@b"@a.example'),
    ('"a\\"b"@a.example', '"a\\"b"@a.example'), ('"ann"@a.example', "ann@a.example"),
    ('Ann <"a b"@a.example>', '"a b"@a.example'),
    ("ann @ a . example", "ann@a.example"), ("Ann <ann@\n a.example>", "ann@a.example"),
    ("<@a.example,@b.example:ann@c.example>", "ann@c.example"),
    ("ann@[192.0.2.1]", "ann@[192.0.2.1]"), ("ann@[IPv6:2001:db8::1]", "ann@[ipv6:2001:db8::1]"),
    ("A. Group: ann@a.example, bob@b.example;", "ann@a.example"),
    ("undisclosed-recipients:;", ""), ("Nobody:; (really), ann@a.example", "ann@a.example"),
    ("ann@a.example, bob@b.example", "ann@a.example"),
    ("Smith, Ann <ann@a.example>", "ann@a.example"),
    (", ann@a.example", "ann@a.example"), ("Ann <ann@a.example", "ann@a.example"),
    ("ann@a.example>", "ann@a.example"), ("Ann (the <ann@a.example>", "ann@a.example"),
    ("ann@a.example <>", "ann@a.example"), ("Ann Smith ann@a.example", "ann@a.example"),
    ("ANN@A.EXAMPLE.", "ann@a.example"), ("root", ""), ("", ""), ("<>", ""), ("@", ""), ("a@", ""),
    ("x@bücher.example", "x@xn--bcher-kva.example"),
    ("x@BÄCKER.example", "x@xn--bcker-gra.example"),
    ("x@faß.example", "x@xn--fa-hia.example"), ("x@bücher。example", "x@xn--bcher-kva.example"),
    ("x@xn--bcher-kva.example", "x@xn--bcher-kva.example"),
    ("Jörg <jörg@a.example>", "jörg@a.example"),
    ("x@☃.example", "x@☃.example"),
])
def test_the_mailbox_is_what_the_standard_and_readers_take_for_it(
    value: str, expected: str
) -> None:
    event = PARSE({"message": f"From: {value}\nReceived: by x\n\nhello"})
    assert event["sender"] == expected


def test_names_that_begin_alike_are_different_organisations() -> None:
    domains = {str(PARSE({"message": f"From: x@{name}.example\n\nhello"})["sender_domain"])
               for name in ("bücher", "bäcker", "b", "bück", "faß", "fass")}
    assert len(domains) == 6 and all(domain.isascii() for domain in domains)


ATEXT = "abcxyz019!#$%&'*+-/=?^_`{|}~"
LOCALS = st.lists(st.text(ATEXT, min_size=1, max_size=8), min_size=1, max_size=3).map(".".join)
LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?", fullmatch=True)
ADDRESSES = st.builds(lambda local, labels: f"{local}@{'.'.join(labels)}", LOCALS,
                      st.lists(LABELS, min_size=2, max_size=3))
TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=0x17f, exclude_characters="\x7f"),
                max_size=20)


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def commented(text: str) -> str:
    return "(" + "".join(f"\\{each}" if each in "\\()" else each for each in text) + ")"


@given(address=ADDRESSES, text=TEXTS, decoy=ADDRESSES)
def test_neither_comment_nor_display_name_is_the_address(
    address: str, text: str, decoy: str
) -> None:
    for shown in (text, decoy, f"<{decoy}>", f"{text} {decoy}", f"{decoy}, {text}"):
        for value in (f"{quoted(shown)} <{address}>", f"{commented(shown)} {address}",
                      f"{address} {commented(shown)}", f"<{address}>{commented(shown)}",
                      f"{quoted(shown)}{commented(shown)}<{commented(shown)}{address}>",
                      f"{commented(shown)}Team: {address} {commented(shown)};",
                      f"{address}, {decoy}"):
            assert mailbox(value) == address.lower(), value


@given(address=ADDRESSES, name=st.from_regex(r"[A-Za-z][A-Za-z ]{0,10}", fullmatch=True))
def test_what_the_standard_library_reads_of_a_sound_header_is_read_here(
    address: str, name: str
) -> None:
    for value in (address, f"{name} <{address}>"):
        header: Any = HeaderRegistry()("From", value)
        (read,) = header.addresses
        assert mailbox(value) == read.addr_spec.lower()


@given(st.lists(st.text("aäbßcöçéñ", min_size=1, max_size=6), min_size=2, max_size=2, unique=True))
def test_different_internationalised_domains_stay_different(labels: list[str]) -> None:
    one, other = (mailbox(f"x@{label}.example") for label in labels)
    assert one != other and one.isascii() and other.isascii()


@given(st.one_of(st.text(), st.text('<>()[]"\\@.,;: aé', max_size=60)))
def test_any_text_has_a_mailbox_or_none(value: str) -> None:
    found = mailbox(value)
    assert found == "" or ("@" in found and len(found) <= LIMIT_CHARS)
    if found.isascii():
        assert mailbox(f"<{found}>") == found


@pytest.mark.parametrize("value", [
    "(" * 2000, "(a)" * 660, "<" * 2000, "a," * 1000, '"' * 2000, '"a' * 1000, "a@b " * 500,
    "@" * 2000, "\\" * 2000, "[" * 2000, '"\\' * 1000, ". " * 1000, " " * 2000, "x@" + "é." * 999,
    'x"' * 999 + "@b",
])
def test_no_header_takes_long(value: str) -> None:
    started = time.process_time()
    mailbox(value)
    assert time.process_time() - started < 0.2
