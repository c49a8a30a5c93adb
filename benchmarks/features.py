"""What the feature engine costs beside its peers, in six workloads; each can run separately.

    ml-assets bench features --quick
    python -m benchmarks.feature_store loading reading --quick --json
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from benchmarks.feature_store import growth, loading, offline, reading, streaming, windowed
from ml_assets.bench import Measurement

WORKS: dict[str, Callable[..., Iterator[Measurement]]] = {
    "as-of": offline.measure,
    "windowed": windowed.measure,
    "loading": loading.measure,
    "reading": reading.measure,
    "streaming": streaming.measure,
    "growth": growth.measure,
}


def measure(*, quick: bool, works: Sequence[str] = tuple(WORKS)) -> Iterator[Measurement]:
    """Ours beside each peer, in fresh processes; quick takes small sizes of everything.

    The goals are stated for the full sizes; a quick run lowers some of them, because fixed costs
    weigh more in small work.
    """
    for work in works:
        yield from WORKS[work](quick=quick)
