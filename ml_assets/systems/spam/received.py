"""One Received line: who connected to the machine that wrote it.

A line mixes what the machine saw with what the other side claimed: its HELO, its ident, the
name in its certificate. Mail servers write them in a dozen forms:

    from helo (rdns [ip])                          Postfix, Gmail, Haraka, OpenSMTPD
    from helo (IDENT:user@rdns [ip] (may be forged))   sendmail
    from rdns ([ip]:port helo=claim ident=claim)   Exim; without a name: from [ip] (helo=claim)
    from rdns (HELO claim) (ident@ip)              qmail and its descendants, Yahoo, Zimbra
    from claim (ip), from claim ([ip] RDNS failed)  Exchange, PowerMTA
    from claim [ip], from claim (rdns) [ip]        fetchmail, IMail, MDaemon

So the address is looked for in the places these forms have it, and a line that could be read in
two ways is not read at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address

# Postfix, Gmail, sendmail and Exim without a HELO.
_USUAL = re.compile(
    r"from [^\s()]+ \((?!(?:helo|ehlo|lhlo|ident|port)[ =])(?:[^\s()]+ )?\[([^\s()\[\]]+)\]"
    r"(?: \(may be forged\))?\) by ([^\s();]+)", re.I,
)

LIMIT_ENDS = 4
"""A line with more `by` words than this is not read: each may end the part about the peer."""

_FROM = re.compile(r"from\b", re.I)
_PIECE = re.compile(r"[()]|[^\s()]+")
_BRACKETED = re.compile(r"\[([^\[\]]*)\]")
_ADDRESS = re.compile(r"(?:ipv6:)?[0-9a-f.:]{2,45}(?:%[\w.-]+)?", re.I)
_PORT = re.compile(r":\d+\Z")
_PEER = re.compile(r"(?:\S+ )?\[[^\[\]]*\](?::\d+)?")

# What the other side claims goes on to the end of a comment.
_CLAIM = re.compile(r"(?:\A|\s)(?:(?:helo|ehlo|ident|port)=|(?:helo|ehlo|lhlo)\s).*\Z", re.I | re.S)
_HELO = re.compile(r"(?:account \S+ )?(?:helo|ehlo|lhlo) [^\s@]+", re.I)
_ABOUT = re.compile(
    r"(?:using|client|no client|authenticated|auth|auth:|\S+ authenticated|verified|may be)\s|"
    r"envelope-|version=", re.I,
)
"""Comments about the connection: its cipher, its certificate, who logged in."""

# Hand-overs within one machine, which have no address.
_LOCAL_CLAIM = re.compile(r"(?:localhost\b|mail pickup service\b|.*\buserid\b)", re.I)
_UNIX = re.compile(r"\[?\[unix\b[^\[\]]*\]?\]", re.I)
_LOCAL_PROTOCOL = re.compile(r"\bwith (?:local|lmtp[as]*|imap|pop3|mapi|qmail-scanner)\b", re.I)
_WEB = re.compile(r"\b(?:with|via) https?\b", re.I)


@dataclass(frozen=True, kw_only=True)
class Received:
    """What a line says about a connection.

    peer: the address that connected; None if the line does not say for certain. local: there was
    no connection, because the machine passed the message on internally. by: who wrote the line,
    in lower case; '' if a line without a connection, or a damaged one, does not say.
    """

    peer: Address | None
    local: bool
    by: str


@dataclass(frozen=True)
class _Piece:
    text: str
    is_comment: bool


def read_received(line: str) -> Received:
    """Read the value of a Received header, unfolded. Never fails: see `Received`."""
    usual = _USUAL.match(line)
    if usual is not None and " by " not in line[usual.end():].lower():
        return Received(peer=address(usual[1]), local=False, by=usual[2].lower())
    return read_carefully(line)


def read_carefully(line: str) -> Received:
    """The same for any form; `read_received` is faster for the most common one."""
    match = _FROM.match(line)
    if match is None:
        return Received(peer=None, local=True, by="")
    pieces, closed = _pieces(line[match.end():])
    ends = [number for number, piece in enumerate(pieces)
            if number and not piece.is_comment and piece.text.lower() == "by"]
    if not 0 < len(ends) <= LIMIT_ENDS or not closed:
        return Received(peer=None, local=False, by="")
    # A HELO with spaces may contain its own `by`: then each reading must say the same.
    how = " ".join(piece.text for piece in pieces[ends[-1]:] if not piece.is_comment)
    peers = {_peer(pieces[:end], on_web=_WEB.search(how) is not None) for end in ends}
    claim = _UNIX.sub("", " ".join(piece.text for piece in pieces[:ends[-1]]))
    local = not _mentions_address(claim) and bool(
        _LOCAL_CLAIM.match(claim) or _LOCAL_PROTOCOL.search(how))
    return Received(peer=peers.pop() if len(peers) == 1 else None, local=local,
                    by=_word(pieces, ends[0] + 1))


@lru_cache(4096)
def address(text: str) -> Address | None:
    """An IPv4 or IPv6 address as mail headers write it; None if it is not one."""
    if not _ADDRESS.fullmatch(text):
        return None
    text = text[5:] if text[:5].lower() == "ipv6:" else text
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return found if mapped is None else mapped


def _peer(pieces: Sequence[_Piece], *, on_web: bool) -> Address | None:
    """The address between `from` and `by`: in a comment, otherwise in the words.

    on_web: a person wrote the mail in a browser, so there was no HELO.
    """
    words = [piece.text for piece in pieces if not piece.is_comment]
    comments = [piece.text.strip() for piece in pieces if piece.is_comment]
    seen: set[Address | None] = set()
    claims = doubtful = False
    for comment in comments:
        if _ABOUT.match(comment) and not _PEER.fullmatch(comment):
            doubtful |= _ends_in_address(comment)  # a sendmail's ident may begin so
        elif (said := _CLAIM.sub("", comment)) == comment:
            seen |= _addresses(comment)
        elif _ends_in_address(comment) and not _HELO.fullmatch(comment):
            return None  # an ident such as `helo=x` makes sendmail's form look like Exim's
        else:
            claims = True
            seen |= _addresses(said)
    if seen or doubtful:
        return seen.pop() if len(seen) == 1 and not doubtful else None
    if claims or on_web:  # the claim stands by itself, so the first word is what was seen
        return address(words[0].strip("[]")) if words else None
    # Before a comment without an address, a word in brackets is a HELO.
    last = pieces[-1] if pieces else _Piece("", True)
    sure = not last.is_comment and _BRACKETED.fullmatch(last.text)
    return address(last.text[1:-1]) if sure else None


def _addresses(comment: str) -> set[Address | None]:
    """The address in a comment; None in its place if it is unreadable; nothing if it has none."""
    bracketed = _BRACKETED.findall(comment)
    if bracketed:  # the last: an ident, which may look like one, comes before
        return {address(bracketed[-1])}
    bare = comment.removesuffix(" with login").rpartition("@")[2]
    found = address(bare) or address(_PORT.sub("", bare))
    return set() if found is None else {found}


def _mentions_address(text: str) -> bool:
    return "[" in text or any(address(word) for word in re.split(r"[\s@=<>]", text))


def _ends_in_address(comment: str) -> bool:
    *_, last = re.split(r"[\s@]", comment)
    return address(last.strip("[]")) is not None


def _pieces(text: str) -> tuple[list[_Piece], bool]:
    """The words and the outermost comments, without those within; whether brackets pair up."""
    pieces: list[_Piece] = []
    comment: list[str] = []
    depth = end = strays = 0
    for match in _PIECE.finditer(text):
        token = match.group()
        if token == ")":
            if depth == 1:
                pieces.append(_Piece("".join(comment), True))
            strays += depth == 0
            depth = max(depth - 1, 0)
        elif token == "(":
            depth += 1
            if depth == 1:
                comment, end = [], match.end()
        elif depth == 0:
            pieces.append(_Piece(token, False))
        elif depth == 1:
            comment += [" " * (match.start() > end), token]
        end = match.end()
    return pieces, depth == strays == 0


def _word(pieces: Sequence[_Piece], place: int) -> str:
    if place >= len(pieces) or pieces[place].is_comment:
        return ""
    return pieces[place].text.rstrip(";").lower()
