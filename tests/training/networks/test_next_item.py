"""What goes together is learnt in closed form, and how much it matters from later rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from ml_assets.core.codes import code_of
from ml_assets.core.model import Categories, Minibatch, Model, Network, NextItem, Sequence, Tabular
from ml_assets.targets import Binary
from ml_assets.targets.metrics.order import slates_of
from ml_assets.training.fit import fit
from ml_assets.training.networks.companions import SCALE, Companions
from ml_assets.training.rows.labelled import LabelledRows
from ml_assets.training.rows.slate_weights import slate_weights

FILMS = np.array([f"film {number}" for number in range(30)])
CODES = np.array([code_of(film) for film in FILMS], np.float32)
FEATURES = ("seen_1", "seen_2", "popular", "back")
HALF, ITEMS = 1_500, 6


def test_the_matrix_is_the_regression_of_each_item_on_all_others() -> None:
    """As with a solver for one item after the other; nothing explains itself."""
    draw = np.random.default_rng(3)
    sequences = np.array([draw.permutation(5)[:3] + 1 for _ in range(40)])
    layer = Companions(6, most=5, ridge=0.2)
    layer.remember([torch.from_numpy(sequences)])
    distinct = np.unique(sequences, axis=0)
    there = np.zeros((len(distinct), 5))
    np.put_along_axis(there, distinct - 1, 1.0, axis=1)
    for item in range(5):
        others = [each for each in range(5) if each != item]
        gram = there[:, others].T @ there[:, others] + 0.2 * len(distinct) * np.eye(4)
        weights = np.linalg.solve(gram, there[:, others].T @ there[:, item])
        spoken = layer(torch.tensor([item + 1]), torch.tensor([[each + 1 for each in others]]))
        np.testing.assert_allclose(spoken[0] / SCALE, weights, rtol=1e-4)
        assert layer(torch.tensor([item + 1]), torch.tensor([[item + 1, 0]])).tolist() == [[0, 0]]


def test_of_many_items_those_of_most_sequences_are_known() -> None:
    layer = Companions(10, most=2, ridge=0.1)
    layer.remember([torch.tensor([[1, 2], [2, 1], [1, 0], [7, 2], [9, 8], [2, 7]])])
    assert layer.slot_R.nonzero().flatten().tolist() == [1, 2]
    assert layer(torch.tensor([1, 7]), torch.tensor([[2], [2]])).flatten()[1] == 0


def slates(count: int, seed: int) -> tuple[LabelledRows, list[str]]:
    """Somebody who comes `back` takes what is popular; anybody else what stands next to what he
    has seen last. Each slate has what is taken and five others.
    """
    draw = np.random.default_rng(seed)
    popular = draw.permutation(len(FILMS)).astype(np.float32)  # other films in each history
    films: list[int] = []
    dense = np.empty((count * ITEMS, len(FEATURES)), np.float32)
    codes = np.zeros(count * ITEMS)
    for slate in range(count):
        last, back = int(draw.integers(len(FILMS))), slate % 2
        near = (last + 1) % len(FILMS)
        others = draw.permutation([each for each in range(len(FILMS)) if each not in (near, last)])
        shown = [near, *others[: ITEMS - 1]]
        taken = int(np.argmax(popular[shown])) if back else 0
        rows = slice(slate * ITEMS, (slate + 1) * ITEMS)
        films += shown
        codes[rows.start + taken] = 1
        # What was seen before the last one stands next to it, too.
        dense[rows, 0], dense[rows, 1] = CODES[last], CODES[(last - 1) % len(FILMS)]
        dense[rows, 2], dense[rows, 3] = popular[shown], back
    ids = [f"r{row // ITEMS}#{row % ITEMS + 1}" for row in range(count * ITEMS)]
    return LabelledRows(
        texts={"film": FILMS[films].tolist()}, dense=dense, codes=codes, feature_names=FEATURES,
        coded=frozenset(FEATURES[:2])), ids


def first_taken(network: Network) -> npt.NDArray[np.float64]:
    """(2,) in how many slates of either kind what is taken stands first."""
    model = Model(inputs=(Categories("film"), Sequence("seen", of="film")), network=network,
                  fit=Minibatch(batch=256, epochs=12, rate=1e-2, patience=None))
    scorer = fit(model, Binary(name="taken"), slates(HALF, 1)[0]).scorer
    unseen, ids = slates(400, 2)
    slate, _ = slates_of(np.array(ids, dtype=object))
    score = scorer.outputs(unseen.texts, unseen.dense)[:, 0].reshape(-1, ITEMS)
    right = score.argmax(axis=1) == unseen.codes.reshape(-1, ITEMS).argmax(axis=1)
    assert len(right) == slate.max() + 1
    return np.array([right[0::2].mean(), right[1::2].mean()])


def test_the_context_decides_what_counts() -> None:
    """Another popularity than that of training, and the neighbour of what was seen last."""
    ours = first_taken(NextItem(item="film", context=("back",), ridge=0.01))
    assert (ours > 0.9).all(), ours


def test_a_network_that_knows_no_pairs_finds_no_neighbours() -> None:
    """So the data above need them."""
    near, _ = first_taken(Tabular(hidden=32, blocks=1, pieces=4))
    assert near < 0.6


def test_slates_count_alike_however_much_of_them_was_taken() -> None:
    ids = ["a#1", "a#2", "a#3", "b#1", "b#2", "c#1"]
    weights = slate_weights(ids, np.array([1.0, 1.0, 0.0, 1.0, 0.0, 0.0]))
    assert weights.tolist() == [0.5, 0.5, 0.5, 1, 1, 1]
