"""Who handed a mail to its recipient, and when: what the Received lines can be trusted for.

Each machine that passes a mail on writes its Received line above those it found. So, from the
top, the lines of the recipient's own machines come first, and the first line that names an
outside address was still written by the recipient's own exchanger: its address and its clock
are true, whatever a spammer wrote below.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import mktime_tz, parsedate_tz
from ipaddress import IPv4Address, IPv4Network

OWN_NETWORKS = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.168.0.0/16",
        "212.17.35.15/32",  # dogma.slashnull.org, the exchanger of the corpus's collector
        "213.105.180.140/32",  # mandark.labs.netnoteinc.com, his exchanger at work
        "193.120.211.219/32",  # mail.webnote.net, a mailbox that he collected by POP3
    )
)
"""Addresses of the recipient's own machines: they hand mail on, they do not send it."""

# Local delivery was stamped within seconds, but the corpus writes it in Irish summer time
# without saying so.
DELIVERY_DATE_AHEAD = timedelta(hours=1)

_ADDRESS = re.compile(r"(?<![\d.])(\d{1,3}(?:\.\d{1,3}){3})(?![\d.])")
_BY = re.compile(r"\bby\s+")


@dataclass(frozen=True, kw_only=True)
class Hop:
    """The line with which the recipient's exchanger took the mail from outside.

    relay_ip: who delivered it; exchanger: the host that wrote the line ('' if it does not
    say); accepted_at: its clock, aware UTC (None if unreadable).
    """

    relay_ip: str
    exchanger: str
    accepted_at: datetime | None


def accepting_hop(received: Sequence[str]) -> Hop | None:
    """The first line from the top that names an outside address; None where none does.

    received: values of the Received headers, topmost first, unfolded.
    """
    for line in received:
        if not line.startswith("from"):
            continue
        sender, *rest = _BY.split(line, maxsplit=1)
        # The name it gave itself comes first and may look like an address; what the
        # exchanger saw comes last.
        addresses = _ADDRESS.findall(sender)
        if addresses and is_outside(addresses[-1]):
            words = rest[0].split(maxsplit=1) if rest else []
            return Hop(relay_ip=addresses[-1], exchanger=words[0].lower() if words else "",
                       accepted_at=_stamp(line))
    return None


def arrival(received: Sequence[str], delivery_date: str | None) -> datetime | None:
    """When the mail reached the recipient, aware UTC; None where nothing trustworthy says so.

    The accepting hop's clock; else the topmost Received line (mail from his own machines);
    else Delivery-Date less an hour. Never Date, which the sender writes.
    """
    hop = accepting_hop(received)
    if hop is not None and hop.accepted_at is not None:
        return hop.accepted_at
    if received:
        return _stamp(received[0])
    delivered = _instant(delivery_date or "")
    return None if delivered is None else delivered - DELIVERY_DATE_AHEAD


def is_outside(address: str) -> bool:
    """Whether an IPv4 address is valid and none of the recipient's own."""
    try:
        number = IPv4Address(address)
    except ValueError:
        return False
    return not any(number in network for network in OWN_NETWORKS)


def _stamp(line: str) -> datetime | None:
    return _instant(line.rpartition(";")[2])


def _instant(text: str) -> datetime | None:
    try:
        parsed = parsedate_tz(text[:200])
        return None if parsed is None else datetime.fromtimestamp(mktime_tz(parsed), UTC)
    except (ValueError, OverflowError, OSError, IndexError):  # such as the 45th of May
        return None
