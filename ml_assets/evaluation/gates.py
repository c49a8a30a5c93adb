"""Gates: the declared conditions on a candidate, each with a verdict in words."""

from __future__ import annotations

from dataclasses import dataclass

from ml_assets.core.policies import Gate
from ml_assets.evaluation.comparison import Estimate, Estimates


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came of one gate.

    comparing: it compares with the champion. value, low, high: what was judged, the
    candidate's own metric or its lead, with a 95% interval; None if there was nothing to
    judge. says: the verdict as half a sentence, with the numbers.
    """

    name: str
    metric: str
    slice: str | None
    comparing: bool
    bound: float
    value: float | None
    low: float | None
    high: float | None
    passed: bool
    says: str


@dataclass(frozen=True, kw_only=True)
class Part:
    """Both models on some of the rows: on all of them, or on a slice.

    labels: what came true of them, in words
    candidate: None if the slice is too small to judge a model; champion and better_by, the
    candidate's lead: also None if there is no champion.
    """

    rows: int
    labels: str
    candidate: Estimates | None
    champion: Estimates | None
    better_by: Estimates | None


def judge(gate: Gate, part: Part, champion: int | None) -> Verdict:
    """The verdict on the candidate.

    part: the slice that the gate names, or all rows; champion: its version.

    A first model must meet a bound by the value itself. A later one is refused if the 95% interval
    lies wholly on the wrong side of the bound; without an interval, if its own value does, while a
    lead without one says nothing. If the champion misses the bound on the same rows, they are hard
    to tell, and refused is who is not clearly better than it. Live outcomes decide on the rest. A
    slice that is too small passes and says so, and so does a comparison if there is no champion. A
    metric that cannot be computed fails.
    """
    where = gate.metric if gate.slice is None else f"{gate.metric} on {gate.slice}"
    if part.candidate is None:
        return _verdict(gate, None, True, f"{where}: too few to judge ({part.labels})")
    own = part.candidate[gate.metric]
    if own.value is None:
        return _verdict(gate, own, False, f"{where} cannot be computed ({part.labels})")
    said = f"{where} {number(own.value)}"
    if gate.better_than_champion_by is not None:
        return _against_champion(gate, part, champion, said, gate.better_than_champion_by)
    return _against_bound(gate, part, champion, f"{said} (95%: {_span(own)})")


def _against_bound(gate: Gate, part: Part, champion: int | None, said: str) -> Verdict:
    below = gate.at_least is not None
    bound = gate.at_least if gate.at_least is not None else gate.at_most
    assert bound is not None and part.candidate is not None
    own = part.candidate[gate.metric]
    kept, side = ("at least", "below") if below else ("at most", "above")
    if _met(own, bound, below=below):
        return _verdict(gate, own, True, f"{said} is {kept} {bound:g}")
    if champion is not None and not _beyond(own, bound, below=below):
        return _verdict(gate, own, True, f"{said} is not clearly {side} {bound:g}")
    said = f"{said} is {side} {bound:g}"
    if part.champion is None or part.better_by is None or _met(
            part.champion[gate.metric], bound, below=below):
        return _verdict(gate, own, False, said)
    other, lead = part.champion[gate.metric], part.better_by[gate.metric]
    passed = lead.low is not None and lead.low > 0
    return _verdict(
        gate, own, passed,
        f"{said}, and so is version {champion}'s {number(other.value)}; it is "
        f"{'clearly' if passed else 'not clearly'} better (95%: {_span(lead)})")


def _met(judged: Estimate, bound: float, *, below: bool) -> bool:
    """Whether the value itself is on the right side."""
    return judged.value is not None and (
        judged.value >= bound if below else judged.value <= bound)


def _beyond(judged: Estimate, bound: float, *, below: bool) -> bool:
    """Whether the whole interval, or the value if there is none, is below (above) the bound."""
    end = judged.high if below else judged.low
    end = judged.value if end is None else end
    return end is not None and (end < bound if below else end > bound)


def _against_champion(
    gate: Gate, part: Part, champion: int | None, said: str, margin: float
) -> Verdict:
    if part.champion is None or part.better_by is None:
        return _verdict(gate, None, True, f"{said}, and there is no champion to beat")
    lead, other = part.better_by[gate.metric], part.champion[gate.metric]
    assert lead.value is not None  # what the candidate has on these rows, the champion has too
    passed = lead.value >= margin or lead.high is None or lead.high >= margin
    compared = "equals" if lead.value == 0 else (
        f"is {number(abs(lead.value))} {'better' if lead.value > 0 else 'worse'} than")
    said = f"{said} {compared} version {champion}'s {number(other.value)} (95%: {_span(lead)})"
    return _verdict(gate, lead, passed,
                    said if passed else f"{said}; it is clearly not better by {margin:g}")


def _verdict(gate: Gate, judged: Estimate | None, passed: bool, says: str) -> Verdict:
    bounds = (gate.at_least, gate.at_most, gate.better_than_champion_by)
    return Verdict(
        name=gate.name, metric=gate.metric, slice=gate.slice,
        comparing=gate.better_than_champion_by is not None,
        bound=next(bound for bound in bounds if bound is not None),
        value=None if judged is None else judged.value,
        low=None if judged is None else judged.low,
        high=None if judged is None else judged.high,
        passed=passed, says=says,
    )


def _span(estimate: Estimate) -> str:
    if estimate.low is None:
        return f"no interval: {estimate.why or 'too few rows'}"
    return f"{number(estimate.low)} to {number(estimate.high)}"


def number(value: float | None) -> str:
    """Four decimals, more if they would hide a small value."""
    if value is None:
        return "-"
    return f"{value:.4f}" if value == 0 or abs(value) >= 0.0001 else f"{value:.1e}"
