"""Turns two costs into a `Measurement` with its goal."""

from __future__ import annotations

from ml_assets.bench import Measurement


def against(
    bench: str, *, ours: float, peer: float, unit: str, times: float, equal: bool | None
) -> Measurement:
    """Ours must cost `times` times less than the peer; below 1 it may cost more.

    Missed too if the results are not equal.
    """
    if times > 1:
        goal = f"{times:g} times less than the peer"
    elif times == 1:
        goal = "no more than the peer"
    else:
        goal = f"at most {1 / times:.3g} times the peer"
    return Measurement(
        bench=bench, ours=ours, peer=peer, unit=unit, ratio=peer / ours, goal=goal,
        met=peer >= times * ours and equal is not False, equal=equal,
    )


def below(
    bench: str, *, ours: float, limit: float, unit: str, equal: bool | None = None
) -> Measurement:
    """An absolute figure that must stay below `limit`, with a correct result."""
    return Measurement(
        bench=bench, ours=ours, peer=None, unit=unit, ratio=None,
        goal=f"below {limit:g} {unit}", met=ours < limit and equal is not False,
        equal=equal,
    )


def told(
    bench: str, *, ours: float, peer: float | None = None, unit: str, equal: bool | None
) -> Measurement:
    """For information: only the results must be equal."""
    return Measurement(
        bench=bench, ours=ours, peer=peer, unit=unit,
        ratio=None if peer is None else peer / ours, goal="none", met=equal is not False,
        equal=equal,
    )
