"""How often the judgement of rollouts errs: simulated lives of challengers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from math import log
from pathlib import Path
from statistics import median
from time import process_time

import numpy as np

from benchmarks.environments import Environment, NotInstalled
from benchmarks.judgement_load.lives import Life, first_crossing, leads_of, live
from benchmarks.judgement_load.models import Two
from benchmarks.judgement_load.partial import FILTER, FORECAST, ROUTER, learnt, mean_of
from benchmarks.judgement_load.rollback import send_back
from benchmarks.serving_load.installation import installed
from ml_assets.bench import Measurement
from ml_assets.core.policies import RolloutPolicy
from ml_assets.core.target import Floats
from ml_assets.evaluation.sequential import STAKES, BoundedLeads

FOLDER = Path(__file__).parent / "judgement_load"
CONFSEQ = Environment(name="confseq", requirements=FOLDER / "confseq.txt", with_torch=False,
                      made_by="ml-assets bench judgement")
POLICY = RolloutPolicy()
PATIENT = replace(POLICY, deadline=timedelta(days=365))
"""For regressions: none may end at a deadline before it is found."""
FIXED = 2_000
"""Labels of a test with a fixed horizon, half of whose traffic the challenger answers."""


def measure(*, quick: bool) -> Iterator[Measurement]:
    """Lives by the product's own policy: its evidence, its steps, a decision a day."""
    lives, labels = (100, 2_000) if quick else (1_000, 10_000)
    yield _at_every_label(1_000, labels)
    yield _promoted("equal models, the default policy", Two(), POLICY, 28, lives,
                    goal="at most 5% of lives", most=0.05)
    yield _promoted("1 point better, within 2,000 labels", Two(better=0.01), POLICY, 20, lives,
                    goal="at least 80% of lives", least=0.80)
    yield _sent_back("2 points worse", Two(better=-0.02), 60, lives)
    yield _sent_back("5 points worse on a slice of a tenth", Two(better_on_slice=-0.05),
                     60 if quick else 120, lives // 2)
    yield _beside_confseq(create=not quick)
    yield _rolled_back(3 if quick else 20)
    yield from _partly_reported(2 if quick else 10)
    yield from _lied_to(2 if quick else 20)


def _at_every_label(lives: int, labels: int) -> Measurement:
    """A decision at every label, without a deadline."""
    began, promoted = process_time(), 0
    for seed in range(lives):
        leads_N, bound, _ = leads_of(Two(), labels, seed)
        promoted += first_crossing(leads_N, bound, log(1 / POLICY.level)) is not None
    return _shares(f"judgement: equal models, looked at after each of {labels:,} labels",
                   promoted, lives, "promoted in at most 5% of lives", promoted <= 0.05 * lives,
                   f"{process_time() - began:.0f} CPU s")


def _promoted(
    name: str, two: Two, policy: RolloutPolicy, days: int, lives: int, *, goal: str,
    most: float = 1.0, least: float = 0.0,
) -> Measurement:
    began = process_time()
    found = [live(two, policy, days, seed) for seed in range(lives)]
    promoted = [each.promoted for each in found if each.promoted is not None]
    when = f"half of them by label {median(promoted):,.0f}; " if promoted else ""
    back = sum(each.sent_back is not None for each in found)
    return _shares(f"judgement: {name}", len(promoted), lives, f"promoted in {goal}",
                   least * lives <= len(promoted) <= most * lives,
                   f"{when}{back} sent back; {process_time() - began:.0f} CPU s")


def _sent_back(name: str, two: Two, days: int, lives: int) -> Measurement:
    began = process_time()
    found = [live(two, PATIENT, days, seed) for seed in range(lives)]
    back = sum(each.sent_back is not None for each in found)
    return _shares(
        f"judgement: {name}", back, lives, f"sent back in at least 95% of lives of {days * 100:,} "
        "labels", back >= 0.95 * lives,
        f"{_exposed(found)} events answered by it, on average (median, 95%); a test at a fixed "
        f"horizon of {FIXED:,} labels at half of the traffic: {FIXED // 2:,} in each life; "
        f"{sum(each.promoted is not None for each in found)} were promoted at first; "
        f"{process_time() - began:.0f} CPU s")


def _exposed(lives: Sequence[Life]) -> str:
    exposed = [each.exposed for each in lives]
    return (f"{np.mean(exposed):,.0f} ({median(exposed):,.0f}, "
            f"{np.quantile(exposed, 0.95):,.0f})")


def _shares(
    name: str, count: int, lives: int, goal: str, met: bool, note: str
) -> Measurement:
    return Measurement(bench=f"{name}, {lives:,} lives", ours=100 * count / lives, peer=None,
                       unit="%", ratio=None, goal=goal, met=met, equal=None, note=note)


def _rolled_back(times: int) -> Measurement:
    """A champion rolled back by hand, and a broken canary that the API takes out itself."""
    with installed() as made:
        found = send_back(made, times=times)
    errors = sum(found.outcome.errors.values())
    return Measurement(
        bench=f"judgement: rollback under {found.rate:,.0f} requests/s, {found.times} times",
        ours=found.slowest_s, peer=None, unit="s from the record to the last answer, at most",
        ratio=None, goal="under 1 s, no failed request", equal=None,
        met=found.slowest_s < 1 and errors == 0,
        note=f"{found.outcome.answered:,} answers, {errors} failed; a canary that learnt labels "
             f"the wrong way round was taken out by `{found.guardrail}` {found.found_s:.2f} s and "
             f"{found.answers} answers after its first one")


def _partly_reported(seeds: int) -> Iterator[Measurement]:
    """Models that learn, one after the other, from what people report of the mistakes."""
    for name, system in (("a filter", FILTER), ("a forecast", FORECAST)):
        began = process_time()
        found = {way: [learnt(system, seed, way=way) for seed in range(seeds)]
                 for way in ("true", "silence", "audits")}
        told = "; ".join(
            f"{way}: loss {mean_of(each, 'loss'):.4f}, mean off by {mean_of(each, 'off'):.3f} sd, "
            f"errors judged {mean_of(each, 'judged'):.1%} of {mean_of(each, 'wrong'):.1%}"
            for way, each in found.items())
        naive, made = (abs(mean_of(found[way], "judged") - mean_of(found[way], "wrong"))
                       for way in ("silence", "audits"))
        yield Measurement(
            bench=f"judgement: {name}, of whose mistakes a part is reported, {seeds} times",
            ours=100 * made, peer=100 * naive, ratio=made / naive, equal=None, met=made <= 0.02,
            unit="points that the error rate is judged wrong by (peer: without audits)",
            goal="at most 2 points", note=f"{told}; {process_time() - began:.0f} CPU s")


def _lied_to(seeds: int) -> Iterator[Measurement]:
    """Hostile feedback: what it costs in AUC, beside the same lives without lies."""
    for what, system in (("a filter", FILTER), ("a router of three classes", ROUTER)):
        before = np.array([learnt(system, seed, way="audits").auc for seed in range(seeds)])
        for name, source, share in (
            ("strangers lie about 5% of all predictions", "stranger", 0.05),
            ("the trusted reader lies about .2% of all predictions", "recipient", 0.002),
            ("the trusted reader lies about 5% of all predictions", "recipient", 0.05),
        ):
            began = process_time()
            found = np.array([learnt(system, seed, way="audits", hostile=share,
                                     as_source=source).auc for seed in range(seeds)])
            cost, low, high = _mean_with_interval(100 * (before - found))
            yield Measurement(
                bench=f"judgement: {what}: {name}, {seeds} times", ours=cost, peer=None,
                unit="points of AUC", ratio=None, goal="at most .5", met=cost <= 0.5, equal=None,
                note=f"95%: {low:.2f} to {high:.2f}; AUC {found.mean():.4f}, {before.mean():.4f} "
                     f"without lies; {process_time() - began:.0f} CPU s")


def _mean_with_interval(found_S: Floats) -> tuple[float, float, float]:
    """(mean, low, high) of S lives, by Student's t."""
    from scipy.special import stdtrit

    mean = float(found_S.mean())
    reach = float(stdtrit(len(found_S) - 1, 0.975) * found_S.std(ddof=1) / np.sqrt(len(found_S)))
    return mean, mean - reach, mean + reach


def _beside_confseq(*, create: bool) -> Measurement:
    """The same bets by the authors' package: the same capital after each row."""
    name = "judgement: capital of the bets beside confseq's, and width of the interval"
    leads_N, bound, _ = leads_of(Two(better=0.01), 500, 1)
    leads = BoundedLeads.of(leads_N, bound)
    low, high = leads.interval()
    ours = (high - low) / (2 * bound)
    try:
        python = CONFSEQ.programs(create=create) / "python"
        path_N, width = _asked(str(python), leads_N, bound)
    except (NotInstalled, subprocess.CalledProcessError) as error:
        return Measurement(bench=name, ours=ours, peer=None, unit="of the range", ratio=None,
                           goal="the same capital", met=False, equal=None,
                           not_measured=str(error)[:300])
    apart = float(np.abs(path_N - leads.path(0.0)).max())
    return Measurement(
        bench=name, ours=ours, peer=width, unit="of the range",
        ratio=width / ours, goal="the same capital, an interval at most a tenth wider",
        equal=apart < 1e-6, met=apart < 1e-6 and ours <= 1.1 * width,
        note=f"500 rows; largest difference of the logarithms {apart:.1e}")


def _asked(python: str, leads_N: Floats, bound: float) -> tuple[Floats, float]:
    """The path of its capital, in logarithms, and the width of its interval."""
    said = json.dumps({"leads": ((leads_N / bound + 1) / 2).tolist(), "stakes": STAKES})
    done = subprocess.run([python, str(FOLDER / "confseq_peer.py")], input=said, check=True,
                          capture_output=True, text=True)
    answer = json.loads(done.stdout)
    return np.array(answer["path"]), float(answer["width"])
