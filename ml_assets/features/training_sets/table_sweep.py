"""What a view of a table knew at each of many instants: one walk through its rows as they became
known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ml_assets.core.settings import Settings
from ml_assets.features.engine.exact import Ints
from ml_assets.features.online_store.decoders import TooEarly
from ml_assets.features.online_store.following.kept import EVER, versions_in
from ml_assets.features.online_store.reader import decoder_of
from ml_assets.features.online_store.versions import merged, version_of
from ml_assets.features.service import ChosenRows
from ml_assets.ingest.lake import Lake


def rows_from_the_past(
    settings: Settings, part: ChosenRows, keys: Sequence[bytes | None], at: Ints
) -> npt.NDArray[np.float32]:
    """The features (n, F) that n readers see, from the rows that were known at their instants.

    keys: whose row each reads; None where it names no entity; at: microseconds since 1970 UTC

    The online store's own code is asked: rows are added to the versions of their key as they
    become known, and each reader reads those of that moment. In memory are a portion of the table
    and the rows of the keys that are asked about. Raises NotReady if a day is not in the lake.
    """
    plain, view = part.view.plain, part.view
    decoder = decoder_of(plain, part.columns)
    found = np.full((len(keys), len(part.columns)), np.nan, np.float32)
    if not len(keys):
        return found
    asked, blobs = set(keys), dict[bytes, bytes]()
    waiting = np.argsort(at, kind="stable").tolist()[::-1]

    def answer(before: int) -> None:
        while waiting and at[waiting[-1]] < before:
            reader = waiting.pop()
            key, instant = keys[reader], int(at[reader])
            if key is not None and key in blobs:
                try:
                    value = decoder.one(blobs[key], instant, bytearray())
                except TooEarly:
                    continue  # what is known holds later
                found[reader] = np.frombuffer(value, np.float32)

    until = int(at.max()) + 1
    for rows, _, _ in versions_in(Lake(settings.lake), plain, view.system, view.table, EVER, until):
        for key, happened, known, payload in rows:
            answer(known)
            if key in asked:
                version = version_of(happened, known, payload)
                blobs[key] = merged(blobs.get(key, b""), version, known)
    answer(until)
    return found
