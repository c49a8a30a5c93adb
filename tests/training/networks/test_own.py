"""What is wrong with a network of one's own is said in words, before anything is trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ml_assets.core.errors import DeclarationError
from ml_assets.core.model import Model, Numbers, SequenceRanker, Torch, TwoTower
from ml_assets.targets import Binary
from ml_assets.training.fit import fit
from tests.training.networks.rows import FEATURES, INPUTS, made

HERE = "tests.training.networks.own"


@pytest.mark.parametrize(("path", "arguments", "says"), [
    ("tests.training.networks.onw:Mixed", {}, "onw cannot be imported: No module named"),
    (f"{HERE}:Mixt", {}, f"Mixt is missing; {HERE} has Mixed, .*Closest: 'Mixed'"),
    (f"{HERE}:NoModule", {}, "NoModule is no nn.Module"),
    (f"{HERE}:OneLayer", {}, r"missing a required argument: 'size'; expected OneLayer\(size"),
    (f"{HERE}:OneLayer", {"size": 1, "depth": 2}, "unexpected keyword argument 'depth'"),
    (f"{HERE}:Unknown", {}, "forward reads 'nubmers', .*Closest: 'numbers'"),
    (f"{HERE}:OneLayer", {"size": 2},
     "does not read 'categories', 'note', 'seen', 'clicks' or 'look', .*it reads numbers"),
])
def test_a_network_that_cannot_be_made_is_refused(
    path: str, arguments: dict[str, Any], says: str
) -> None:
    rows = made(40)
    with pytest.raises(DeclarationError, match=says):
        fit(Model(inputs=INPUTS, network=Torch(path, arguments)), Binary(name="taken"),
            rows.labelled)


def test_logits_of_another_shape_are_refused() -> None:
    rows = made(40)
    declared = Model(inputs=(Numbers("amount"),), without=FEATURES[2:],
                     network=Torch(f"{HERE}:Wide"))
    with pytest.raises(DeclarationError, match=r"gives \(2, 3\) for 2 rows; expected \(2, 1\) or"):
        fit(declared, Binary(name="taken"), rows.labelled)


@pytest.mark.parametrize(("change", "says"), [
    ({"without": ("aeg",)}, "without names 'aeg', which is no feature; .*Closest: 'age'"),
    ({"network": TwoTower(item=("flim",))}, "'flim', which is no input; .*Closest: 'film'"),
    ({"network": TwoTower(item=("film", "visitor", "note", "amount", "age", "kind", "seen",
                                "clicks", "look"))}, "names all inputs"),
    ({"network": SequenceRanker(item="visitor")}, "no input is a sequence of it"),
])
def test_names_that_only_the_feature_service_knows_are_checked_before_training(
    change: dict[str, Any], says: str
) -> None:
    rows = made(40)
    declared = replace(Model(inputs=INPUTS, network=Torch(f"{HERE}:Mixed")), **change)
    with pytest.raises(DeclarationError, match=says):
        fit(declared, Binary(name="taken"), rows.labelled)


def test_a_sequence_that_is_no_list_of_the_service_is_refused() -> None:
    from ml_assets.core.model import Sequence

    rows = made(40)
    inputs = (*INPUTS[:-2], INPUTS[-1], Sequence("click"))
    declared = Model(inputs=inputs, network=Torch(f"{HERE}:Mixed"))
    with pytest.raises(DeclarationError, match=r"its lists: seen, clicks\. Closest: 'clicks'"):
        fit(declared, Binary(name="taken"), rows.labelled)
