"""Which version answers an event: the same one for the same key, as long as it has its slots."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

from ml_assets.core.system import System
from ml_assets.core.texts import key_text
from ml_assets.registry.rollout import SLOTS, Rollout


def arm(record: Rollout, key: str) -> int:
    """The version that answers what `key` sends."""
    if not record.challengers:
        return record.version
    drawn = slot(record.salt, key)
    for challenger in record.challengers:
        for start, end in challenger.slots:
            if start <= drawn < end:
                return challenger.version
    return record.version


def propensity(record: Rollout, version: int) -> float:
    """How probable it was, before the key was known, that this version would answer.

    Inverse propensity weights of the log make estimates for all traffic out of those for a
    share of it. 0 for a version that does not answer.
    """
    return record.share(version)


def slot(salt: str, key: str) -> int:
    """One of the million slots, uniform over keys and stable over processes and releases."""
    # A text out of JSON may hold half a surrogate pair.
    said = f"{salt}\0{key}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(said, digest_size=8).digest()) * SLOTS >> 64


def sticky_key(system: System, event: Mapping[str, object], event_id: str) -> str:
    """What decides who answers: the declared entity, or the event if that is unknown.

    All events of unknown entities have the same empty key: together they would be one arm.
    """
    known = "" if system.sticky_by is None else key_text(event[system.sticky_by])
    return known or event_id
