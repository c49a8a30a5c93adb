"""FastAPI and eager torch, as its documentation shows it. `fastapi_app.py MODEL PORT`.

The handler is a coroutine: a plain function would run in a thread pool, which costs more.
"""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from model import Exported
from pydantic import BaseModel


class Asked(BaseModel):
    note: str
    dense: list[float | None]


class Answer(BaseModel):
    score: float


app = FastAPI()
exported = Exported(Path(sys.argv[1]))


@app.post("/predict")
async def predict(asked: Asked) -> Answer:
    [score] = exported.score([asked.note], [asked.dense])
    return Answer(score=score)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), access_log=False,
                log_level="warning")
