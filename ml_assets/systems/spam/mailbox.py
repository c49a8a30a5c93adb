"""The mailbox in a From header, by RFC 5322, or as readers show it if it breaks the rules.

The standard library's parsers are not used: given `ceo@bank.example <x@evil.example>`, both take
the display name for the address, as its author intends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

LIMIT_CHARS, LIMIT_HEADER = 320, 2000

# Quoted strings, domain literals and what stands between them; a comment is read by hand,
# because comments nest. Each alternative is self-delimiting, so the search is linear.
_TOKEN = re.compile(
    r'"(?:[^"\\]|\\.)*+"?|\[(?:[^\[\]\\]|\\.)*+\]?|\\.?|[(),;:<>]|[^"\[\\(),;:<>]+', re.S
)
_IN_COMMENT = re.compile(r"\\.|[()]", re.S)
_QUOTED_PAIR = re.compile(r"\\(.)", re.S)
_DOT_ATOM = re.compile(r"[^\s\"(),:;<>@\[\]\\.]+(?:\.[^\s\"(),:;<>@\[\]\\.]+)*")
_LAST_WORD = re.compile(r'((?:"(?:[^"\\]|\\.)*+"|[^\s"])+)\Z', re.S)
_PART = re.compile(r'"(?:[^"\\]|\\.)*+"\Z|[^\s"(),:;<>@\[\]\\]+\Z', re.S)
_DOMAIN = re.compile(r"\[[^\s\[\]<>@]*\]|[^\s\"(),:;<>@\[\]\\]+")
_DOTS = re.compile("[.\u3002\uff0e\uff61]")  # IDNA knows four


def mailbox(value: str) -> str:
    """The address of the first mailbox that has one, in lower case; '' if none has.

    Neither a comment nor a display name is an address, whatever it contains. If one mailbox has
    several addresses, which is an error, the last counts. An internationalised domain is in its
    ASCII form (`xn--...`).
    """
    for phrase, routes in _mailboxes(value[:LIMIT_HEADER]):
        for text in (*reversed(routes), phrase):
            address = _address(text)
            if address:
                return address
    return ""


def _mailboxes(value: str) -> Iterator[tuple[str, list[str]]]:
    """For each mailbox of the list: the text outside of `<>`, and the text within each pair."""
    outside: list[str] = []
    angles: list[list[str]] = []
    inside = False
    place = 0
    while place < len(value):
        if value[place] == "(":
            place = _after_comment(value, place)
            (angles[-1] if inside else outside).append(" ")
            continue
        match = _TOKEN.match(value, place)
        assert match is not None, "some alternative matches any character"
        token, place = match.group(), match.end()
        if token == "<":
            angles.append([])
            inside = True
        elif token == ">":
            inside = False
        elif inside:
            angles[-1].append(token)
        elif token in (",", ";"):
            yield "".join(outside), ["".join(each) for each in angles]
            outside, angles = [], []
        elif token == ":":  # what came before is the name of a group
            outside, angles = [], []
        else:
            outside.append(token)
    yield "".join(outside), ["".join(each) for each in angles]


def _after_comment(value: str, place: int) -> int:
    depth = 0
    for match in _IN_COMMENT.finditer(value, place):
        depth += {"(": 1, ")": -1}.get(match.group(), 0)
        if depth == 0:
            return match.end()
    # Never closed: if an address follows, it is a bracket in a display name.
    return place + 1 if "<" in value[place:] else len(value)


def _address(text: str) -> str:
    """`local@domain` at the end of a text, normalised; '' if there is none."""
    joined = re.sub(r"\s*@\s*", "@", re.sub(r"\s+\.\s*", ".", text))
    found = _LAST_WORD.search(joined.rstrip())
    word = found[1] if found else ""
    if (word[0:1], word[-1:]) in (("'", "'"), ("[", "]")):
        word = word[1:-1]
    before, at, after = word.rpartition("@")
    local, domain = _PART.search(before), _DOMAIN.match(after)
    if not at or local is None or domain is None:
        return ""
    mailbox = _local(local[0]), _domain(domain[0])
    return "@".join(mailbox)[:LIMIT_CHARS] if all(mailbox) else ""


def _local(text: str) -> str:
    """Lower case; without quotes if it needs none."""
    if text[0] == '"':
        bare = _QUOTED_PAIR.sub(r"\1", text[1:-1])
        return (bare if _DOT_ATOM.fullmatch(bare) else text).lower()
    return text.strip(".").lower()


def _domain(text: str) -> str:
    """Lower case, in ASCII as IDNA writes it; as it is if it is no name of the internet's."""
    name = text.strip(".").lower()[:255]
    if name.isascii():
        return name
    import idna  # costs 10 ms, and few mails need it

    labels = []
    for label in _DOTS.split(name):
        try:
            labels.append(idna.encode(label, uts46=True).decode())
        except idna.IDNAError:
            labels.append(label)
    return ".".join(labels)[:255]
