"""What the spam filter remembers about senders, domains, relays and lists, as Feast objects.

How much mail came lately, and how much of it its recipients called spam.
"""

from datetime import timedelta

from feast import Entity, FeatureService, StreamFeatureView, ValueType
from feast.aggregation import Aggregation

from ml_assets.features.declaration import (
    event_stream,
    label_stream,
    scores_view,
    windowed_view,
)

DAY = timedelta(days=1)
mail = event_stream("spam")
verdicts = label_stream("spam")

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


def mail_of(entity: Entity) -> StreamFeatureView:
    """How many mails came from it."""
    key = entity.join_key
    return windowed_view(
        f"{key}_mail", system="spam", entities=[entity], source=mail,
        aggregations=[
            Aggregation(
                function="count", time_window=DAY, slide_interval=timedelta(hours=1),
                name=f"{key}_events_1d",
            ),
            Aggregation(
                function="count", time_window=7 * DAY, slide_interval=DAY,
                name=f"{key}_events_7d",
            ),
            Aggregation(
                function="count", time_window=30 * DAY, slide_interval=DAY,
                name=f"{key}_events_30d",
            ),
        ],
        description=f"How much mail came lately: {entity.description}.",
    )


def verdicts_on(entity: Entity) -> StreamFeatureView:
    """How many of its mails were judged, and how many of these were spam."""
    key = entity.join_key
    window = 60 * DAY
    return windowed_view(
        f"{key}_verdicts", system="spam", entities=[entity], source=verdicts,
        aggregations=[
            Aggregation(
                function="count", time_window=window, slide_interval=DAY,
                name=f"{key}_labelled_60d",
            ),
            Aggregation(
                function="sum", column="label", time_window=window, slide_interval=DAY,
                name=f"{key}_spam_60d",
            ),
            Aggregation(
                # About 30% of this mailbox is spam; that prior weighs as much as two labels.
                function="smoothed_mean(0.3, 2)", column="label", time_window=window,
                slide_interval=DAY, name=f"{key}_spam_rate_60d",
            ),
        ],
        description=f"How much of its mail was called spam lately: {entity.description}.",
    )


sender_mail, sender_verdicts = mail_of(sender), verdicts_on(sender)
sender_domain_mail, sender_domain_verdicts = mail_of(sender_domain), verdicts_on(sender_domain)
relay_ip_mail, relay_ip_verdicts = mail_of(relay_ip), verdicts_on(relay_ip)
mailing_list_mail, mailing_list_verdicts = mail_of(mailing_list), verdicts_on(mailing_list)

scores = scores_view("spam", sender)

spam_filter = FeatureService(
    name="spam_filter",
    features=[
        sender_mail, sender_verdicts, sender_domain_mail, sender_domain_verdicts,
        relay_ip_mail, relay_ip_verdicts, mailing_list_mail, mailing_list_verdicts,
    ],
    description="What the spam filter knows of a mail's origin when it arrives.",
    tags={"system": "spam"},
)
