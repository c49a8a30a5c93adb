"""Recommenders of a few lines each, on the same ratings; none shows what was rated already."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import cache

import numpy as np
import numpy.typing as npt

from benchmarks.systems_load.movies.protocol import Floats, Order, Query, Ratings, first_ten

Matrix = npt.NDArray[np.float64]


def popularity(ratings: Ratings, half_life: timedelta = timedelta(days=3)) -> Order:
    """What was rated most of late."""
    scores = _of_a_moment(ratings, half_life)
    return lambda query, at: first_ten(scores(at), ratings.before(query.viewer, query.at))


def ease(
    ratings: Ratings, until: float, *, ridge: float = 1000.0, halved: float = 5.0,
    popular: float = 0.0,
) -> Order:
    """Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", 2019; of what somebody rated
    the latest counts most, half after so many; with so much of the popularity of three days.
    """
    gram = _together(ratings, until)
    inverse = np.linalg.inv(gram + ridge * np.eye(len(gram)))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return _by_items(ratings, weights, halved, popular)


def item_neighbours(ratings: Ratings, until: float, *, nearest: int = 100, shrink: float = 10.0,
                    halved: float = 5.0) -> Order:
    """The cosine of who rated both; each film is told by so many others alone."""
    gram = _together(ratings, until)
    size = np.sqrt(np.diag(gram))
    alike = gram / (np.outer(size, size) + shrink)
    np.fill_diagonal(alike, 0)
    least = np.sort(alike, axis=0)[-nearest]
    return _by_items(ratings, np.where(alike >= least, alike, 0), halved, 0.0)


def folded_in(ratings: Ratings, films: Matrix, *, alpha: float = 2.0, ridge: float = 0.05) -> Order:
    """Of an implicit factorisation (Hu, Koren and Volinsky, 2008): somebody's factors are the best
    for all that he has rated by then, as the package's `recalculate_user` makes them.
    """
    every = films.T @ films + ridge * np.eye(films.shape[1])
    scores_at = _of_a_moment(ratings, timedelta(days=3))

    def order(query: Query, at: float) -> list[int]:
        before, seen = (ratings.before(query.viewer, each) for each in (at, query.at))
        if not len(before):
            return first_ten(scores_at(at), seen)
        own = films[before]
        factors = np.linalg.solve(every + alpha * own.T @ own, (1 + alpha) * own.sum(axis=0))
        return first_ten(films @ factors, seen)

    return order


def of_known(ratings: Ratings, until: float, films: Matrix, viewers: Matrix) -> Order:
    """Of a factorisation that takes in nobody and nothing new: popularity for new viewers."""
    count = int(np.searchsorted(ratings.at, until))
    known = {viewer: row for row, viewer in enumerate(np.unique(ratings.viewers[:count]))}
    scores_at = _of_a_moment(ratings, timedelta(days=3))

    def order(query: Query, at: float) -> list[int]:
        row, seen = known.get(query.viewer), ratings.before(query.viewer, query.at)
        return first_ten(scores_at(at) if row is None else films @ viewers[row], seen)

    return order


def interactions(ratings: Ratings, until: float) -> tuple[npt.NDArray[np.int64], ...]:
    """(viewer, film) of each rating before an instant, both from 0 on."""
    count = int(np.searchsorted(ratings.at, until))
    _, viewer = np.unique(ratings.viewers[:count], return_inverse=True)
    return viewer, ratings.films[:count]


def _together(ratings: Ratings, until: float) -> Matrix:
    viewer, film = interactions(ratings, until)
    there = np.zeros((viewer.max() + 1, len(ratings.numbers)))
    there[viewer, film] = 1
    gram: Matrix = there.T @ there
    return gram


def _by_items(ratings: Ratings, weights: Matrix, halved: float, popular: float) -> Order:
    """weights: how much the film of a row speaks for that of a column"""
    scores_at = _of_a_moment(ratings, timedelta(days=3))

    def order(query: Query, at: float) -> list[int]:
        before = ratings.before(query.viewer, at)
        seen = ratings.before(query.viewer, query.at)
        if not len(before):
            return first_ten(scores_at(at), seen)
        ago = np.arange(len(before))[::-1]
        scores = (0.5 ** (ago / halved)) @ weights[before]
        if popular:
            taken = scores_at(at)
            scores = scores / max(scores.max(), 1e-9) + popular * taken / max(taken.max(), 1e-9)
        return first_ten(scores, seen)

    return order


def _of_a_moment(ratings: Ratings, half_life: timedelta) -> Callable[[float], Floats]:
    """Popularity, of each hour once."""
    @cache
    def of_hour(hour: float) -> Floats:
        return ratings.popular(hour * 3600, half_life)

    return lambda at: of_hour(at // 3600)
