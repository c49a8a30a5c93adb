"""BentoML, as its documentation shows it. Served by `bentoml serve bentoml_app:Payments`.

The model's folder is in the variable MODEL.
"""

import os
from pathlib import Path

import bentoml
from model import Exported


@bentoml.service(workers=1, traffic={"timeout": 10}, logging={"access": {"enabled": False}})
class Payments:
    def __init__(self) -> None:
        self.exported = Exported(Path(os.environ["MODEL"]))

    @bentoml.api(route="/predict")
    async def predict(self, note: str, dense: list[float | None]) -> float:
        [score] = self.exported.score([note], [dense])
        return score
