"""What the package confseq says of the leads in a file; run in the peer's own environment.

Reads `{"leads": [...], "reach": r, "stakes": [...]}` from standard input, with leads scaled to
[0, 1], and writes the path of the diversified betting martingale against a mean of 1/2, in
logarithms, and the width of the default betting confidence interval of the mean.
"""

from __future__ import annotations

import json
import sys

import numpy as np
from confseq.betting import betting_cs, diversified_betting_mart  # type: ignore[import-not-found]


def main() -> None:
    given = json.load(sys.stdin)
    x = np.array(given["leads"])
    # Against the mean 1/2 the largest bet is 2, which a lead of 0 loses.
    bets = [lambda x, m, stake=stake: np.full(len(x), stake / 0.5) for stake in given["stakes"]]
    path = diversified_betting_mart(
        x, 0.5, lambdas_fns_positive=bets, lambdas_fns_negative=bets, trunc_scale=1.0, theta=1.0)
    low, high = betting_cs(x, alpha=0.05, breaks=1000, running_intersection=False)
    json.dump({"path": np.log(path).tolist(), "width": float(high[-1] - low[-1])}, sys.stdout)


if __name__ == "__main__":
    main()
