"""A bare PyTorch loop by one who knows the task: all rows in memory, no line too many.

`python -m benchmarks.training_load.bare FILE EPOCHS`; the order of rows is beside the file.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from torch.nn import functional

from benchmarks.training_load.task import COLUMNS, SHARE, fit_of, network
from benchmarks.training_load.used import Used, digest


def main(path: Path, epochs: int) -> None:
    """The same steps on the same rows; says what it took."""
    fit, judge, used = fit_of(epochs), network(), Used()
    table = pq.read_table(path, columns=list(COLUMNS))
    numbers = torch.from_numpy(np.stack([table[name].to_numpy() for name in COLUMNS[:-1]], axis=1))
    wanted = torch.from_numpy(table["wanted"].to_numpy().copy())
    rows = int(len(wanted) * (1 - SHARE))
    steps = math.ceil(rows / fit.batch) * epochs
    rising, step = round(fit.warmup * steps), 0
    optimiser = torch.optim.AdamW(judge.parameters(), lr=fit.rate, weight_decay=fit.weight_decay)
    losses, best = list[float](), dict[str, torch.Tensor]()
    for epoch in range(epochs):
        order = torch.from_numpy(np.load(path.parent / f"{epoch}.npy"))
        judge.train()
        for some in order.split(fit.batch):
            share = (step - rising) / (steps - rising)
            optimiser.param_groups[0]["lr"] = (
                fit.rate * (step + 1) / rising if step < rising
                else fit.rate * (1 + math.cos(math.pi * share)) / 2)
            optimiser.zero_grad()
            logits = judge(numbers[some]).squeeze(1)
            loss = functional.binary_cross_entropy_with_logits(logits, wanted[some])
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(judge.parameters(), fit.clip or math.inf)
            optimiser.step()
            step += 1
        judge.eval()
        lost = 0.0
        with torch.inference_mode():
            for late, true in zip(numbers[rows:].split(4 * fit.batch),
                                  wanted[rows:].split(4 * fit.batch), strict=True):
                lost += functional.binary_cross_entropy_with_logits(
                    judge(late).squeeze(1), true).item() * len(true)
        losses.append(lost / (len(wanted) - rows))
        if losses[-1] == min(losses):
            best = {name: value.clone() for name, value in judge.state_dict().items()}
    judge.load_state_dict(best)
    used.say(losses=losses, weights=digest(judge))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
