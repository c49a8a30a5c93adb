"""What an encoder learns from rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml_assets.core.declaration import closest
from ml_assets.core.errors import DeclarationError
from ml_assets.core.model import Categories, Embedding, Model, Text
from ml_assets.core.model import Sequence as Listed
from ml_assets.training.encoding.codebook import Codebook, CodeCounts, id_codes, text_codes
from ml_assets.training.encoding.columns import Standardiser
from ml_assets.training.encoding.encoder import Encoder
from ml_assets.training.rows.labelled import LabelledRows
from ml_assets.training.rows.training_rows import TrainingRows


def learnt(model: Model, rows: TrainingRows, some: LabelledRows) -> Encoder:
    """The encoder of a model: how numbers spread is learnt from some of the rows, which values of
    categories are known from all of them.

    Raises DeclarationError, with the closest, for a feature that there is not.
    """
    names = rows.feature_names
    _require_known("without", model.without, names)
    vectors = {each.column: each.places for each in model.of(Embedding)}
    of_vectors = {name for places in vectors.values() for name in places}
    sequences = {each.feature: _columns_of(each, [name for name in names if name not in of_vectors])
                 for each in model.of(Listed)}
    taken = {*model.without, *of_vectors, *(
        name for columns in sequences.values() for name in columns)}
    numbers = tuple(name for name in names if name not in taken and name not in rows.coded)
    coded = [name for name in names if name in rows.coded and name not in taken]
    buckets = {name: each.buckets for each in model.of(Categories) for name in each.columns}
    categories = {name: _Coded(texts=name, ids=name in rows.ids, buckets=buckets[name])
                  for name in model.categories}
    categories |= {name: _Coded(dense=(names.index(name),)) for name in coded}
    own = {each.feature: _Coded(dense=tuple(map(names.index, sequences[each.feature])),
                                buckets=each.buckets)
           for each in model.of(Listed) if each.of is None}
    books = iter(_books(rows, [*categories.values(), *own.values()]))
    return Encoder(
        feature_names=names, numbers=numbers, text_inputs=model.of(Text),
        standardiser=Standardiser.fit(some.dense[:, [names.index(name) for name in numbers]]),
        categories={name: next(books) for name in categories}, sequences=sequences,
        codebooks={name: next(books) for name in own},
        of={each.feature: each.of for each in model.of(Listed) if each.of is not None},
        ids=rows.ids.intersection(categories), vectors=vectors,
    )


@dataclass(frozen=True, kw_only=True)
class _Coded:
    """Where codes are: a column of texts, or of ids, or some of `dense`."""

    texts: str | None = None
    ids: bool = False
    dense: tuple[int, ...] = ()
    buckets: int | None = None

    def codes(self, rows: LabelledRows) -> npt.NDArray[np.floating]:
        if self.texts is None:
            return rows.dense[:, list(self.dense)]
        return (id_codes if self.ids else text_codes)(rows.texts[self.texts])


def _books(rows: TrainingRows, columns: Sequence[_Coded]) -> list[Codebook]:
    """One for each; all are counted in one pass over the rows."""
    counts = {column: CodeCounts() for column in columns if column.buckets is None}
    for block in rows.blocks() if counts else ():
        for column, counted in counts.items():
            counted.add(column.codes(block))
    return [Codebook.of(counts[column]) if column.buckets is None
            else Codebook.hashed(column.buckets) for column in columns]


def _columns_of(listed: Listed, names: Sequence[str]) -> tuple[str, ...]:
    """`clicks_1`, `clicks_2` ... of `clicks`."""
    columns = [f"{listed.feature}_{place}" for place in range(1, len(names) + 1)]
    found = tuple(column for column in columns if column in names)
    if not found:
        lists = [name.removesuffix("_1") for name in names if name.endswith("_1")]
        raise DeclarationError(
            f"Sequence names {listed.feature!r}, which is no list of the feature service; its "
            f"lists: {', '.join(lists) or 'none'}.{closest(listed.feature, lists)}")
    return found


def _require_known(field: str, named: Sequence[str], names: Sequence[str]) -> None:
    for name in named:
        if name not in names:
            raise DeclarationError(
                f"Model.{field} names {name!r}, which is no feature; there are "
                f"{', '.join(names)}.{closest(name, names)}")
