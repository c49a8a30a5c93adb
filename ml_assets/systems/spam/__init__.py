"""A spam filter for one mailbox, on the SpamAssassin public corpus.

Mail arrives, the filter answers at once, people report its mistakes within two days, and whatever
nobody complained about counts as right after three.
"""

from datetime import date, timedelta

from ml_assets.core.data.columns import Column
from ml_assets.core.data.streams import Stream
from ml_assets.core.feedback import Audit, FeedbackLimit, FeedbackPolicy, TrustClass
from ml_assets.core.model import FullBatch, HashedText, Model, Text
from ml_assets.core.policies import (
    DriftPolicy,
    Gate,
    RetrainingPolicy,
    RolloutPolicy,
    Slice,
)
from ml_assets.core.system import Calendar, Entity, System
from ml_assets.core.truths import Complaints
from ml_assets.systems.spam.source import MailArchive
from ml_assets.targets import Binary

MAIL = Stream(
    name="mail", asked=True, description="each mail that reaches the mailbox",
    source=MailArchive(),
    columns=(
        Column(name="sender", dtype="text", max_length=320, description="address, lower case"),
        Column(name="sender_domain", dtype="text", max_length=255,
               description="the organisation's domain"),
        Column(name="relay_ip", dtype="text", max_length=45,
               description="the relay that handed the mail to the recipient's exchanger"),
        Column(name="mailing_list", dtype="text", max_length=255, description="list it came by"),
        Column(name="subject", dtype="text", description="decoded subject"),
        Column(name="header_text", dtype="text",
               description="allow-listed headers, without clock values"),
        Column(name="body_raw", dtype="text", description="body before decoding, first 32 KiB"),
        Column(name="body_text", dtype="text", description="visible text and link targets"),
        Column(name="links", dtype="number", minimum=0, description="links in the body"),
        Column(name="distinct_link_domains", dtype="number", minimum=0,
               description="organisations that the links point to"),
        Column(name="images", dtype="number", minimum=0, description="images in the body"),
        Column(name="is_html", dtype="number", minimum=0, maximum=1,
               description="has an HTML body"),
        Column(name="attachments", dtype="number", minimum=0, description="attached files"),
        Column(name="body_chars", dtype="number", minimum=0,
               description="characters of visible text"),
        Column(name="subject_upper_share", dtype="number", minimum=0, maximum=1,
               description="share of capitals among the subject's letters"),
        Column(name="exclamations", dtype="number", minimum=0, description="exclamation marks"),
        Column(name="is_reply", dtype="number", minimum=0, maximum=1,
               description="has In-Reply-To or References"),
        Column(name="mime_defects", dtype="number", minimum=0, description="breaches of MIME"),
    ),
)

KEYS = ("sender", "sender_domain", "relay_ip", "mailing_list")
COUNTS = ("events_1d", "events_7d", "events_30d", "labelled_60d", "spam_60d")
"""Features of each that slices and people read, and the model does not."""

SPAM = System(
    name="spam",
    description="Is this mail spam? Real mail of 2002, with 'spam' / 'not spam' feedback.",
    owners=("team:mail",),
    # The archive's spam-free gap of 12 days is closed: the first stretch of mail is moved
    # forward to end on 21 August; the second, from 22 August on, keeps its true dates.
    # A month beyond the archive stays open for messages that a user sends by hand.
    calendar=Calendar(
        first_day=date(2002, 7, 28), go_live=date(2002, 8, 22), last_day=date(2002, 10, 31)
    ),
    streams=(MAIL,),
    entities=(
        Entity(name="sender", description="who the mail says it is from"),
        Entity(name="sender_domain", description="the sender's organisation"),
        Entity(name="relay_ip", description="the machine that delivered it"),
        Entity(name="mailing_list", description="the list it came by"),
    ),
    # One filter judges everything that a correspondent writes, even while two share the mail.
    sticky_by="sender",
    # A mail client may colour its list of correspondents without a message at hand.
    scores_by="sender",
    feature_service="spam_filter",
    target=Binary(name="is_spam", threshold=0.5),
    truth=Complaints(source="recipient", within=timedelta(days=2), maturity=timedelta(days=3),
                     reported=0.9),
    # One mailbox has one reader, who may change their mind; nobody else has seen the mail, so no
    # number of other words counts as an opinion on it. Five mails a day are shown to the reader
    # again, whatever was said of them: complaints alone cannot tell how many are not made.
    feedback=FeedbackPolicy(
        trusted=(TrustClass(name="reader", sources=("recipient",)),),
        conflict="last_write_wins",
        crowd=None,
        limit=FeedbackLimit(words=500, window=timedelta(hours=1)),
        audit=Audit(share=0.1),
    ),
    # `is_reply` is left out on purpose: no spam of 2002 is a reply but half the ham is, and any
    # spammer could forge that. The slice `not_a_reply` shows the filter without such help.
    model=Model(
        # What people see: the body as it came says "HTML" louder than it says spam.
        inputs=(Text("header_text"), Text("body_text")),
        # Texts say nearly all, and of the numbers the four spam rates what is left.
        without=tuple(f"{key}_{each}" for key in KEYS for each in COUNTS),
        # Spam and the rest are nearly separable: the hinge spends itself on mails in doubt.
        loss="squared_hinge",
        # The few numbers stay smooth; after sixty steps the drawn weights no longer matter.
        network=HashedText(pieces=0, l2_text=0.2, l2_dense=2.0), fit=FullBatch(iterations=60),
    ),
    slices=(
        Slice(name="not_a_reply", where="is_reply = 0", description="not part of a conversation"),
        Slice(name="html", where="is_html = 1", description="mail with an HTML body"),
        Slice(name="unknown_sender", where="coalesce(sender_events_30d, 0) = 0",
              description="first mail from this sender in 30 days"),
    ),
    gates=(
        Gate(metric="roc_auc", at_least=0.97),
        Gate(metric="roc_auc", at_least=0.95, slice="not_a_reply"),
        Gate(metric="false_positive_rate", at_most=0.05),
        Gate(metric="log_loss", better_than_champion_by=0.0),
    ),
    # A mailbox brings a hundred labels a day: evidence that a model is better takes weeks, that it
    # is broken, days. One of more mail is expected to be better, so the deadline promotes it.
    rollout=RolloutPolicy(shares=(0.2,), deadline=timedelta(days=5), at_deadline="promote",
                          watch=timedelta(days=10)),
    retraining=RetrainingPolicy(
        after_labels=200, max_age=timedelta(days=10), cooldown=timedelta(days=5)
    ),
    drift=DriftPolicy(),
)
