"""The laws of the training loop, on two unlike networks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ml_assets.core.errors import NotReady, TrainingFailed
from ml_assets.core.model.minibatch import Minibatch
from ml_assets.core.storage.row_range import RowRange
from ml_assets.training.loop.blocks import InMemory, RowBlock
from ml_assets.training.loop.parquet_rows import ParquetRows
from ml_assets.training.loop.train import train
from tests.training.loop.made_up import (
    AMOUNT,
    YES_OR_NO,
    Delay,
    Numbered,
    a_network,
    delays,
    fitted,
    returned,
    weights,
    write_numbered,
)

QUICK = Minibatch(batch=100, epochs=4, rate=0.02)


class Numbers(torch.nn.Module):
    """Finds out by how much rows of `write_numbered` were made smaller."""

    def __init__(self) -> None:
        super().__init__()
        self.line = torch.nn.Linear(1, 1)

    def forward(self, number: torch.Tensor) -> torch.Tensor:
        wanted: torch.Tensor = self.line(number)
        return wanted


def validation_loss(network: torch.nn.Module) -> float:
    block = returned(400, seed=2)
    with torch.no_grad():
        logits = network(*(torch.from_numpy(each) for each in block.inputs.values()))
        return YES_OR_NO(logits, torch.from_numpy(block.wanted), None).item()


def test_a_yes_or_no_is_learnt() -> None:
    network = a_network()
    history = fitted(network, QUICK)
    assert history.epochs[-1].fitted < history.epochs[0].fitted
    assert validation_loss(network) < 0.5 < validation_loss(a_network().eval())


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_a_quantity_is_learnt_by_the_networks_own_loss(optimiser: str) -> None:
    network = Delay()
    history = train(network, Minibatch(batch=50, epochs=20, rate=0.05, optimiser=optimiser),  # type: ignore[arg-type]
                    InMemory(block=delays(1000)), None, loss=AMOUNT, seed=1)
    assert history.epochs[-1].fitted < 0.1
    assert network.line.weight.detach().numpy() == pytest.approx(np.array([[3, -1]]), abs=0.1)
    assert history.best == 20 and history.ended == "all epochs were taken"


def test_the_same_seed_gives_the_same_weights_to_the_bit() -> None:
    """Also if torch has drawn other numbers before, and outside nothing is drawn."""
    first, second = a_network(), a_network()
    fitted(first, QUICK)
    torch.rand(3)
    before = torch.get_rng_state()
    fitted(second, QUICK)
    assert weights(first) == weights(second)
    assert torch.equal(before, torch.get_rng_state())
    other = a_network()
    fitted(other, QUICK, seed=6)
    assert weights(first) != weights(other)


def test_the_weights_of_the_best_epoch_are_kept() -> None:
    network = a_network(drop=0)
    history = fitted(network, Minibatch(batch=20, epochs=60, rate=0.1, schedule="constant",
                                        patience=4), rows=200)
    assert history.ended == "the validation loss did not fall for 4 epochs"
    assert len(history.epochs) == history.best + 4 < 60
    assert history.losses[history.best - 1] == min(history.losses)
    assert validation_loss(network) == pytest.approx(min(history.losses), rel=1e-5)
    assert not network.training and history.settled
    assert f"kept epoch {history.best}" in history.said


def test_rows_that_count_nothing_teach_nothing() -> None:
    """The second half has wrong labels, and no weight."""
    block = delays(2000)
    spoilt = np.where(np.arange(2000) < 1000, block.wanted, 99).astype(np.float32)
    counting = (np.arange(2000) < 1000).astype(np.float32)

    class Named(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = torch.nn.Linear(2, 1)

        def forward(self, distance: torch.Tensor) -> torch.Tensor:
            minutes: torch.Tensor = self.line(distance)
            return minutes

    plain = Named()
    train(plain, Minibatch(batch=50, epochs=20, rate=0.05),
          InMemory(block=replace(block, wanted=spoilt, weights=counting)), None, loss=AMOUNT,
          seed=1)
    assert plain.line.bias.item() == pytest.approx(1, abs=0.1)


def test_a_gradient_is_clipped() -> None:
    """One step of plain descent moves the weights by rate times clip, however steep it is."""
    network = Delay()
    before = torch.cat([each.detach().clone().reshape(-1) for each in network.parameters()])
    train(network, Minibatch(batch=100, epochs=1, rate=0.1, optimiser="sgd", momentum=0,
                             weight_decay=0, schedule="constant", warmup=0, clip=0.5),
          InMemory(block=delays(100)), None, loss=AMOUNT, seed=1)
    after = torch.cat([each.detach().reshape(-1) for each in network.parameters()])
    assert (after - before).norm().item() == pytest.approx(0.05, rel=1e-4)


def test_progress_is_told_of_each_epochs_end() -> None:
    told: list[tuple[int, int, int, float]] = []
    train(Delay(), Minibatch(batch=30, epochs=3), InMemory(block=delays(100)), None, loss=AMOUNT,
          seed=1, progress=lambda *said: told.append(said))
    assert [(epoch, step, steps) for epoch, step, steps, _ in told if step == steps] == [
        (1, 4, 4), (2, 4, 4), (3, 4, 4)]
    assert all(math.isfinite(loss) for *_, loss in told)


def test_a_loss_that_is_no_number_is_refused_and_says_what_to_do() -> None:
    block = delays(100)
    with pytest.raises(TrainingFailed, match=r"epoch 1 is nan.*smaller rate"):
        train(Delay(), QUICK, InMemory(block=replace(
            block, wanted=np.full(100, np.nan, np.float32))), None, loss=AMOUNT, seed=1)


def test_a_training_that_breaks_later_keeps_its_best_weights() -> None:
    class Breaking:
        rows = 100

        def __call__(self, epoch: int, seed: int) -> Iterator[RowBlock]:
            block = delays(100)
            yield block if epoch < 2 else replace(block, wanted=block.wanted * np.float32("inf"))

    network = Delay()
    history = train(network, QUICK, Breaking(), InMemory(block=delays(50), shuffle=False),
                    loss=AMOUNT, seed=1)
    assert history.ended == "the loss was no finite number" and history.best == 2
    assert all(torch.isfinite(each).all() for each in network.parameters())


def test_a_source_that_does_not_keep_its_word_is_refused() -> None:
    class Fewer:
        rows = 1000

        def __call__(self, epoch: int, seed: int) -> Iterator[RowBlock]:
            yield delays(300)

    with pytest.raises(NotReady, match="says that it has 1000, 10 batches, but epoch 1 had 3"):
        train(Delay(), QUICK, Fewer(), None, loss=AMOUNT, seed=1)


def test_devices_that_are_not_there_are_named() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has what the test asks for")
    with pytest.raises(NotReady, match=r"1 cuda, and torch .* sees 0.*device='auto'"):
        fitted(a_network(), Minibatch(device="cuda"))


def test_a_file_that_fits_in_the_buffer_trains_as_its_rows_in_memory_do(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "rows.parquet", 300, group=70)
    rows = ParquetRows(stored=RowRange(path=path, start=0, stop=300), columns=("number",),
                       encode=Numbered())
    [block] = replace(rows, shuffle=False)(0, 0)
    streamed, held = Numbers(), Numbers()
    held.load_state_dict(streamed.state_dict())
    for network, each in ((streamed, rows), (held, InMemory(block=block))):
        train(network, QUICK, each, None, loss=AMOUNT, seed=1)
    assert weights(streamed) == weights(held)


def test_a_file_that_does_not_fit_is_learnt_from_as_well(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "rows.parquet", 3000, group=50)
    rows = ParquetRows(stored=RowRange.of(path), columns=("number",), encode=Numbered(),
                       buffer=500)
    network = Numbers()
    history = train(network, Minibatch(batch=50, epochs=12, rate=0.05, buffer=500), rows, None,
                    loss=AMOUNT, seed=1)
    assert history.losses[-1] < 0.01 < history.losses[0]
