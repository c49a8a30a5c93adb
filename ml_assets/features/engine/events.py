"""The events that windows are computed from, as columns, and how an event is named."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ml_assets.features.engine.exact import Ints
from ml_assets.features.engine.series import Hashes
from ml_assets.features.engine.windows import Slot

_FEW = 8
"""Rows whose keys are made one by one: columns begin to pay later."""
EVERYBODY = b"*"
"""The entity of all events, for a view without keys."""

Values = Mapping[Slot, npt.NDArray[Any]]
"""For each slot of a view one value an event: float64, or uint64 for a hash."""


@dataclass(frozen=True, kw_only=True)
class Events:
    """n events in any order.

    entity: (n) a number for each entity; negative where the event has none
    at:     (n) the instants when they count, microseconds since 1970 UTC
    uid:    (n) `uid` of their ids; of events of one entity with the same only the first counts
    values: for each of the view's `slots` (n) values
    """

    entity: Ints
    at: Ints
    uid: Hashes
    values: Values

    def __len__(self) -> int:
        return len(self.at)

    def take(self, places: npt.NDArray[Any]) -> Events:
        """Those at `places`, or where a mask is True."""
        return Events(
            entity=self.entity[places], at=self.at[places], uid=self.uid[places],
            values={slot: column[places] for slot, column in self.values.items()},
        )


def uid(text: str) -> int:
    """64 bits that stand for `text`: the lower half of its MD5 (DuckDB's `md5_number_lower`)."""
    digest = hashlib.md5(text.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[8:], "little")


def uids(texts: Sequence[str]) -> Hashes:
    return np.fromiter(map(uid, texts), dtype=np.uint64, count=len(texts))


def entity_key(values: Sequence[object]) -> bytes | None:
    """The bytes that name an entity in an online store; None where a value is missing.

    values: those of the view's `keys`, in their order. Empty texts and bytes are missing. Without
        keys there is one entity, EVERYBODY
    """
    if not values:
        return EVERYBODY
    if len(values) == 1 and type(values[0]) is str:
        return values[0].encode() or None
    texts = [
        value.encode() if type(value) is str else _text(value) for value in values
    ]
    if not all(texts):
        return None
    if len(texts) == 1:
        return texts[0]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def _text(value: object) -> bytes:
    if value is None or value == b"":
        return b""
    # A whole float is the number that it holds, as in a column (`columns.key_column`).
    if type(value) is float and (value != value or value.is_integer()):
        return b"" if value != value else str(int(value)).encode()
    return str(value).encode()


def entity_keys(rows: Sequence[Mapping[str, object]], names: Sequence[str]) -> list[bytes]:
    """For each row `entity_key` of its `names`, but empty where a value is missing."""
    return entity_keys_of(rows, [names])[0]


def entity_keys_of(
    rows: Sequence[Mapping[str, object]], several: Sequence[Sequence[str]]
) -> list[list[bytes]]:
    """`entity_keys` of the same rows for several lists of names."""
    if len(rows) < _FEW:
        return [[entity_key([row.get(name) for name in names]) or b"" for row in rows]
                for names in several]
    columns = {name: _texts([row.get(name) for row in rows]) for names in several for name in names}
    parts = {name: _parts(columns[name]) for names in several if len(names) > 1 for name in names}
    return [
        [EVERYBODY] * len(rows) if not names
        else columns[names[0]] if len(names) == 1
        else _joined([parts[name] for name in names])
        for names in several
    ]


def _joined(parts: Sequence[Sequence[bytes]]) -> list[bytes]:
    """Empty if one of its parts is."""
    whole = [b"".join(each) for each in zip(*parts, strict=True)]
    if any(b"" in mine for mine in parts):
        return [each if all(mine) else b"" for each, mine in
                zip(whole, zip(*parts, strict=True), strict=True)]
    return whole


def _texts(values: Sequence[object]) -> list[bytes]:
    """Each value as bytes, empty where it is missing.

    Rows that are asked for together often share a key, which is made once.
    """
    first = values[0] if values else None
    if type(first) is str and values.count(first) == len(values):
        return [first.encode()] * len(values)
    return [value.encode() if type(value) is str
            else b"%d" % value if type(value) is int
            else _text(value) for value in values]


def _parts(texts: list[bytes]) -> list[bytes]:
    """As `entity_key` has them beside others, empty where they are."""
    first = texts[0]
    if texts.count(first) == len(texts):
        return [len(first).to_bytes(4, "little") + first if first else b""] * len(texts)
    return [len(text).to_bytes(4, "little") + text if text else b"" for text in texts]
