"""The latest rows choose how many epochs there are, and are then learnt from like any other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from torch import nn

from ml_assets.core.model.minibatch import Minibatch
from ml_assets.training.loop.blocks import InMemory, RowBlock
from ml_assets.training.loop.checkpoints import FILE, discard
from ml_assets.training.loop.history import FitHistory
from ml_assets.training.loop.losses import Loss
from ml_assets.training.loop.refitting import train_again
from ml_assets.training.loop.train import train
from tests.training.loop.made_up import (
    AMOUNT,
    YES_OR_NO,
    Delay,
    a_network,
    delays,
    returned,
    weights,
)
from tests.training.loop.stopping import stopped_after


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """rows: of which the latest 100 choose; the first 260 are five batches, all 360 six"""

    network: Callable[[], nn.Module]
    rows: RowBlock
    loss: Loss
    fit: Minibatch

    def again(self, folder: Path | None = None) -> tuple[dict[str, bytes], FitHistory]:
        network = self.network()
        early, late = self.rows.take(slice(0, 260)), self.rows.take(slice(260, None))
        history = train_again(
            network, self.fit, InMemory(block=early), InMemory(block=late, shuffle=False),
            InMemory(block=self.rows), loss=self.loss, seed=5, folder=folder)
        return weights(network), history

    def at_once(self, epochs: int) -> dict[str, bytes]:
        """Fitted to all rows from the beginning."""
        network = self.network()
        train(network, replace(self.fit, batch=64, epochs=epochs, validation=0),
              InMemory(block=self.rows), None, loss=self.loss, seed=5)
        return weights(network)


def a_delay() -> Delay:
    network = Delay()
    nn.init.zeros_(network.line.weight)
    nn.init.zeros_(network.line.bias)
    return network


TENANTS = (
    Tenant(network=lambda: a_network(drop=0.1), rows=returned(360), loss=YES_OR_NO,
           fit=Minibatch(batch=64, epochs=30, rate=0.05, patience=2, schedule="constant",
                         checkpoint_s=1e-9)),
    Tenant(network=a_delay, rows=delays(360), loss=AMOUNT,
           fit=Minibatch(batch=64, epochs=5, rate=0.1, optimiser="sgd", checkpoint_s=1e-9)),
)
"""A yes or no whose loss rises after some epochs, with dropout; and a quantity that takes all."""
BY_TENANT = pytest.mark.parametrize("tenant", TENANTS, ids=("returned", "delay"))


@BY_TENANT
def test_it_comes_to_what_a_fit_to_all_rows_of_so_many_epochs_does(tenant: Tenant) -> None:
    """To the bit: nothing of the first fit is left but a number."""
    found, history = tenant.again()
    assert history.again is not None and history.again.ended == "all epochs were taken"
    assert len(history.again.epochs) == history.best
    assert history.steps == 5 * len(history.epochs) and history.again.steps == 6 * history.best
    assert found == tenant.at_once(history.best)
    assert f"best was epoch {history.best}" in history.said and "of all rows" in history.said


def test_a_network_that_overfits_takes_fewer_epochs() -> None:
    _, history = TENANTS[0].again()
    assert history.ended == "the validation loss did not fall for 2 epochs"
    assert history.best < 28
    assert TENANTS[0].at_once(history.best) != TENANTS[0].at_once(len(history.epochs))


@BY_TENANT
@pytest.mark.parametrize("share", [0.2, 0.97])
def test_wherever_it_stops_it_comes_to_the_same_weights(
    tenant: Tenant, share: float, tmp_path: Path
) -> None:
    """In the fit that chooses, and in the one that follows; no step that was stored is repeated."""
    whole, history = tenant.again()
    assert history.again is not None
    fatal = int(share * (history.steps + history.again.steps))
    with stopped_after(fatal):
        tenant.again(tmp_path)
    found, resumed = tenant.again(tmp_path)
    assert found == whole
    assert resumed.again is not None
    # The end of the first fit is stored once more, without a step.
    assert fatal - 1 <= resumed.resumed + resumed.again.resumed <= fatal
    assert resumed.epochs == history.epochs and resumed.again.epochs == history.again.epochs
    discard(tmp_path)
    assert not list(tmp_path.rglob(FILE))
