"""Views, sequences of events and questions for property tests of the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from ml_assets.features.engine.functions import FUNCTIONS, Function
from ml_assets.features.engine.windows import Aggregate, WindowedView
from tests.features.engine.reference import ARGUMENTS, Record, Value

MINUTE = 60_000_000
HOUR, DAY = 60 * MINUTE, 24 * 60 * MINUTE

SMALL = ((10, 10), (30, 10), (60, 20), (100, 50), (7, 7), (40, 5))
"""(window, slide) in microseconds, so small that boundaries are everywhere."""

REALISTIC = (
    (HOUR, 5 * MINUTE), (DAY, HOUR), (7 * DAY, DAY), (30 * DAY, DAY), (10 * MINUTE, 10 * MINUTE),
)

NUMBERS, TEXTS, CODED = ("amount", "pages", "paid"), ("shop",), ("city",)
"""`CODED` holds texts that are read as their codes."""

ORIGINS = (0, -1_000_000, 1_700_000_000_000_000)


@dataclass(frozen=True)
class Question:
    """Whose features, and as of when. `as_of` is as a reader gives it: `view.as_of` maps it."""

    entity: int
    as_of: int
    head: int | None = None


def functions(names: Sequence[str]) -> st.SearchStrategy[Function]:
    return st.sampled_from([
        FUNCTIONS[name](arguments) for name in names for arguments in ARGUMENTS.get(name, [()])
    ])


@st.composite
def aggregates(
    draw: st.DrawFn, spans: Sequence[tuple[int, int]], number: int, names: Sequence[str]
) -> Aggregate:
    function = draw(functions(names))
    columns = {
        "number": (*NUMBERS, *CODED) if function.takes_codes else NUMBERS,
        "hash": (*TEXTS, "pages", "paid"), "rows": ("", *NUMBERS, *TEXTS),
    }
    window, slide = draw(st.sampled_from(spans))
    return Aggregate(
        name=f"{function.name}{number}", function=function, window=window, slide=slide,
        column=draw(st.sampled_from(columns[function.reads])),
    )


@st.composite
def views(draw: st.DrawFn, names: Sequence[str] = ()) -> WindowedView:
    """Some aggregates over one to three spans; by these functions, or by any."""
    known = draw(st.sampled_from((SMALL, REALISTIC)))
    spans = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True))
    count = draw(st.integers(1, 8))
    return WindowedView(
        name="shopping", keys=("customer",), timestamp="known_at",
        aggregates=tuple(
            draw(aggregates(spans, number, names or list(FUNCTIONS))) for number in range(count)
        ),
        refresh=draw(st.sampled_from(("stream", "slide"))),
        lateness=draw(st.sampled_from((0, spans[0][1], 3 * spans[0][0]))),
    )


def instants(view: WindowedView) -> st.SearchStrategy[int]:
    """Around boundaries of tiles and windows, anywhere, and after long silence."""
    tiles = st.builds(
        lambda tile, off: tile * view.tile + off,
        st.integers(-3, 2 * view.horizon // view.tile), st.sampled_from((-1, 0, 0, 1)),
    )
    anywhere = st.integers(0, 2 * view.horizon)
    silence = st.integers(0, 3).map(lambda times: 20 * times * view.horizon)
    return st.one_of(tiles, anywhere, silence)


def values() -> st.SearchStrategy[dict[str, Value]]:
    amounts: st.SearchStrategy[Value] = st.one_of(
        st.sampled_from((
            0.0, 0.1, -0.1, 1.0, 2.5, 1e9, -1e9, 1e-12, 123456.789, 2.0**35,
            None, float("nan"), float("inf"), float("-inf"),
        )),
        st.floats(-1e6, 1e6, allow_subnormal=False),
    )
    return st.fixed_dictionaries({
        "amount": amounts,
        "pages": st.one_of(st.none(), st.integers(-3, 12)),
        "paid": st.one_of(st.none(), st.booleans()),
        "city": st.one_of(st.none(), st.sampled_from(("Aachen", "Bonn", "", "Köln"))),
        "shop": st.one_of(st.none(), st.sampled_from(("a", "b", "Zürich", "12", "true", " "))),
    })


@st.composite
def histories(
    draw: st.DrawFn, view: WindowedView, *, max_size: int = 25, conflicting: bool = False
) -> list[Record]:
    """Records of up to three entities and of nobody, in the order of arrival.

    Some have the same instant, some arrive late, some twice. conflicting: one that comes
    again may say something else, so that the first to arrive matters.
    """
    origin = draw(st.sampled_from(ORIGINS)) // view.tile * view.tile
    when = instants(view).map(lambda offset: origin + offset)
    size = draw(st.integers(0, max_size))
    few = st.sampled_from(draw(st.lists(when, min_size=1, max_size=3)))
    at = draw(st.sampled_from((when, few, st.one_of(when, few))))
    records = [
        Record(
            entity=draw(st.sampled_from((0, 0, 0, 1, 2, -1))), at=draw(at), id=f"e{place}",
            arrived=place, values=draw(values()),
        )
        for place in range(size)
    ]
    if draw(st.booleans()):
        records.sort(key=lambda each: each.at)
    if records:
        for each in draw(st.lists(st.sampled_from(records), max_size=4)):
            if conflicting:
                # Perhaps also another entity's, who may have used the same id.
                entity = draw(st.sampled_from((each.entity, each.entity, 0, 1)))
                each = replace(each, entity=entity, at=draw(when), values=draw(values()))
            records.insert(draw(st.integers(0, len(records))), each)
    return [replace(each, arrived=place) for place, each in enumerate(records)]


@st.composite
def questions(
    draw: st.DrawFn, view: WindowedView, records: Sequence[Record], *, heads: bool = True
) -> Question:
    """At and around the records, and where they fall out of a window; some with a head."""
    spans = [0, 0, 0, *(window for window, _ in view.spans)]
    nearby = (-1, 0, 1, 1, view.tile, view.horizon // 2)
    known = records or [Record(entity=0, at=0, id="", arrived=0, values={})]
    record = draw(st.sampled_from(known))

    def instant() -> int:
        return record.at + draw(st.sampled_from(spans)) + draw(st.sampled_from(nearby))

    as_of = instant()
    head = None
    if heads and draw(st.booleans()):
        head = min(instant(), view.as_of(as_of))
    others = (0, 1, 2, 7, -1)
    entity = record.entity if draw(st.integers(0, 3)) else draw(st.sampled_from(others))
    return Question(entity, as_of, head)


@st.composite
def cases(
    draw: st.DrawFn, *, names: Sequence[str] = (), max_size: int = 25, conflicting: bool = False,
    heads: bool = True,
) -> tuple[WindowedView, list[Record], list[Question]]:
    """A view, what happened, and what is asked."""
    view = draw(views(names))
    records = draw(histories(view, max_size=max_size, conflicting=conflicting))
    asked = draw(st.lists(questions(view, records, heads=heads), max_size=12))
    return view, records, asked
