"""Laws of scores: what they are made of, to the bit, and that the other rows do not show."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ml_assets.core.system import TextField
from ml_assets.training.encoders import NaiveBayesWeights, Standardiser
from ml_assets.training.ngrams import HASHES
from ml_assets.training.scorer import HashedTextScorer
from ml_assets.training.weights import Weights

Floats = npt.NDArray[np.float32]

BITS, NUMBERS, HIDDEN = 10, 5, 4
WORDS = TextField(column="note", unit="words")
BYTES = TextField(column="note")
TITLE = TextField(column="title", unit="words")

texts = (
    st.text(max_size=40)
    | st.text("ab \udce9", max_size=8)
    | st.lists(st.sampled_from(["no", "Yes", "w7", "$9", "x" * 30, "É"]), max_size=30).map(" ".join)
)
numbers = st.floats(width=32) | st.sampled_from([0.0, -0.0, 3.4e38, -3.4e38, 1e-45])


def scorer_of(fields: tuple[TextField, ...]) -> HashedTextScorer:
    """Untrained: any weights do."""
    rng = np.random.default_rng(len(fields))

    def some(*shape: int) -> Floats:
        return rng.normal(size=shape).astype(np.float32)

    vocabulary = len(fields) << BITS
    importance = np.abs(some(vocabulary))
    importance[rng.random(vocabulary) < 0.3] = 0
    return HashedTextScorer(
        fields=fields, feature_names=tuple("abcde"), threshold=0.5, buckets=2**BITS,
        weighting=NaiveBayesWeights(importance=importance),
        standardiser=Standardiser(mean=some(NUMBERS), deviation=np.abs(some(NUMBERS))),
        weights=Weights(
            words=some(vocabulary), hidden_HI=some(HIDDEN, 2 * NUMBERS),
            hidden_bias_H=some(HIDDEN), output_H=some(HIDDEN), output_bias=some(1),
            linear_I=some(2 * NUMBERS),
        ),
    )


def plainly(scorer: HashedTextScorer, row: dict[str, str], dense: Floats) -> float:
    """The score of one row, written down step by step. These are the scores of stored models."""
    with np.errstate(all="ignore"):
        logs = np.copysign(np.log1p(np.abs(dense)), dense)
        logs = (logs - scorer.standardiser.mean) / scorer.standardiser.deviation
    values = [float(min(max(x, np.float32(-5)), np.float32(5))) if np.isfinite(x) else 0.0
              for x in logs]
    inputs = np.array([*values, *~np.isfinite(logs)], np.float32)
    network = scorer.weights
    hidden = np.array([np.vecdot(inputs, unit) for unit in network.hidden_HI])
    deep = np.vecdot(np.tanh(hidden + network.hidden_bias_H), network.output_H)
    logit = float(deep + network.output_bias[0] + np.vecdot(inputs, network.linear_I))
    of_texts = 0.0
    for place, field in enumerate(scorer.fields):
        hashes, _ = HASHES[field.unit]([row[field.column]])
        found = Counter(int(each) >> 32 - BITS | place << BITS for each in hashes)
        weights = {bucket: np.float32(1.0 + np.log(times)) * scorer.weighting.importance[bucket]
                   for bucket, times in sorted(found.items())}
        squares = 0.0
        for weight in weights.values():
            squares += float(weight) * float(weight)
        norm = np.sqrt(squares)
        for bucket, weight in weights.items():
            scaled = np.float32(float(weight) * float(1.0 / norm)) if norm > 1e-12 else 0
            of_texts += float(np.float32(scaled) * network.words[bucket])
    logit += of_texts
    return float(1.0 / (1.0 + np.exp(np.minimum(np.array([-logit]), 700.0)))[0])


@pytest.mark.parametrize(
    "fields", [(), (WORDS,), (BYTES,), (WORDS, BYTES, TITLE)],
    ids=lambda fields: " and ".join(field.unit for field in fields) or "no text",
)
@given(data=st.data())
def test_a_row_scores_what_is_written_down_alone_and_among_others(
    fields: tuple[TextField, ...], data: st.DataObject
) -> None:
    """To the bit: nothing that makes scoring quick may change a score."""
    scorer = scorer_of(fields)
    rows = data.draw(st.lists(st.fixed_dictionaries({"note": texts, "title": texts}), max_size=6))
    dense = data.draw(hnp.arrays(np.float32, (len(rows), NUMBERS), elements=numbers))
    scores = scorer.score({name: [row[name] for row in rows] for name in ("note", "title")}, dense)
    assert scores.shape == (len(rows),)
    for place, row in enumerate(rows):
        alone = scorer.score({name: [text] for name, text in row.items()}, dense[place, None])
        assert alone.tolist() == [scores[place]] == [plainly(scorer, row, dense[place])]
