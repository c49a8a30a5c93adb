"""Card fraud on the handbook's own payments, by its protocol: `bench systems --systems fraud`.

Published figures: Le Borgne et al., "Reproducible machine learning for credit card fraud
detection" (2022), chapters 3, 5 and 7. A quick run has a tenth of the customers and terminals, of
which nothing is published, and one week.
"""

from __future__ import annotations

from collections.abc import Iterator
from tempfile import TemporaryDirectory

from benchmarks.environments import NotInstalled
from benchmarks.systems_load.fraud.peers import PEERS, Peer, scores_of
from benchmarks.systems_load.fraud.protocol import FULL, MAIN, QUICK, Figures, Size, measured
from benchmarks.systems_load.fraud.vectors import Vectors, vectors
from ml_assets.bench import Measurement

COUNTS = (1_754_155, 978, 9_099, 4_604)
"""Of the published payments, and of the frauds that each scenario added."""
CLOSE = 0.003
PUBLISHED = Figures(roc_auc=0.871, average_precision=0.606, top=0.291)
"""Logistic regression, trained on the week from 25 July, judged on that from 8 August."""
BEST = 0.687
"""The highest published average precision, mean of four weeks (XGBoost)."""


def measure(*, quick: bool) -> Iterator[Measurement]:
    """Published counts, then logistic regression, peers and the declared model."""
    size = QUICK if quick else FULL
    with TemporaryDirectory(prefix="ml-assets-bench-") as scratch:
        rows = vectors(size, scratch)
        if not quick:
            yield _counts(size)
        for peer in PEERS:
            yield from _peer(peer, rows, size, create=not quick)
        yield _own(rows, size)


def _counts(size: Size) -> Measurement:
    from ml_assets.systems.fraud.handbook import handbook

    made, added = handbook(size.customers, size.terminals)
    found = (len(made.second), *added)
    return Measurement(
        bench="fraud: payments of the simulator", ours=found[0], peer=COUNTS[0], unit="payments",
        ratio=None, goal="as published, and the frauds of each scenario", met=found == COUNTS,
        equal=found == COUNTS, note=f"frauds added by the scenarios: {found[1:]}, published "
        f"{COUNTS[1:]}")


def _peer(peer: Peer, rows: Vectors, size: Size, *, create: bool) -> Iterator[Measurement]:
    """On the week that most is published of, then on all of them."""
    try:
        scored = [scores_of(peer, rows, week, create=create) for week in size.weeks]
    except NotInstalled as error:
        yield _line(f"{peer.title}: average precision, mean of all weeks", float("nan"), None,
                    goal="none, for information", not_measured=str(error))
        return
    each = [measured(rows, week, found, size)
            for week, found in zip(size.weeks, scored, strict=True)]
    main = each[size.weeks.index(MAIN)]
    if peer.proves and size == FULL:
        for name in ("roc_auc", "average_precision"):
            ours, theirs = getattr(main, name), getattr(PUBLISHED, name)
            yield _line(f"{peer.title}: {name}, main week (beside: published)", ours, theirs,
                        goal=f"within {CLOSE}", met=abs(ours - theirs) <= CLOSE,
                        note=f"precision@{size.top} {main.top:.3f}, published {PUBLISHED.top}")
    mean = Figures.mean(each)
    yield _line(f"{peer.title}: average precision, mean of all weeks (beside: published)",
                mean.average_precision, peer.published if size == FULL else None,
                goal="none, for information",
                note=f"AUC {mean.roc_auc:.3f}, precision@{size.top} {mean.top:.3f}")


def _own(rows: Vectors, size: Size) -> Measurement:
    from benchmarks.systems_load.fraud.own import scores

    each = [measured(rows, week, scores(rows, week), size) for week in size.weeks]
    mean = Figures.mean(each)
    weeks = ", ".join(f"{week}: {found.average_precision:.3f}"
                      for week, found in zip(size.weeks, each, strict=True))
    goal = f"at least {BEST}, the best published" if size == FULL else "none, for information"
    return _line(
        "the declared model: average precision, mean of all weeks (beside: the best published)",
        mean.average_precision, BEST if size == FULL else None, goal=goal,
        met=size != FULL or mean.average_precision >= BEST,
        note=f"AUC {mean.roc_auc:.3f}, precision@{size.top} {mean.top:.3f}; by week from {weeks}")


def _line(
    bench: str, ours: float, peer: float | None, *, goal: str, met: bool = True, note: str = "",
    not_measured: str | None = None,
) -> Measurement:
    return Measurement(
        bench=f"fraud: {bench}", ours=ours, peer=peer, unit="", ratio=None, goal=goal, met=met,
        equal=None, note=note, not_measured=not_measured)
