"""What judged rows are about, beside their labels and outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml_assets.core.texts import key_text

Texts = npt.NDArray[np.object_]
Places = npt.NDArray[np.bool_] | npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Subjects:
    """Of N rows.

    event_ids: (N,)
    keys: the keys (N,) of the target's entities as texts, by column; "" identifies none
    propensities: how probable each row was (N,), by whoever showed it; NaN if nobody has said
    instants: when each happened (N,), UTC; NaT if that is not known
    known: how many different keys a column has, among these rows and those that they are a part of
    """

    event_ids: Texts
    keys: Mapping[str, Texts]
    propensities: npt.NDArray[np.float64]
    instants: npt.NDArray[np.datetime64]
    known: Mapping[str, int]

    @classmethod
    def of(
        cls, event_ids: Sequence[str], keys: Mapping[str, Sequence[object]],
        propensities: Sequence[float] | npt.NDArray[np.float64] | None = None,
        instants: npt.NDArray[np.datetime64] | None = None,
    ) -> Subjects:
        """propensities, instants: None if nothing is known of them"""
        texts = {name: _texts(map(key_text, values)) for name, values in keys.items()}
        return cls(
            event_ids=_texts(event_ids), keys=texts,
            propensities=np.full(len(event_ids), np.nan) if propensities is None
            else np.asarray(propensities, dtype=np.float64),
            instants=np.full(len(event_ids), "NaT", "M8[us]") if instants is None
            else instants.astype("M8[us]"),
            known={name: len(set(values) - {""}) for name, values in texts.items()},
        )

    @classmethod
    def unknown(cls, rows: int) -> Subjects:
        """Of rows of which nothing is known: each is one of its own."""
        return cls.of([str(row) for row in range(rows)], {})

    @classmethod
    def joined(cls, parts: Sequence[Subjects]) -> Subjects:
        """Of the rows of several, at least one, after one another."""
        names = parts[0].keys
        return cls.of(
            [event_id for part in parts for event_id in part.event_ids],
            {name: [key for part in parts for key in part.keys[name]] for name in names},
            np.concatenate([part.propensities for part in parts]),
            np.concatenate([part.instants for part in parts]),
        )

    def of_rows(self, chosen: Places) -> Subjects:
        """Of some of the rows (a mask), or of all in another order."""
        return Subjects(
            event_ids=self.event_ids[chosen],
            keys={name: values[chosen] for name, values in self.keys.items()},
            propensities=self.propensities[chosen], instants=self.instants[chosen],
            known=self.known,
        )


def groups(texts: Texts) -> npt.NDArray[np.int64]:
    """The group (N,) of each text, from 0 on in the order of the texts: equal ones share one."""
    _, group_N = np.unique(texts.astype(str), return_inverse=True)
    return group_N.astype(np.int64)


def _texts(values: object) -> Texts:
    listed = list(values)  # type: ignore[call-overload]
    texts: Texts = np.empty(len(listed), dtype=object)
    texts[:] = listed
    return texts
