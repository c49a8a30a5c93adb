"""A feature service as the platform computes it: the views that it reads, and what of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from ml_assets.core.codes import CODES
from ml_assets.core.data.columns import Column, Dtype
from ml_assets.core.errors import DeclarationError, unknown
from ml_assets.core.system import System
from ml_assets.core.time import DAY
from ml_assets.features.derived.declared import HAPPENED, Derived
from ml_assets.features.engine.functions.sums import Sum
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.versions import NUMBERS, PlainView

LABELS = "labels"
"""The lake table of labels; any other one holds events of a stream, or rows of a table."""


@dataclass(frozen=True, kw_only=True)
class View:
    """A windowed feature view over a stream that the platform keeps.

    table: the lake table `<system>/<table>` that holds the stream; definition: a hash of all
    that its values depend on.
    """

    name: str
    system: str
    table: str
    windowed: WindowedView
    definition: str

    @property
    def features(self) -> tuple[str, ...]:
        """Its numbers in a row, in order."""
        return self.windowed.columns

    @property
    def keys(self) -> tuple[str, ...]:
        """The event columns that it joins on."""
        return self.windowed.keys


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The part of a view that a service reads: `columns` are numbers, in order."""

    view: View
    columns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TableView:
    """A plain feature view over a table that the platform keeps; see `View`."""

    name: str
    system: str
    table: str
    plain: PlainView
    definition: str

    @property
    def features(self) -> tuple[str, ...]:
        """Those that a vector can hold: numbers, texts by their codes, instants by their age."""
        return tuple(each.name for each in self.plain.columns
                     if each.type in NUMBERS or each.type == "String")

    @property
    def keys(self) -> tuple[str, ...]:
        """The event columns that it joins on."""
        return self.plain.keys


@dataclass(frozen=True, kw_only=True)
class ChosenRows:
    """The part of a view of a table that a service reads: `columns`, in order."""

    view: TableView
    columns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Service:
    """A feature service: the features that a model reads, those of windows before those of tables.

    derived: what functions make of these and of the event
    coded: those of `features` that are codes of texts or ids (`core/codes.py`): categories to a
        model, whose order and distance mean nothing
    """

    name: str
    chosen: tuple[Chosen, ...]
    kept: tuple[ChosenRows, ...] = ()
    derived: tuple[Derived, ...] = ()
    coded: frozenset[str] = frozenset()

    @property
    def parts(self) -> tuple[Chosen | ChosenRows, ...]:
        return (*self.chosen, *self.kept)

    @property
    def views(self) -> tuple[View, ...]:
        """Those with windows."""
        return tuple(part.view for part in self.chosen)

    @property
    def read(self) -> tuple[str, ...]:
        """Those of the features that stores give: n names for `last_n(n)`, else one for each."""
        return tuple(name for part in self.parts for name in part.columns)

    @property
    def features(self) -> tuple[str, ...]:
        """One name for each number of a vector: what is read, then what is derived of it."""
        return (*self.read, *(name for each in self.derived for name in each.gives))

    @property
    def definitions(self) -> Mapping[str, str]:
        """What the values of each view depend on, as a hash, by its name."""
        return {each.view.name: each.view.definition for each in self.parts} | {
            each.view: each.definition for each in self.derived}

    @property
    def lists(self) -> Mapping[str, tuple[str, ...]]:
        """Those features that are lists, each with its names as numbers, newest first."""
        return {
            each.name: each.columns for view in self.views for each in view.windowed.aggregates
            if each.function.is_list and set(each.columns) <= set(self.features)
        }

    @property
    def keys(self) -> tuple[str, ...]:
        """The event columns that a reader must supply."""
        return tuple(dict.fromkeys(key for part in self.parts for key in part.view.keys))


