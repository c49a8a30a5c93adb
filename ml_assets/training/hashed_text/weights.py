"""The network's weights as numpy arrays, and the network without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml_assets.core.errors import ModelRefused
from ml_assets.training.hashed_text.bags import Block, Floats, sums

WORDS = "words"
HIDDEN, HIDDEN_BIAS = "hidden.weight", "hidden.bias"
OUTPUT, OUTPUT_BIAS = "output.weight", "output.bias"
LINEAR = "linear.weight"
CATEGORIES = "categories"


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What `HashedTextNetwork` learnt: K logits of V text buckets, H hidden units, I inputs.

    tables: for each category column, what each of its values adds to the inputs (values, E);

    words_KV: of texts; hidden_HI, hidden_bias_H: the hidden layer; output_KH, output_bias_K: from
    the hidden units to the logits; linear_KI: from the inputs to the logits. All float32.
    """

    tables: tuple[Floats, ...]
    words_KV: Floats
    hidden_HI: Floats
    hidden_bias_H: Floats
    output_KH: Floats
    output_bias_K: Floats
    linear_KI: Floats

    @classmethod
    def of(
        cls, tensors: Mapping[str, npt.NDArray[np.float32]], *, vocabulary: int, inputs: int,
        hidden: int, logits: int, categories: Sequence[int], width: int,
    ) -> Weights:
        """From the network's tensors by torch's names.

        inputs: all of a row, those of categories included; categories: the sizes of their tables;
        width: what each table adds to the inputs.
        Raises ModelRefused, naming it, if one is missing or has another shape or type.
        """
        tables = [f"{CATEGORIES}.{place}.weight" for place in range(len(categories))]
        shapes: dict[str, tuple[int, ...]] = {
            **{name: (size, width) for name, size in zip(tables, categories, strict=True)},
            WORDS: (logits, vocabulary), HIDDEN: (hidden, inputs), HIDDEN_BIAS: (hidden,),
            OUTPUT: (logits, hidden), OUTPUT_BIAS: (logits,), LINEAR: (logits, inputs),
        }
        for name, shape in shapes.items():
            require(tensors, name, shape)
        if unknown := sorted(set(tensors) - set(shapes)):
            raise ModelRefused(f"tensors {unknown} are unknown; the network has {list(shapes)}")
        return cls(
            tables=tuple(tensors[name] for name in tables), words_KV=tensors[WORDS],
            hidden_HI=tensors[HIDDEN], hidden_bias_H=tensors[HIDDEN_BIAS],
            output_KH=tensors[OUTPUT], output_bias_K=tensors[OUTPUT_BIAS],
            linear_KI=tensors[LINEAR],
        )

    def tensors(self) -> dict[str, npt.NDArray[np.float32]]:
        """By torch's names, in torch's shapes: `of` undone."""
        return {
            **{f"{CATEGORIES}.{place}.weight": table for place, table in enumerate(self.tables)},
            WORDS: self.words_KV, HIDDEN: self.hidden_HI, HIDDEN_BIAS: self.hidden_bias_H,
            OUTPUT: self.output_KH, OUTPUT_BIAS: self.output_bias_K, LINEAR: self.linear_KI,
        }

    @property
    def count(self) -> int:
        """How many numbers were learnt."""
        return sum(tensor.size for tensor in self.tensors().values())

    def of_texts(self, block: Block, weights_N: Floats, *, fields: int) -> npt.NDArray[np.float64]:
        """What the block's bags, thus weighted, add to the logits of their rows, (B, K)."""
        rows = block.owners // fields if fields > 1 else block.owners
        return np.array([sums(weights_N * words_V[block.buckets], rows, block.bags // fields)
                         for words_V in self.words_KV]).T

    def embedded(self, inputs_BN: Floats, codes_BC: npt.NDArray[np.int64]) -> Floats:
        """The inputs (B, I), in one block: N of numbers, then what the tables say of codes."""
        found = [table[codes_B] for table, codes_B in zip(self.tables, codes_BC.T, strict=True)]
        return np.concatenate([inputs_BN, *found], axis=1)

    def of_inputs(self, inputs_BI: Floats) -> npt.NDArray[np.float64]:
        """What standardised inputs, one block in memory, add to the logits of their rows, (B, K).

        `vecdot` makes a call of its own for each pair of vectors. A matrix product shares its
        work out by the number of rows (and of threads), and rounds by how it shared it.
        """
        hidden_BH = np.vecdot(inputs_BI[:, None], self.hidden_HI)
        hidden_BH += self.hidden_bias_H
        deep_BK = np.vecdot(np.tanh(hidden_BH, out=hidden_BH)[:, None], self.output_KH)
        logits_BK = deep_BK + self.output_bias_K + np.vecdot(inputs_BI[:, None], self.linear_KI)
        return np.asarray(logits_BK, dtype=np.float64)


def require(
    tensors: Mapping[str, npt.NDArray[np.float32]], name: str, shape: tuple[int, ...]
) -> npt.NDArray[np.float32]:
    """The tensor of this name. Raises ModelRefused unless it is finite float32 of this shape."""
    tensor = tensors.get(name)
    if tensor is None:
        raise ModelRefused(f"tensor {name!r} is missing; there are {sorted(tensors)}")
    if tensor.shape != shape or tensor.dtype != np.float32:
        raise ModelRefused(
            f"tensor {name!r} is {tensor.dtype} {tensor.shape}; expected float32 {shape}"
        )
    if not np.isfinite(tensor).all():
        raise ModelRefused(f"tensor {name!r} holds {int((~np.isfinite(tensor)).sum())} numbers "
                           "that are not finite; expected none")
    return tensor
