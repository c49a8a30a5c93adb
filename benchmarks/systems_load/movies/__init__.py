"""Films: tonight's list, the page of this second, and what will be liked, beside peers."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from benchmarks.environments import Environment, NotInstalled
from benchmarks.systems_load.movies import peers
from benchmarks.systems_load.movies.liked import auc, likelihoods
from benchmarks.systems_load.movies.ours import Product, recorded, trained
from benchmarks.systems_load.movies.protocol import (
    TEST,
    Floats,
    Order,
    Query,
    Ratings,
    interval,
    mean,
    ndcg,
)
from ml_assets.bench import Measurement
from ml_assets.core.settings import Settings

IMPLICIT = Environment(
    name="implicit", requirements=Path(__file__).with_name("requirements.txt"),
    made_by="ml-assets bench systems --systems movies", with_torch=False)
EVERY = 20
"""A quick run asks every twentieth list and page."""
TASKS = {"nightly": "tonight's list (T1)", "stale": "a page by the list of the night (T2)",
         "now": "a page as of now (T2)"}


def measure(*, quick: bool) -> Iterator[Measurement]:
    """On the test part, 1 February to 22 April 1998."""
    with tempfile.TemporaryDirectory(prefix="ml_assets-movies-") as folder:
        settings = Settings(var=Path(folder))
        ratings = Ratings(settings.cache)
        step = EVERY if quick else 1
        lists, pages = ratings.days(TEST)[::step], ratings.pages(TEST)[::step]
        asked = {"nightly": lists, "stale": pages, "now": pages}
        yield from measured(settings, ratings, asked, quick=quick)


def measured(
    settings: Settings, ratings: Ratings, asked: Mapping[str, list[Query]], *, quick: bool
) -> Iterator[Measurement]:
    system, until = recorded(settings), TEST[0]
    product = Product(settings, system, trained(settings, system, until), ratings)
    ours = {task: product.ndcg(queries, nightly=task != "now") for task, queries in asked.items()}
    others = {name: {task: ndcg(queries, order, nightly=task != "now")
                     for task, queries in asked.items()}
              for name, order in _peers(ratings, until.timestamp(), quick=quick).items()}
    goals = {"nightly": 0.19, "now": 0.18}
    for task, queries in asked.items():
        for name, theirs in others.items():
            yield _beside(f"movies: {TASKS[task]}", queries, ours[task], name, theirs[task],
                          goals.get(task))
    pages, lead = asked["now"], ours["now"] - ours["stale"]
    yield Measurement(
        bench="movies: what a page as of now adds (T2)", ours=mean(pages, lead), peer=None,
        unit="NDCG@10", ratio=None, goal="at least 0.08", met=mean(pages, lead) >= 0.08,
        equal=None, note=_interval(pages, lead))
    liked, likelihood = likelihoods(settings, system, ratings, until, TEST)
    value = auc(liked, likelihood)
    yield Measurement(
        bench="movies: whether a film will be liked (T3)", ours=value, peer=None, unit="AUC",
        ratio=None, goal="at least 0.775", met=value >= 0.775, equal=None,
        note=f"{len(liked):,} ratings")


def _peers(ratings: Ratings, until: float, *, quick: bool) -> dict[str, Order]:
    found = {
        "popularity of three days": peers.popularity(ratings),
        "EASE by recency": peers.ease(ratings, until),
        "EASE by recency and popularity": peers.ease(ratings, until, popular=2.0),
        "item neighbours": peers.item_neighbours(ratings, until),
    }
    try:
        python = IMPLICIT.programs(create=not quick) / "python"
    except NotInstalled:
        return found
    viewer, film = peers.interactions(ratings, until)
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "given.npz"
        np.savez(given, viewer=viewer, film=film)
        for kind in ("als", "bpr"):
            subprocess.run([str(python), str(Path(__file__).with_name("factors.py")), kind,
                            str(given)], check=True, env={"OPENBLAS_NUM_THREADS": "1"})
            made = np.load(given.with_name(f"{kind}.npz"))
            films = np.zeros((len(ratings.numbers), made["films"].shape[1]))
            films[: len(made["films"])] = made["films"]
            found[f"implicit {kind.upper()}"] = (
                peers.folded_in(ratings, films) if kind == "als"
                else peers.of_known(ratings, until, films, made["viewers"]))
    return found


def _beside(
    bench: str, queries: list[Query], ours: Floats, name: str, theirs: Floats, goal: float | None
) -> Measurement:
    lead = ours - theirs
    return Measurement(
        bench=f"{bench}, beside {name}", ours=mean(queries, ours), peer=mean(queries, theirs),
        unit="NDCG@10", ratio=None,
        goal="none" if goal is None else f"at least {goal}",
        met=goal is None or mean(queries, ours) >= goal, equal=None,
        note=f"ours less theirs {_interval(queries, lead)}")


def _interval(queries: list[Query], values: Floats) -> str:
    low, high = interval(queries, values)
    return (f"{mean(queries, values):+.4f}, 95% {low:+.4f} to {high:+.4f}, "
            f"{len(queries):,} queries, viewers drawn")
