"""Each window function that is registered: its plain meaning, offline and online, to the bit."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.features.engine.functions import FUNCTIONS
from tests.features.engine.functions.laws import agree_with_the_reference, agree_with_the_state
from tests.features.engine.reference import ARGUMENTS, MEANINGS
from tests.features.engine.strategies import cases, views


def test_every_function_has_a_plain_meaning_and_arguments_to_try_it_with() -> None:
    assert set(MEANINGS) == set(FUNCTIONS)
    assert {name for name, each in FUNCTIONS.items() if each.parameters} == set(ARGUMENTS)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_history_gives_what_the_plain_reference_says(name: str, data: st.DataObject) -> None:
    agree_with_the_reference(*data.draw(cases(names=[name], conflicting=True)))


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_online_and_offline_agree_for_every_entity_and_instant(
    name: str, data: st.DataObject
) -> None:
    agree_with_the_state(data.draw(views([name])), data)
