"""What the spam filter remembers of senders, domains, relays and lists, in Feast's objects.

How much mail came lately, and how much of it was called spam by those who got it.
"""

from feast import Entity, FeatureService, Field, ValueType

from ml_assets.features.declaration import (
    events,
    history_view,
    labelled,
    positive_rate,
    positives,
)


def memory_of(key: str) -> list[Field]:
    """The same six numbers for every kind of entity."""
    return [
        events(f"{key}_events_1d", days=1),
        events(f"{key}_events_7d", days=7),
        events(f"{key}_events_30d", days=30),
        labelled(f"{key}_labelled_60d", days=60),
        positives(f"{key}_spam_60d", days=60),
        # About 30% of this mailbox is spam; two labels weigh as much as that knowledge.
        positive_rate(f"{key}_spam_rate_60d", days=60, prior=0.3, weight=2),
    ]


sender = Entity(
    name="spam_sender", join_keys=["sender"], value_type=ValueType.STRING,
    description="who the mail says it is from",
)
sender_domain = Entity(
    name="spam_sender_domain", join_keys=["sender_domain"], value_type=ValueType.STRING,
    description="the sender's organisation",
)
relay_ip = Entity(
    name="spam_relay_ip", join_keys=["relay_ip"], value_type=ValueType.STRING,
    description="the machine that delivered it",
)
mailing_list = Entity(
    name="spam_mailing_list", join_keys=["mailing_list"], value_type=ValueType.STRING,
    description="the list it came by",
)

sender_history = history_view(
    sender, system="spam", features=memory_of("sender"),
    description="What a sender sent lately, and how much of it was spam.",
)
sender_domain_history = history_view(
    sender_domain, system="spam", features=memory_of("sender_domain"),
    description="What a sender's organisation sent lately, and how much of it was spam.",
)
relay_ip_history = history_view(
    relay_ip, system="spam", features=memory_of("relay_ip"),
    description="What a relay delivered lately, and how much of it was spam.",
)
mailing_list_history = history_view(
    mailing_list, system="spam", features=memory_of("mailing_list"),
    description="What came over a list lately, and how much of it was spam.",
)

spam_filter = FeatureService(
    name="spam_filter",
    features=[sender_history, sender_domain_history, relay_ip_history, mailing_list_history],
    description="What the spam filter knows of a mail's origin when it arrives.",
    tags={"system": "spam"},
)
