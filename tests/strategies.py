"""Hypothesis strategies that several rooms' tests draw from."""

from __future__ import annotations

from hypothesis import strategies as st

from ml_assets.core.errors import RolloutRefused
from ml_assets.registry.changes import changed
from ml_assets.registry.rollout import Canary, Change, Promote, Rollout, Shadow

VERSIONS = st.integers(1, 6)
SHARES = st.sampled_from([0.0, 0.000001, 0.01, 0.05, 0.1, 1 / 3, 0.25, 0.5])


def changes() -> st.SearchStrategy[Change]:
    """A change that one may ask for; many contradict what is in force."""
    return st.one_of(
        st.builds(Promote, version=VERSIONS, alone=st.booleans()),
        st.builds(Canary, version=VERSIONS, share=SHARES, reshuffle=st.booleans()),
        st.builds(Shadow, version=VERSIONS, stop=st.booleans()),
    )


@st.composite
def rollouts(draw: st.DrawFn, most: int = 12) -> Rollout:
    """A state that changes can lead to."""
    state = Rollout(version=draw(VERSIONS))
    for number, change in enumerate(draw(st.lists(changes(), max_size=most))):
        try:
            state = changed(state, change, fresh_salt=f"toy {number}")
        except RolloutRefused:
            continue
    return state
