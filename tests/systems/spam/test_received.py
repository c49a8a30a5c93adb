"""A Received line yields the peer that its writer saw, or nothing: never what the peer claims."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.systems.spam.received import Address, read_carefully, read_received
from ml_assets.systems.spam.relay import accepting_hop

PEER, CLAIM = "203.0.113.9", "198.51.100.7"
END = "by mx.shop.example with ESMTP id x1; Thu, 22 Aug 2002 13:53:39 +0100"
FORGED = f"from bank ([{CLAIM}]) by bank.example; Mon, 1 Jan 2001 00:00:00 +0000"
INSIDE = "from localhost (localhost [127.0.0.1]) by mx.shop.example (Postfix) with ESMTP; 1"

FORMS = {
    "exim": "from mail.a.example ([203.0.113.9] helo=[198.51.100.7])",
    "exim, port": "from mail.a.example ([203.0.113.9]:4711 helo=198.51.100.7)",
    "exim, ident": "from mail.a.example ([203.0.113.9] ident=198.51.100.7 helo=[198.51.100.7])",
    "exim, no name": "from [203.0.113.9] (helo=[198.51.100.7])",
    "exim, no name, port": "from [203.0.113.9] (port=4711 helo=evil.by)",
    "exim, helo is the address": "from [203.0.113.9]",
    "postfix": "from [198.51.100.7] (mail.a.example [203.0.113.9])",
    "postfix, unknown": "from evil.by (unknown [203.0.113.9])",
    "postfix, tls": "from evil.by (mail.a.example [203.0.113.9]) (using TLSv1.2 with cipher X "
                    "(256/256 bits)) (Client CN \"[198.51.100.7]\", Issuer \"x\" (verified OK))",
    "postfix, login": "from pc (unknown [203.0.113.9]) (Authenticated sender: ann@a.example)",
    "sendmail": "from evil (mail.a.example [203.0.113.9] (may be forged))",
    "sendmail, no name": "from 198.51.100.7 ([203.0.113.9])",
    "sendmail, ident": "from evil (IDENT:root@mail.a.example [203.0.113.9])",
    "sendmail, ident, no name": "from evil (198.51.100.7@[203.0.113.9])",
    "sendmail, login": "from evil (mail.a.example [203.0.113.9]) (authenticated (0 bits))",
    "qmail": "from unknown (HELO 198.51.100.7) (203.0.113.9)",
    "qmail, literal": "from unknown (HELO [198.51.100.7]) (203.0.113.9)",
    "qmail, ident": "from mail.a.example (HELO evil) (198.51.100.7@203.0.113.9)",
    "qmail, no helo": "from mail.a.example (203.0.113.9)",
    "qmail-ldap": "from unknown (HELO evil) ([203.0.113.9]) (envelope-sender <x@198.51.100.7>)",
    "yahoo": "from 127.0.0.1 (EHLO evil.by) (203.0.113.9)",
    "yahoo, login": "from unknown (HELO pc) (someone@203.0.113.9 with login)",
    "zimbra": "from evil (LHLO evil) (203.0.113.9)",
    "communigate": "from [203.0.113.9] (account ann HELO [198.51.100.7])",
    "exchange": "from MAIL.a.example (203.0.113.9)",
    "exchange, smtpsvc": "from evil.by ([203.0.113.9] RDNS failed)",
    "gmail": "from evil (mail.a.example. [203.0.113.9])",
    "powermta": "from evil (203.0.113.9:25)",
    "imail": "from 198.51.100.7 [203.0.113.9]",
    "smail": "from evil.by from [203.0.113.9]",
    "old exim": "from evil.by (mail.a.example) [203.0.113.9]",
    "mailenable": "from (198.51.100.7 [203.0.113.9])",
    "pmdf": "from [198.51.100.7] (mail.a.example [203.0.113.9])",
    "courier": "from evil (mail.a.example [::ffff:203.0.113.9]) (AUTH: LOGIN ann)",
    "mapped": "from evil (mail.a.example [IPv6:::ffff:203.0.113.9])",
    "smap": "from unknown(203.0.113.9)",
}


def peer(line: str) -> str:
    found = read_received(line).peer
    return "" if found is None else str(found)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_common_form_yields_the_peer(form: str) -> None:
    assert peer(f"{form} {END}") == PEER
    assert read_received(f"{form} {END}").by == "mx.shop.example"
    hop = accepting_hop([INSIDE, f"{form} {END}", FORGED])
    assert hop is not None and (hop.relay_ip, hop.exchanger) == (PEER, "mx.shop.example")


@pytest.mark.parametrize("form", [
    "from evil (mail.a.example [IPv6:2001:DB8::25])", "from mail.a.example ([2001:db8::25] helo=x)",
    "from A.b.example (2001:db8:0::25)", "from [IPv6:2001:db8::25] (helo=x)",
    "from evil (mail.a.example [2001:db8::25%eth0])", "from unknown (HELO x) (2001:db8::25)",
    "from [IPv6:2001:db8:ffff::1] (mail.a.example [IPv6:2001:db8::25])",
])
def test_an_ipv6_peer_is_read_in_its_short_form(form: str) -> None:
    assert peer(f"{form} {END}") == "2001:db8::25"


@pytest.mark.parametrize("line", [
    f"from [{CLAIM}] by evil (real [{PEER}]) {END}",  # a HELO with spaces
    f"from evil by evil (real [{PEER}]) {END}",
    f"from evil (x [{CLAIM}]) (real [{PEER}]) {END}",
    f"from evil (x [{CLAIM}]) by evil (real [{PEER}]) {END}",
    f"from x [{CLAIM}] (rdns.example) {END}",
    f"from ( (real [{PEER}]) {END}",
    f"from evil ((x [{CLAIM}]) {END}",
    f"from [{CLAIM}] (helo=x@real [{PEER}]) {END}",  # an ident that looks like Exim's words
    f"from evil ([{CLAIM}] helo=x@real [{PEER}]) {END}",
    f"from [{CLAIM}] (using x@real [{PEER}]) {END}",
    f"from [{CLAIM}] (HELO x@real [{PEER}]) {END}",
    f"from evil with LMTP by evil ([999.1.1.1]) {END}",
    f"from evil (real [999.1.1.1]) {END}", f"from evil (real [IPv6:zz]) {END}",
    f"from localhost (x [{CLAIM}]) (real [{PEER}]) {END}", f"from localhost ([9]) {END}",
    f"from {CLAIM} {END}", f"from [{CLAIM}] (real.example) {END}",
    f"from {CLAIM} (real.example) {END}",
    f"from evil ([{CLAIM}]", "from", "from by", "from x by",
])
def test_a_line_in_doubt_is_not_read_and_lets_no_forged_one_below_speak(line: str) -> None:
    assert peer(line) in ("", PEER)
    hop = accepting_hop([INSIDE, line, FORGED])
    assert hop is not None and hop.relay_ip in ("", PEER)


@pytest.mark.parametrize("line", [
    "(qmail 15952 invoked by uid 7789); 19 Jul 2002 13:50:58 -0000",
    "by mx.example (Postfix, from userid 501) id B108F3C04F; Fri, 19 Jul 2002 14:28:42 +0100",
    "(from majordomo@localhost) by mx.example (8.11.6/8.11.6) id g6; Fri, 19 Jul 2002 09:40:13",
    "from mx.example by mx.example with LMTP id abc (envelope-from <x@[1.2.3.4]>); Fri, 19 Jul",
    "from mx ([unix socket]) by mx (Cyrus v2.4) with LMTPA; Fri, 19 Jul 2002 14:28:42 +0100",
    "from localhost (localhost [[UNIX: localhost]]) by mx (8.11.6/8.11.6) id g6; Fri, 19 Jul",
    "from mail pickup service by mx.example with Microsoft SMTPSVC; Fri, 19 Jul 2002 14:28:42",
    "from ann by mx.example with local (Exim 4.94) id 1; Fri, 19 Jul 2002 14:28:42 +0100",
    "from x@y.example by mx by uid 1005 with qmail-scanner-1.10 (avp. Clear:0.); Fri, 19 Jul 2002",
    "from mx.example [10.0.0.7] by localhost with POP3 (fetchmail-6.3); Fri, 19 Jul 2002",
    "from EXCH1.corp.example ([fe80::25%4]) by EXCH2.corp.example with mapi id 15; Fri, 19 Jul",
])
def test_what_a_machine_does_within_itself_is_passed_over(line: str) -> None:
    """Local deliveries stand above the line with which the mail came in."""
    hop = accepting_hop([line, f"{FORMS['postfix']} {END}", FORGED])
    assert hop is not None and hop.relay_ip == PEER


def test_a_browser_is_the_peer_of_a_mail_that_was_written_in_it() -> None:
    line = f"from {PEER} (SquirrelMail authenticated user ann) by web.example with HTTP; Wed"
    assert peer(line) == PEER


OUTSIDE = st.ip_addresses().filter(lambda ip: ip.is_global and not (
    isinstance(ip, IPv6Address) and (ip.ipv4_mapped is not None or ip.is_multicast)))
CLAIMS = st.one_of(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20),
    st.lists(st.sampled_from([
        "by", "from", "(", ")", "[198.51.100.7]", "198.51.100.7", "helo=x", "[IPv6:2001:db8::7]",
        "x@", "(HELO", "with", "LMTP", "HTTP", "localhost", ";", "using", "a.by", "[", "]",
        "(x [198.51.100.7])", "([198.51.100.7] helo=x)", "by mx (", "client", "ident=",
        "(unverified)",
    ]), min_size=1, max_size=5).map(" ".join),
)
WORDS = st.from_regex(r"[a-z0-9.\[\]:=+-]{1,12}", fullmatch=True)
NAMES = st.sampled_from(["mail.a.example", "unknown", "using", "client.example", "helo.example",
                         "by.example", "verified.example", "auth.example", "localhost", "may",
                         "version"])


def written(ip: Address) -> str:
    return str(ip) if isinstance(ip, IPv4Address) else f"IPv6:{ip}"


@given(ip=OUTSIDE, helo=WORDS, name=NAMES, ident=WORDS, tail=st.sampled_from(["", " (a b)"]))
def test_a_claim_in_one_word_never_hides_the_peer(
    ip: Address, helo: str, name: str, ident: str, tail: str
) -> None:
    """So do Postfix, sendmail, Exim and qmail write what they are told: in one word."""
    for form in (f"from {helo} ({name} [{written(ip)}]){tail}",
                 f"from {name} ([{ip}] helo={helo})",
                 f"from {name} ([{ip}] ident={ident} helo={helo})",
                 f"from [{ip}] (helo={helo})",
                 f"from {name} (HELO {helo}) ({ip})"):
        assert peer(f"{form} {END}") == str(ip), form
        assert read_received(f"{form} {END}") == read_carefully(f"{form} {END}")


@given(ip=OUTSIDE, helo=CLAIMS, name=NAMES, ident=CLAIMS)
def test_no_claim_whatever_puts_another_address_in_the_peer_s_place(
    ip: Address, helo: str, name: str, ident: str
) -> None:
    """Also where a server writes claims as they come: the peer, or nothing, and no line below."""
    for form in (f"from {helo} ({name} [{written(ip)}])", f"from {name} ([{ip}] helo={helo})",
                 f"from {helo} ({ident}@{name} [{ip}] (may be forged))"):
        hop = accepting_hop([f"{form} {END}", FORGED])
        assert hop is not None and hop.relay_ip in ("", str(ip)), form
        assert read_received(f"{form} {END}") == read_carefully(f"{form} {END}")


@given(st.text())
def test_any_text_can_be_read(line: str) -> None:
    assert read_received(line).by == read_received(line).by.lower()
    read_received(f"from {line} by x")
