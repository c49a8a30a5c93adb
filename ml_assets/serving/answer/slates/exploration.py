"""Which items a page shows, and how probable each of them was where it stands.

A share of the pages has one position, drawn uniformly, that is given to an item drawn uniformly
from those that the page would not have had. So every item has a chance at every position, the page
is otherwise what the model holds for the best, and the probabilities are known exactly: what
estimates by inverse propensity need (Horvitz and Thompson 1952; of pages of search results: Li,
Chen, Kleban and Gupta, "Counterfactual Estimation and Optimization of Click Metrics in Search
Engines", 2015). One swapped item costs the page little, as in the interventions of Joachims,
Swaminathan and Schnabel, "Unbiased Learning-to-Rank with Biased Feedback", 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple


class Shown(NamedTuple):
    """One position of a page.

    row: the index of the candidate that is shown there
    propensity: how probable it was, given the order, that this one would be
    """

    row: int
    propensity: float


def page_of(order: Sequence[int], n: int, *, explore: float, seed: str) -> list[Shown]:
    """The first `n` of K candidates in `order`, or all if they are fewer, perhaps with one swap.

    order: the indices of the K candidates, the best first
    explore: the share of pages with a swap; there is none unless K > n
    seed: decides what is drawn; the same seed draws the same

    Of those in the first n, each is at its own position with probability `1 - explore / n`; each
    of the K - n others is at each position with probability `explore / n / (K - n)`.
    """
    n = min(n, len(order))
    others = len(order) - n
    if explore == 0 or others == 0:
        return [Shown(row, 1.0) for row in order[:n]]
    page = [Shown(row, 1 - explore / n) for row in order[:n]]
    if drawn(seed, "whether") < explore:
        position = int(drawn(seed, "position") * n)
        other = int(drawn(seed, "item") * others)
        page[position] = Shown(order[n + other], explore / n / others)
    return page


def drawn(seed: str, what: str) -> float:
    """A number in [0, 1), uniform over seeds, the same in every process and release."""
    said = f"{what}\0{seed}".encode("utf-8", "surrogatepass")
    # 53 bits: a float64 holds them exactly, and never rounds to 1.
    return (int.from_bytes(blake2b(said, digest_size=8).digest()) >> 11) / 2**53
