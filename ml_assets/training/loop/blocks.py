"""Encoded rows, a block of them at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
AT_ONCE = 2**13
"""Rows that are copied together in shuffled order: many enough that Python costs nothing, few
enough to stay in the processor's cache."""


@dataclass(frozen=True, kw_only=True)
class RowBlock:
    """N encoded rows.

    inputs: what the network is called with, by name, (N, ...) each
    wanted: (N,) what the loss compares the logits with: float32, or int64 for one of K logits
    weights: (N,) float32, how much each row counts; None for 1 each
    """

    inputs: Mapping[str, Array]
    wanted: Array
    weights: Array | None = None

    def __post_init__(self) -> None:
        weights = {} if self.weights is None else {"weights": self.weights}
        for name, values in {**self.inputs, **weights}.items():
            if len(values) != len(self):
                raise ValueError(f"a block has {len(self)} rows wanted, but {len(values)} of "
                                 f"{name!r}; expected as many")

    def __len__(self) -> int:
        return len(self.wanted)

    def take(self, rows: slice | npt.NDArray[np.int64]) -> RowBlock:
        """Some of the rows: a view for a slice, a copy for indices."""
        return RowBlock(
            inputs={name: values[rows] for name, values in self.inputs.items()},
            wanted=self.wanted[rows],
            weights=None if self.weights is None else self.weights[rows],
        )

    @property
    def weight(self) -> float:
        """How much all rows count together."""
        return float(len(self) if self.weights is None else self.weights.sum(dtype=np.float64))


class BlockSource(Protocol):
    """Where the rows of a training, or of its validation, come from.

    It is called once per epoch. The same epoch and seed give the same rows in the same order,
    whatever was called before: a training that resumes calls it again. It must be picklable to
    train on several devices.
    """

    @property
    def rows(self) -> int:
        """How many there are in an epoch."""
        ...

    def __call__(self, epoch: int, seed: int) -> Iterator[RowBlock]:
        """The rows in the order in which the network sees them, in blocks of any size."""
        ...


@dataclass(frozen=True, kw_only=True)
class InMemory:
    """A source of rows that are all in memory. shuffle: whether each epoch has its own order."""

    block: RowBlock
    shuffle: bool = True

    @property
    def rows(self) -> int:
        return len(self.block)

    def __call__(self, epoch: int, seed: int) -> Iterator[RowBlock]:
        return shuffled(self.block, order_of(epoch, seed)) if self.shuffle else iter([self.block])


def order_of(epoch: int, seed: int) -> np.random.Generator:
    """The random numbers that put an epoch's rows in order."""
    return np.random.Generator(np.random.PCG64([seed, epoch]))


def shuffled(block: RowBlock, random: np.random.Generator) -> Iterator[RowBlock]:
    """Its rows in random order, `AT_ONCE` at a time."""
    order = random.permutation(len(block))
    for start in range(0, len(block), AT_ONCE):
        yield block.take(order[start:start + AT_ONCE])


def batches(blocks: Iterable[RowBlock], size: int) -> Iterator[RowBlock]:
    """The same rows in blocks of `size`; the last has what is left."""
    waiting, lacking = list[RowBlock](), size
    for block in blocks:
        start = 0
        while len(block) - start >= lacking:
            waiting.append(block.take(slice(start, start + lacking)))
            yield joined(waiting)
            start += lacking
            waiting, lacking = [], size
        if start < len(block):
            waiting.append(block.take(slice(start, None)))
            lacking -= len(block) - start
    if waiting:
        yield joined(waiting)


def joined(blocks: Sequence[RowBlock]) -> RowBlock:
    """The rows of one or more blocks of the same inputs; itself if it is one."""
    if len(blocks) == 1:
        return blocks[0]
    weighted = any(block.weights is not None for block in blocks)
    return RowBlock(
        inputs={name: np.concatenate([block.inputs[name] for block in blocks])
                for name in blocks[0].inputs},
        wanted=np.concatenate([block.wanted for block in blocks]),
        weights=np.concatenate([
            np.ones(len(block), np.float32) if block.weights is None else block.weights
            for block in blocks
        ]) if weighted else None,
    )
