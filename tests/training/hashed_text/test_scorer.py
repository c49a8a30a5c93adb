"""Laws of scores: what they are made of, to the bit, and that the other rows do not show."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ml_assets.core.model import Text
from ml_assets.core.target import Scale, Target
from ml_assets.training.encoding.columns import Pieces, Standardiser, Vocabularies
from ml_assets.training.hashed_text.bags import NaiveBayesWeights
from ml_assets.training.hashed_text.ngrams import HASHES
from ml_assets.training.hashed_text.scorer import HashedTextScorer
from ml_assets.training.hashed_text.weights import Weights
from tests.targets.test_laws import TARGETS

Floats = npt.NDArray[np.float32]

BITS, NUMBERS, HIDDEN, PIECES, WIDTH = 10, 5, 4, 3, 2
INPUTS = (2 + PIECES) * NUMBERS + WIDTH
WORDS = Text("note", unit="words")
BYTES = Text("note")
TITLE = Text("title", unit="words")

texts = (
    st.text(max_size=40)
    | st.text("ab \udce9", max_size=8)
    | st.lists(st.sampled_from(["no", "Yes", "w7", "$9", "x" * 30, "É"]), max_size=30).map(" ".join)
)
numbers = st.floats(width=32) | st.sampled_from([0.0, -0.0, 3.4e38, -3.4e38, 1e-45])


def scorer_of(fields: tuple[Text, ...], target: Target) -> HashedTextScorer:
    """Untrained: any weights do."""
    rng = np.random.default_rng(len(fields))

    def some(*shape: int) -> Floats:
        return rng.normal(size=shape).astype(np.float32)

    vocabulary, names = len(fields) << BITS, (*target.carries, *"abcde")[:NUMBERS]
    importance = np.abs(some(vocabulary))
    importance[rng.random(vocabulary) < 0.3] = 0
    return HashedTextScorer(
        target=target, scale=Scale(), fields=fields, feature_names=names,
        numbers=names, coded={},
        buckets=2**BITS,
        weighting=NaiveBayesWeights(importance=importance),
        standardiser=Standardiser(mean=some(NUMBERS), deviation=np.abs(some(NUMBERS))),
        pieces=Pieces(edges=np.sort(some(NUMBERS, PIECES + 1), axis=1)),
        categories=Vocabularies(known={"title": ("no", "")}),
        weights=Weights(
            tables=(some(3, WIDTH),), words_KV=some(target.logits, vocabulary),
            hidden_HI=some(HIDDEN, INPUTS),
            hidden_bias_H=some(HIDDEN), output_KH=some(target.logits, HIDDEN),
            output_bias_K=some(target.logits), linear_KI=some(target.logits, INPUTS),
        ),
    )


def plainly(scorer: HashedTextScorer, row: dict[str, str], dense: Floats) -> list[float]:
    """The outputs of one row, written down step by step: those of stored models."""
    with np.errstate(all="ignore"):
        logs = np.copysign(np.log1p(np.abs(dense)), dense)
        logs = (logs - scorer.standardiser.mean) / scorer.standardiser.deviation
    values = [float(min(max(x, np.float32(-5)), np.float32(5))) if np.isfinite(x) else 0.0
              for x in logs]
    passed = []
    for number, edges in zip(dense, scorer.pieces.edges, strict=True):
        for low, high in pairwise(edges):
            beyond = min(max(number, edges[0]), edges[-1]) - low
            share = min(max(beyond, np.float32(0)), high - low) * (np.float32(1) / (high - low))
            passed.append(min(share, np.float32(1)) if np.isfinite(number) else 0)
    known = scorer.categories.known["title"]
    entry = 1 + known.index(row["title"]) if row["title"] in known else 0
    inputs = np.array([*values, *~np.isfinite(logs), *passed, *scorer.weights.tables[0][entry]],
                      np.float32)
    network = scorer.weights
    hidden = np.array([np.vecdot(inputs, unit) for unit in network.hidden_HI])
    active = np.tanh(hidden + network.hidden_bias_H)
    logits = []
    for place, words_V in enumerate(network.words_KV):
        logit = float(np.vecdot(active, network.output_KH[place]) + network.output_bias_K[place]
                      + np.vecdot(inputs, network.linear_KI[place]))
        logits.append(logit + of_texts(scorer, row, words_V))
    return [*scorer.target.link(np.array([logits]), scorer.scale)[0],
            *dense[: len(scorer.target.carries)]]


def of_texts(scorer: HashedTextScorer, row: dict[str, str], words_V: Floats) -> float:
    """What the texts add to a logit."""
    total = 0.0
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
            total += float(np.float32(scaled) * words_V[bucket])
    return total


@pytest.mark.parametrize(
    "fields", [(), (WORDS,), (BYTES,), (WORDS, BYTES, TITLE)],
    ids=lambda fields: " and ".join(field.unit for field in fields) or "no text",
)
@pytest.mark.parametrize("target", [target for target, _ in TARGETS], ids=lambda each: each.name)
@given(data=st.data())
def test_a_row_gets_what_is_written_down_alone_and_among_others(
    fields: tuple[Text, ...], target: Target, data: st.DataObject
) -> None:
    """To the bit: nothing that makes scoring quick may change an output."""
    scorer = scorer_of(fields, target)
    rows = data.draw(st.lists(st.fixed_dictionaries({"note": texts, "title": texts}), max_size=6))
    dense = data.draw(hnp.arrays(np.float32, (len(rows), NUMBERS), elements=numbers))
    given = {name: [row[name] for row in rows] for name in ("note", "title")}
    outputs = scorer.outputs(given, dense)
    assert outputs.shape == (len(rows), len(target.outputs))
    for place, row in enumerate(rows):
        alone = scorer.outputs({name: [text] for name, text in row.items()}, dense[place, None])
        for other in (alone[0], plainly(scorer, row, dense[place])):
            np.testing.assert_array_equal(outputs[place], other)
