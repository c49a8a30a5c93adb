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
    assert start_from(ours, given, matching=False) == ()
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value)


def test_another_shape_is_refused_by_name_and_changes_nothing() -> None:
    ours = grown()
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    with pytest.raises(ModelRefused, match=r"'2.weight' is \(1, 4\), \(2, 4\) here.*matching"):
        start_from(ours, smaller().state_dict(), matching=False)
    assert all(torch.equal(before[name], value) for name, value in ours.state_dict().items())


def test_what_is_missing_and_what_is_unknown_are_named() -> None:
    given = grown().state_dict()
    given["more"] = given.pop("0.bias")
    with pytest.raises(ModelRefused, match=r"'0.bias' is missing, .*'more' is unknown here"):
        start_from(grown(), given, matching=False)


def test_what_fits_is_taken_if_declared() -> None:
    ours, theirs = grown(), smaller()
    own = ours.state_dict()["2.bias"].clone()
    assert start_from(ours, theirs.state_dict(), matching=True) == ("2.weight", "2.bias")
    assert torch.equal(ours.state_dict()["0.weight"], theirs.state_dict()["0.weight"])
    assert torch.equal(ours.state_dict()["2.bias"], own)


def test_nothing_that_fits_is_refused() -> None:
    with pytest.raises(ModelRefused, match="No tensor fits"):
        start_from(grown(), {"0.weight": torch.zeros(9)}, matching=True)
