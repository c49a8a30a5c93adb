"""The servers people would pick instead, each as its own documentation shows it.

All serve the exported model with one thread of torch and one worker, *without* a feature store
and without a log, and with access logs switched off. If a server's documentation recommends a
setting that makes it cheaper, it is on: see `docs/benchmarks-serving.md`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environments import Environment
from benchmarks.serving_load.plan import Check, Template
from benchmarks.serving_load.servers import Server, free_port, start
from benchmarks.serving_load.traffic import Rows, vectors
from ml_assets.core.errors import unknown

FOLDER = Path(__file__).with_name("peers")
QUIET = {
    # No access logs, and no telemetry: some would report their use over the network.
    "UVICORN_ACCESS_LOG": "false", "UVICORN_LOG_LEVEL": "warning",
    "DO_NOT_TRACK": "true", "BENTOML_DO_NOT_TRACK": "True", "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
}

Dense = Sequence[float | None]


def _plain(note: str, dense: Dense) -> object:
    return {"note": note, "dense": dense}


def _frame(note: str, dense: Dense) -> object:
    """One row of a data frame, as MLflow wants it."""
    return {"dataframe_split": {"columns": ["note", "dense"], "data": [[note, dense]]}}


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One server. Its program is `peers/<name>_app.py`, its environment `peers/<name>.txt`.

    factor: how many times our CPU per request it should take at least, None for no goal
    command: arguments to the program `run_by` of its environment; `{model}` and `{port}` are
    filled in. body: a row's note and thirty numbers as it wants them.
    """

    name: str
    title: str
    factor: float | None
    path: str = "/predict"
    run_by: str = "python"
    command: tuple[str, ...] = ()
    body: Callable[[str, Dense], object] = _plain

    @property
    def environment(self) -> Environment:
        return Environment(name=self.name, requirements=FOLDER / f"{self.name}.txt",
                           made_by=f"ml-assets bench serving --peers {self.name}")

    def start(self, programs: Path, model: Path, log: Path) -> Server:
        """Start it from the environment whose programs are in `programs`."""
        port = free_port()
        said = self.command or (str(FOLDER / f"{self.name}_app.py"), "{model}", "{port}")
        command = [part.format(model=model, port=port) for part in said]
        return start(
            self.name, [str(programs / self.run_by), *command], port=port, log=log, cwd=FOLDER,
            env={**QUIET, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(FOLDER),
                 "PYTHONDONTWRITEBYTECODE": "1", "MODEL": str(model)},
        )

    def templates(self, rows: Rows, scores: tuple[float, ...]) -> tuple[Template, ...]:
        """The bodies to post, each with the score that it must get."""
        return tuple(
            Template(body=json.dumps(self.body(note, dense)), score=score)
            for (note, dense), score in zip(vectors(rows), scores, strict=True)
        )

    @property
    def check(self) -> Check:
        return Check(kind="score")


PEERS = (
    Peer(name="asgi", title="raw ASGI on uvicorn, eager torch (the floor)", factor=None),
    Peer(name="fastapi", title="FastAPI, eager torch", factor=2),
    Peer(name="litserve", title="LitServe", factor=8),
    Peer(
        name="bentoml", title="BentoML", factor=8, run_by="bentoml",
        command=("serve", "bentoml_app:Payments", "--host", "127.0.0.1", "--port", "{port}"),
    ),
    Peer(name="mlflow", title="MLflow models serve", factor=15, path="/invocations", body=_frame),
    Peer(name="ray", title="Ray Serve, its replica asked directly", factor=None, path="/"),
)


def chosen(names: str) -> tuple[Peer, ...]:
    """The named ones, comma-separated; `all` or `none`. Raises UnknownName."""
    if names in ("all", "none"):
        return PEERS if names == "all" else ()
    known = {peer.name: peer for peer in PEERS}
    for name in names.split(","):
        if name not in known:
            raise unknown("peer", name, known)
    return tuple(known[name] for name in names.split(","))
