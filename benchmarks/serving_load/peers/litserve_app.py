"""LitServe, as its documentation shows it: one worker. `litserve_app.py MODEL PORT`."""

# No `from __future__ import annotations`: LitServe reads the type of `request`.

import sys
from pathlib import Path

import litserve
from model import Exported


class Payments(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.exported = Exported(Path(sys.argv[1]))

    def decode_request(self, request: dict) -> tuple[str, list[float | None]]:
        return request["note"], request["dense"]

    def predict(self, x: tuple[str, list[float | None]]) -> float:
        note, dense = x
        [score] = self.exported.score([note], [dense])
        return score

    def encode_response(self, output: float) -> dict[str, float]:
        return {"score": output}


if __name__ == "__main__":
    server = litserve.LitServer(Payments(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[2]), num_api_servers=1, log_level="warning",
               generate_client_file=False, access_log=False)
