"""Who handed a message to its recipient, and when: what the Received lines can be trusted for.

Each machine that passes a message on writes its Received line above the existing ones. So, from
the top, the lines of the recipient's own machines come first, and the first line that names an
outside address was still written by the recipient's own exchanger: its address and its clock are
true, whatever a spammer wrote below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import mktime_tz, parsedate_tz
from functools import lru_cache
from ipaddress import ip_network

from ml_assets.systems.spam.received import Address, read_received

OWN_NETWORKS = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.168.0.0/16", "::/127", "fc00::/7", "fe80::/10",
        "212.17.35.15/32",  # dogma.slashnull.org, the exchanger of the corpus's collector
        "213.105.180.140/32",  # mandark.labs.netnoteinc.com, his exchanger at work
        "193.120.211.219/32",  # mail.webnote.net, a mailbox that he collected by POP3
    )
)
"""Addresses of the recipient's own machines: they hand mail on, they do not send it."""

# Local delivery was stamped within seconds, but the corpus writes it in Irish summer time
# without saying so.
DELIVERY_DATE_AHEAD = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Hop:
    """The line with which the recipient's exchanger took the mail from outside.

    relay_ip: who delivered it ('' if the line cannot be read); exchanger: the host that wrote
    the line ('' if it does not say); accepted_at: its clock, aware UTC (None if unreadable).
    """

    relay_ip: str
    exchanger: str
    accepted_at: datetime | None


def accepting_hop(received: Sequence[str]) -> Hop | None:
    """The first line from the top that reports an outside peer; None if none does.

    received: values of the Received headers, topmost first, unfolded. A line that cannot be read
    ends the search without an address: anything below may be forged.
    """
    for line in received:
        said = read_received(line)
        if said.local or (said.peer is not None and not is_outside(said.peer)):
            continue
        return Hop(relay_ip="" if said.peer is None else str(said.peer), exchanger=said.by,
                   accepted_at=_stamp(line))
    return None


def arrival(received: Sequence[str], delivery_date: str | None) -> datetime | None:
    """When the mail reached the recipient, aware UTC; None if nothing trustworthy says so.

    The accepting hop's clock; otherwise the topmost Received line (mail from the recipient's own
    machines); otherwise an hour before Delivery-Date. Never Date, which the sender writes.
    """
    hop = accepting_hop(received)
    if hop is not None and hop.accepted_at is not None:
        return hop.accepted_at
    if received:
        return _stamp(received[0])
    delivered = _instant(delivery_date or "")
    return None if delivered is None else delivered - DELIVERY_DATE_AHEAD


@lru_cache(4096)
def is_outside(peer: Address) -> bool:
    """Whether an address is not one of the recipient's own."""
    return not any(peer in network for network in OWN_NETWORKS)


def _stamp(line: str) -> datetime | None:
    return _instant(line.rpartition(";")[2])


def _instant(text: str) -> datetime | None:
    try:
        parsed = parsedate_tz(text[:200])
        return None if parsed is None else datetime.fromtimestamp(mktime_tz(parsed), UTC)
    except (ValueError, OverflowError, OSError, IndexError):  # such as the 45th of May
        return None
