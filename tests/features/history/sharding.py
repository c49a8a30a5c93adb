"""What a windowed view answers for a spine that lies in a file, by some workers or by none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ml_assets.core.runtime.workers import WorkerPool
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.history.ask import WindowedNumbers
from ml_assets.features.history.pieces import write_features
from ml_assets.features.history.relations.duck import Limits, opened
from ml_assets.features.history.relations.refusing import explained
from ml_assets.features.history.sharded.answering import answering_of
from ml_assets.features.history.spine import spine_of_file
from tests.features.engine.strategies import Question
from tests.features.history.events import INSTANT, keys_of

Result = TypeVar("Result")


class Here:
    """Workers that are this process, which does one item after the other."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.gpus = 0

    def map(
        self, work: Callable[[Any, Any], Result], shared: Any, items: Iterable[Any]
    ) -> Iterator[Result]:
        return (work(shared, item) for item in items)

    def together(
        self, work: Callable[[Any, int], Result], shared: Any, count: int, *, gpus: bool,
        waiting: Callable[[], None],
    ) -> list[Result]:
        raise NotImplementedError


def answered(
    folder: Path, view: WindowedView, asked: Sequence[Question], known_by: Sequence[int] | None,
    workers: WorkerPool | None, memory: int = 2**28, kind: type[WindowedNumbers] = WindowedNumbers,
) -> npt.NDArray[np.uint32]:
    """The bits of every feature as of `asked` (n, columns), from the events in `folder`.

    known_by: the last instant up to which a row sees what arrived
    """
    scratch = Path(mkdtemp(dir=folder))
    at = pa.array([each.as_of for each in asked], pa.int64()).cast(INSTANT)
    spine = pa.table({
        "customer": pa.array(keys_of(asked)["customer"], pa.string()), "event_timestamp": at})
    if known_by is not None:
        arrived = pa.array([each + 1 for each in known_by], pa.int64()).cast(INSTANT)
        spine = spine.append_column("accepted_at", arrived)
    pq.write_table(spine, scratch / "spine.parquet")
    with opened(Limits(memory=memory, scratch=scratch / "duckdb")) as con, explained():
        rows = spine_of_file(con, scratch / "spine.parquet", "event_timestamp", ["customer"],
                             arrived="" if known_by is None else "accepted_at")
        lookup = kind(con, view, folder / "events", view.columns, rows)
        write_features(con, lookup, scratch / "found.parquet", memory,
                       answering_of(workers, scratch))
    found = pq.read_table(scratch / "found.parquet")
    assert found.num_rows == len(asked)
    return np.stack([each.to_numpy().view(np.uint32) for each in found.columns], axis=1)
