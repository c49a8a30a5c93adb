"""Serves the toy system by the real `serve`: `toy_server VAR PORT [pause [workers [plain-asgi]]]`.

Instead of a port, `fd:N` names a listening socket that it inherits.
A third argument makes each score take so many seconds. The feature is counted by the real online
store. Acknowledgements are as ML_ASSETS_ACK says.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ml_assets.core.settings import Settings
from ml_assets.serving.server import serve
from tests.serving.kit import FakeScorer
from tests.serving.tiles import CountingToy


@dataclass(frozen=True, kw_only=True)
class SlowScorer(FakeScorer):
    pause: float

    def outputs(
        self, texts: Mapping[str, Sequence[str]], dense: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float64]:
        time.sleep(self.pause)
        return super().outputs(texts, dense)


if __name__ == "__main__":
    settings = replace(Settings.from_environment(), var=Path(sys.argv[1]))
    listener = None
    if sys.argv[2].startswith("fd:"):
        listener = socket.socket(fileno=int(sys.argv[2].removeprefix("fd:")))
    else:
        settings = replace(settings, port=int(sys.argv[2]))
    pause = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    toy = CountingToy(settings=settings, models={1: SlowScorer(pause=pause)})
    toy.deploy(1)
    workers = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    serve(settings, [toy.system], workers=workers, listener=listener,
          plain_asgi="plain-asgi" in sys.argv[5:], backends=toy.backends())
