"""The deployed model in plain torch, as someone with only its weights would write it.

Needs torch, numpy and safetensors, but nothing of this project: each peer imports it in its own
environment. What it scores is checked against the project's own scores.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from zlib import crc32

import torch
from safetensors.torch import load_file
from torch import nn

WORD = re.compile(r"[\w$'!]{1,24}")
MULTIPLIER = 2_654_435_761


class Exported(nn.Module):
    """Scores rows of a note and thirty numbers. One thread of torch, eager mode."""

    importance: torch.Tensor
    mean: torch.Tensor
    deviation: torch.Tensor
    words: torch.Tensor

    def __init__(self, folder: Path) -> None:
        """Read `weights.safetensors` and `model.json` in `folder`."""
        super().__init__()
        torch.set_num_threads(1)
        config = json.loads((folder / "model.json").read_text())
        weights = load_file(folder / "weights.safetensors")
        self._shift = 33 - int(config["buckets"]).bit_length()
        for name in ("importance", "mean", "deviation"):
            self.register_buffer(name, weights[name])
        self.register_buffer("words", weights["network.words"][0])
        inputs, hidden = 2 * len(self.mean), int(config["hidden"])
        self.hidden = nn.Linear(inputs, hidden)
        self.output = nn.Linear(hidden, 1)
        self.linear = nn.Linear(inputs, 1, bias=False)
        layers = {name.removeprefix("network."): value for name, value in weights.items()
                  if name.startswith("network.") and name != "network.words"}
        self.load_state_dict({**self.state_dict(), **layers})
        self.eval()

    def score(self, notes: Sequence[str], dense: Sequence[Sequence[float | None]]) -> list[float]:
        """Probabilities of True for B notes and B rows of numbers; None is missing."""
        rows: list[int] = []
        buckets: list[int] = []
        times: list[int] = []
        for row, note in enumerate(notes):
            found = Counter(self._buckets(note))
            rows += [row] * len(found)
            buckets += found
            times += found.values()
        numbers = [[float("nan") if x is None else x for x in values] for values in dense]
        with torch.inference_mode():
            logits = self(
                torch.tensor(rows, dtype=torch.long), torch.tensor(buckets, dtype=torch.long),
                torch.tensor(times, dtype=torch.float32),
                torch.tensor(numbers, dtype=torch.float32),
            )
            scores: list[float] = torch.sigmoid(logits.double()).tolist()
        return scores

    def forward(
        self, rows: torch.Tensor, buckets: torch.Tensor, times: torch.Tensor, dense: torch.Tensor
    ) -> torch.Tensor:
        """Logits (B,) of N entries in bags, each with its row, bucket and count, and (B, 30)."""
        weights = (1 + times.log()) * self.importance[buckets]
        nothing = torch.zeros(len(dense))
        lengths = nothing.index_add(0, rows, weights.square()).sqrt().clamp_min(1e-12)
        text = nothing.index_add(0, rows, weights * self.words[buckets]) / lengths
        logs = (dense.sign() * dense.abs().log1p() - self.mean) / self.deviation
        missing = logs.isnan()
        inputs = torch.cat([logs.nan_to_num(0).clamp(-5, 5), missing.float()], dim=1)
        deep = self.output(torch.tanh(self.hidden(inputs))) + self.linear(inputs)
        logits: torch.Tensor = deep.squeeze(1) + text
        return logits

    def _buckets(self, note: str) -> list[int]:
        """The hashes of the words and of the pairs of neighbouring words."""
        hashes = [crc32(word.encode()) for word in WORD.findall(note.lower())]
        grams = hashes + [(a * 31 ^ b) & 0xFFFFFFFF for a, b in pairwise(hashes)]
        return [(gram * MULTIPLIER & 0xFFFFFFFF) >> self._shift for gram in grams]
