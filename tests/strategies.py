"""Hypothesis strategies that several rooms' tests draw from."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from ml_assets.core.errors import RolloutRefused
from ml_assets.registry.changes import changed
from ml_assets.registry.rollout import Canary, Change, Promote, Rollout, Shadow, Withdraw

VERSIONS = st.integers(1, 6)
SHARES = st.sampled_from([0.0, 0.000001, 0.01, 0.05, 0.1, 1 / 3, 0.25, 0.5])


def changes() -> st.SearchStrategy[Change]:
    """A change that one may ask for; many contradict what is in force."""
    return st.one_of(
        st.builds(Promote, version=VERSIONS, alone=st.booleans(), watched=st.booleans()),
        st.builds(Withdraw, version=VERSIONS, instead=st.none() | VERSIONS),
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


def almost_json() -> st.SearchStrategy[str]:
    """A JSON text with whatever parsers disagree on; many are none."""
    number = st.one_of(
        st.floats().map(json.dumps),
        st.integers(-(10**400), 10**400).map(str),
        st.from_regex(r"-?[0-9]{1,30}(\.[0-9]{1,50})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
        st.text("0123456789.eE+-", max_size=12),
    )
    piece = st.sampled_from([
        r"\ud83d", r"\ude00", r"\u0000", r"\u00e9", r"\n", r"\/", r"\"", r"\x", "a", "é", "\x7f",
        "\t", "\U0001f600",
    ])
    text = st.lists(piece | st.characters(), max_size=6).map(lambda parts: f'"{"".join(parts)}"')
    space = st.sampled_from(["", "", " ", "\n", "\x0c", "\ufeff", ","])
    name = st.sampled_from(['"a"', '"b"', '""', '"\\u0061"'])
    return st.recursive(
        number | text | st.sampled_from(["true", "false", "null", "nul"]),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda each: f"[{', '.join(each)}]"),
            st.lists(st.tuples(name, inner), max_size=3).map(
                lambda pairs: "{" + ",".join(f"{key}: {value}" for key, value in pairs) + "}"),
            st.tuples(space, inner, space).map("".join),
        ),
        max_leaves=6,
    )
