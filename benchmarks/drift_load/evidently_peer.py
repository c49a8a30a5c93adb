"""Evidently's preset on a pair of frames; runs in its own environment."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from time import process_time

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")


def main(folder: Path) -> None:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    stored = np.load(folder / "frames.npz")
    names, categories = stored["names"].tolist(), stored["categories"].tolist()
    frames = []
    for side in ("then", "now"):
        frame = pd.DataFrame(stored[side].astype(np.float64), columns=names)
        for name in categories:
            frame[name] = frame[name].astype(int).astype(str)
        frames.append(frame)
    definition = DataDefinition(
        numerical_columns=[name for name in names if name not in categories],
        categorical_columns=categories)
    then, now = (Dataset.from_pandas(frame, data_definition=definition) for frame in frames)
    began = process_time()
    found = Report([DataDriftPreset()]).run(now, then).dict()
    cpu_s = process_time() - began
    drifts = {}
    for metric in found["metrics"]:
        config = metric.get("config", {})
        name = config.get("column")
        if name is not None and "method" in config:
            above = float(metric["value"]) >= float(config["threshold"])
            small_is_drift = "p_value" in config["method"]
            drifts[name] = bool(above != small_is_drift)
    sys.stdout.write(json.dumps({"cpu_s": cpu_s, "drifts": drifts}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
