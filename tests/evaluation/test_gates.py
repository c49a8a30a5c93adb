"""Laws of gates: who passes, and that the verdict says why with the numbers."""

from __future__ import annotations

from dataclasses import replace

from ml_assets.core.policies import Gate
from ml_assets.evaluation.comparison import Estimate, Estimates
from ml_assets.evaluation.gates import Part, judge, number
from ml_assets.targets import Binary

METRICS = Binary(name="label").metrics


def estimates(metric: str, value: float | None) -> Estimates:
    nothing = Estimate(value=None, low=None, high=None)
    if value is None:
        return dict.fromkeys(METRICS, nothing)
    found = Estimate(value=value, low=value - 0.01, high=value + 0.01)
    return {**dict.fromkeys(METRICS, nothing), metric: found}


def part(
    metric: str, own: float | None, other: float | None = None, better_by: float = 0.0
) -> Part:
    return Part(
        rows=100, labels="100 rows, 30 of them True", candidate=estimates(metric, own),
        champion=None if other is None else estimates(metric, other),
        better_by=None if other is None else estimates(metric, better_by),
    )


def test_a_floor_holds_from_its_bound_on() -> None:
    gate = Gate(metric="roc_auc", at_least=0.9)
    assert judge(gate, part("roc_auc", 0.9), None).passed
    failed = judge(gate, part("roc_auc", 0.89), None)
    assert not failed.passed
    assert failed.says == "roc_auc 0.8900 (95%: 0.8800 to 0.9000) is below 0.9"


def test_a_ceiling_holds_up_to_its_bound() -> None:
    gate = Gate(metric="false_positive_rate", at_most=0.03)
    assert judge(gate, part("false_positive_rate", 0.03), None).passed
    assert judge(gate, part("false_positive_rate", 0.031), None).says.endswith("is above 0.03")


def test_beside_a_champion_a_bound_refuses_only_what_is_clearly_broken() -> None:
    """A model as good as the champion must not fail because few rows are held out."""
    gate = Gate(metric="roc_auc", at_least=0.9)
    doubtful = judge(gate, part("roc_auc", 0.895, 0.95), 4)
    assert doubtful.passed
    assert doubtful.says == "roc_auc 0.8950 (95%: 0.8850 to 0.9050) is not clearly below 0.9"
    broken = judge(gate, part("roc_auc", 0.88, 0.95), 4)
    assert not broken.passed and broken.says.endswith("is below 0.9")
    ceiling = Gate(metric="log_loss", at_most=0.2)
    assert judge(ceiling, part("log_loss", 0.205, 0.2), 4).passed
    assert not judge(ceiling, part("log_loss", 0.22, 0.2), 4).passed


def test_where_the_champion_misses_the_bound_too_a_clearly_better_candidate_passes() -> None:
    """Else the one that is left would be the worse of the two."""
    gate = Gate(metric="roc_auc", at_least=0.9)
    better = judge(gate, part("roc_auc", 0.8, 0.7, 0.1), 4)
    assert better.passed
    assert better.says == (
        "roc_auc 0.8000 (95%: 0.7900 to 0.8100) is below 0.9, and so is version 4's 0.7000; it is "
        "clearly better (95%: 0.0900 to 0.1100)")
    alike = judge(gate, part("roc_auc", 0.8, 0.795, 0.005), 4)
    assert not alike.passed and "it is not clearly better" in alike.says
    ceiling = Gate(metric="log_loss", at_most=0.2)
    assert judge(ceiling, part("log_loss", 0.3, 0.4, 0.1), 4).passed
    assert not judge(ceiling, part("log_loss", 0.4, 0.3, -0.1), 4).passed


def test_a_champion_that_cannot_be_judged_excuses_nobody() -> None:
    gate = Gate(metric="roc_auc", at_least=0.9)
    unknown = replace(part("roc_auc", 0.8, 0.7, 0.1), better_by=estimates("roc_auc", None))
    assert not judge(gate, unknown, 4).passed


def test_a_candidate_is_refused_if_it_is_clearly_not_better_by_the_margin() -> None:
    gate = Gate(metric="log_loss", better_than_champion_by=0.02)
    assert judge(gate, part("log_loss", 0.11, 0.13, 0.02), 4).passed
    assert judge(gate, part("log_loss", 0.12, 0.13, 0.01), 4).passed
    verdict = judge(gate, part("log_loss", 0.13, 0.13, 0.005), 4)
    assert not verdict.passed
    assert verdict.comparing
    assert verdict.says == (
        "log_loss 0.1300 is 0.0050 better than version 4's 0.1300 (95%: -0.0050 to 0.0150); "
        "it is clearly not better by 0.02"
    )


def test_an_equal_candidate_is_left_to_live_outcomes() -> None:
    gate = Gate(metric="log_loss", better_than_champion_by=0.0)
    verdict = judge(gate, part("log_loss", 0.1, 0.1, 0.0), 4)
    assert verdict.passed
    assert "log_loss 0.1000 equals version 4's 0.1000" in verdict.says


def test_a_negative_margin_allows_to_be_a_little_worse() -> None:
    gate = Gate(metric="recall", better_than_champion_by=-0.05)
    verdict = judge(gate, part("recall", 0.90, 0.94, -0.04), 4)
    assert verdict.passed
    assert "recall 0.9000 is 0.0400 worse than version 4's 0.9400" in verdict.says


def test_a_first_model_has_no_champion_to_beat() -> None:
    verdict = judge(Gate(metric="log_loss", better_than_champion_by=0.0), part("log_loss", 1), None)
    assert verdict.passed
    assert verdict.value is None
    assert verdict.says == "log_loss 1.0000, and there is no champion to beat"


def test_a_slice_that_is_too_small_passes_and_says_so() -> None:
    gate = Gate(metric="roc_auc", at_least=0.9, slice="html")
    few = Part(rows=12, labels="12 rows, 3 of them True", candidate=None, champion=None,
               better_by=None)
    verdict = judge(gate, few, None)
    assert verdict.passed
    assert verdict.slice == "html"
    assert verdict.says == "roc_auc on html: too few to judge (12 rows, 3 of them True)"


def test_a_metric_that_cannot_be_computed_fails() -> None:
    for gate in (Gate(metric="roc_auc", at_least=0.1),
                 Gate(metric="roc_auc", better_than_champion_by=-1.0)):
        verdict = judge(gate, part("roc_auc", None), None)
        assert not verdict.passed
        assert verdict.says == "roc_auc cannot be computed (100 rows, 30 of them True)"


def test_a_number_is_never_rounded_away() -> None:
    assert [number(value) for value in (0, 0.98765, 0.00002, -0.00002, None)] == [
        "0.0000", "0.9877", "2.0e-05", "-2.0e-05", "-"]
