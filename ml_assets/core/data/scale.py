"""What was learnt of the labels of a training, beside the network."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How codes become what a network is fitted to, `(code - mean) / deviation`, and back.

    below, above: how far an interval reaches from an expected code, see `Target.calibrated`
    slope, offset: of a line from a margin to log-odds, see `Target.margins`
    """

    mean: float = 0.0
    deviation: float = 1.0
    below: float = 0.0
    above: float = 0.0
    slope: float = 1.0
    offset: float = 0.0

    def reaching(self, other: Scale) -> Scale:
        """With intervals that reach as far as another's."""
        return replace(self, below=other.below, above=other.above)
