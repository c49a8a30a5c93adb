"""A training minimises the weighted mean of the rows' losses."""

from __future__ import annotations

import pytest
import torch

from ml_assets.training.loop.losses import MeanLoss, loss_of
from tests.training.loop.made_up import YES_OR_NO, Delay, a_network


@pytest.mark.parametrize(("name", "logits", "wanted"), [
    ("binary_cross_entropy_with_logits", torch.randn(6, 1), torch.tensor([0., 1, 1, 0, 1, 0])),
    ("mse_loss", torch.randn(6), torch.randn(6)),
    ("cross_entropy", torch.randn(6, 3), torch.tensor([0, 2, 1, 1, 0, 2])),
])
def test_a_row_that_counts_twice_is_one_that_occurs_twice(
    name: str, logits: torch.Tensor, wanted: torch.Tensor
) -> None:
    loss, twice = MeanLoss(name), torch.tensor([0, 1, 1, 2, 3, 4, 5])
    weights = torch.tensor([1.0, 2, 1, 1, 1, 1])
    torch.testing.assert_close(loss(logits, wanted, weights),
                               loss(logits[twice], wanted[twice], None))
    torch.testing.assert_close(loss(logits, wanted, torch.ones(6)), loss(logits, wanted, None))


def test_rows_of_which_none_counts_lose_nothing() -> None:
    lost = YES_OR_NO(torch.randn(3, 1, requires_grad=True), torch.ones(3), torch.zeros(3))
    assert lost.item() == 0


def test_a_networks_own_loss_goes_before_the_targets() -> None:
    delay = Delay()
    assert loss_of(delay, YES_OR_NO) == delay.loss
    assert loss_of(a_network(), YES_OR_NO) is YES_OR_NO
