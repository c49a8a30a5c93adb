"""A training may begin with the weights of another."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ml_assets.core.errors import ModelRefused
from ml_assets.training.loop.warm_start import start_from


def grown() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def smaller() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))


def test_a_network_of_the_same_shape_takes_all() -> None:
    ours, theirs = grown(), grown()
    given = {name: value.numpy() for name, value in theirs.state_dict().items()}
    start_from(ours, given)
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value)


def test_another_shape_is_refused_by_name_and_changes_nothing() -> None:
    ours = grown()
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    with pytest.raises(ModelRefused, match=r"'2.weight' is \(1, 4\), \(2, 4\) here"):
        start_from(ours, smaller().state_dict())
    assert all(torch.equal(before[name], value) for name, value in ours.state_dict().items())


def test_what_is_missing_and_what_is_unknown_are_named() -> None:
    given = grown().state_dict()
    given["more"] = given.pop("0.bias")
    with pytest.raises(ModelRefused, match=r"'0.bias' is missing, .*'more' is unknown here"):
        start_from(grown(), given)


def test_rows_that_a_table_has_more_than_before_stay_as_they_were() -> None:
    ours, theirs = nn.Embedding(5, 2), nn.Embedding(3, 2)
    fresh = ours.weight.detach().clone()
    start_from(ours, theirs.state_dict(), grown=((3, 5),))
    assert torch.equal(ours.weight[:3], theirs.weight) and torch.equal(ours.weight[3:], fresh[3:])
    with pytest.raises(ModelRefused, match=r"'weight' is \(3, 2\), \(5, 2\) here"):
        start_from(ours, theirs.state_dict(), grown=((3, 6),))