def of_system(
    service: Service, system: System, owners: Mapping[str, System] | None = None
) -> Service:
    """The service of `system`, which knows what its streams and tables hold.

    owners: the systems whose views it reads, by name; only its own unless given

    A text or a category is in a vector as its code. An integer is an id, and its own code, if it is
    called like an entity of the system; else it is a number.

    Raises DeclarationError for ids that are too large to be told apart in a vector, for views of
    labels that move faster than labels are loaded, for columns that a function cannot read, and for
    features of one name.
    """
    owners = owners or {system.name: system}
    _require_names(service)
    for part in service.chosen:
        _require_pace(owners[part.view.system], part.view)
    for derived in service.derived:
        _require_columns(system, service, derived)
    coded = set[str]()
    for part in service.chosen:
        owner = owners[part.view.system]
        columns = columns_of(owner, part.view.table)
        read = [(each.columns, columns[each.column]) for each in part.view.windowed.aggregates
                if each.function.takes_codes and each.column in columns]
        coded.update(*(names for names, column in read if _is_code(owner, part, column)))
    for rows in service.kept:
        owner = owners[rows.view.system]
        columns = columns_of(owner, rows.view.table)
        coded.update(name for name in rows.columns
                     if name in columns and _is_code(owner, rows, columns[name]))
    return replace(service, coded=frozenset(coded.intersection(service.features)))


def _require_names(service: Service) -> None:
    seen: dict[str, str] = {}
    for view, names in ((part.view.name, part.columns) for part in service.parts):
        for name in names:
            if seen.setdefault(name, view) != view:
                raise DeclarationError(
                    f"feature service {service.name!r}: feature {name!r} is in {seen[name]!r} and "
                    f"in {view!r}; a vector has each name once. Choose the features of one of "
                    "them: view[[...]]")


def columns_of(system: System, table: str) -> Mapping[str, Column]:
    """What a lake table of the system holds, by name."""
    if table == LABELS:
        kind: Dtype = "text" if system.target.lake_type == "string" else "number"
        label = Column(name=system.target.name, dtype=kind, description="the label")
        keys = {column.name: column for column in system.columns if column.name in system.keys}
        return {**keys, "label": label}
    columns = {stream.table: stream.columns for stream in system.streams}
    columns |= {each.name: each.columns for each in system.tables}
    return {column.name: column for column in columns.get(table, ())}


def _is_code(system: System, part: Chosen | ChosenRows, column: Column) -> bool:
    if column.dtype in ("text", "category"):
        return True
    if column.dtype != "integer" or column.name not in system.keys:
        return False
    least, most = column.minimum, column.maximum
    if least is None or most is None or least < 0 or most > CODES:
        raise DeclarationError(
            f"feature view {part.view.name!r}: column {column.name!r} holds ids of an entity from "
            f"{'any' if least is None else least} to {'any' if most is None else most}; a vector "
            f"tells those from 0 to {CODES} apart. Declare it with minimum=0 and such a maximum, "
            "or as a text or category"
        )
    return True


def _require_pace(system: System, view: View) -> None:
    """Labels of silence are loaded once a day: training must not count them before. A view that
    adds labels up does not see those that are 0.
    """
    day = DAY // timedelta(microseconds=1)
    windowed = view.windowed
    whole = windowed.refresh == "slide" and windowed.tile % day == 0
    silent = system.truth.declared
    sums = all(isinstance(each.function, Sum) and each.column == "label"
               for each in windowed.aggregates)
    seen_as_nothing = bool(silent) and not any(map(system.target.code, silent))
    slow = whole or (sums and seen_as_nothing)
    if view.table == LABELS and system.truth.silence_speaks and not slow:
        moves = ("at every instant" if windowed.refresh == "stream" else
                 f"every {timedelta(microseconds=windowed.tile)}")
        raise DeclarationError(
            f"feature view {view.name!r} counts labels and moves {moves}, but those that silence "
            f"makes ({system.truth.says}) are loaded once a day: a training set would count what "
            "no prediction has seen. Give its aggregations a slide_interval of whole days"
            f"{', or let it sum labels only' if seen_as_nothing else ''}"
        )


def _require_columns(system: System, service: Service, derived: Derived) -> None:
    owner = f"derived view {derived.view!r}"
    for name in derived.features:
        if name not in service.read:
            raise unknown("feature", name, service.read, f"{owner} reads it; put its view into "
                          f"the feature service {service.name!r} as well")
    known = {column.name: column for column in system.columns}
    for name, dtype in derived.columns:
        if name == HAPPENED:
            continue
        if name not in known:
            raise unknown("column", name, known, f"{owner} reads it of an event")
        if known[name].many or known[name].dtype != dtype:
            lists = "a list" if known[name].many else known[name].dtype
            raise DeclarationError(f"{owner}: column {name!r} is {dtype}; {system.name!r} declares "
                                   f"it as {lists}")
