"""Which systems read feature views of which others, and what both must agree on."""

from __future__ import annotations

from collections.abc import Mapping

from ml_assets.core.data.columns import Column
from ml_assets.core.errors import DeclarationError, MlAssetsError
from ml_assets.core.project import SYSTEMS, all_systems, systems_in
from ml_assets.core.system import System
from ml_assets.features.service import Service, TableView, View, columns_of

TEXTS = {"text", "category"}
"""Types of columns whose values name the same entity if they are spelt the same."""


def lenders(service: Service, system: str) -> tuple[str, ...]:
    """The other systems whose feature views a system's service reads, by name."""
    names = dict.fromkeys(part.view.system for part in service.parts)
    return tuple(name for name in names if name != system)


def readers(services: Mapping[str, Service], name: str) -> tuple[System, ...]:
    """The other systems whose services read feature views of the system `name`."""
    return tuple(
        each for each in all_systems()
        if each.name != name and each.feature_service in services
        and name in lenders(services[each.feature_service], each.name))


def borrowed(services: Mapping[str, Service], system: System) -> tuple[View | TableView, ...]:
    """The views of a system that other systems' services read."""
    found = {part.view.name: part.view for each in readers(services, system.name)
             for part in services[each.feature_service].parts if part.view.system == system.name}
    return tuple(found.values())


def lent(services: Mapping[str, Service], system: System) -> tuple[View | TableView, ...]:
    """Those that its own service does not read.

    They count its events all the same: whatever the system accepts, each of its views must be
    able to count.
    """
    own = services.get(system.feature_service)
    mine = {part.view.name for part in own.parts} if own is not None else set()
    return tuple(view for view in borrowed(services, system) if view.name not in mine)


def owners_of(
    services: Mapping[str, Service], service: Service, system: System
) -> dict[str, System]:
    """The systems whose views a service of `system` reads, by name, itself included.

    Raises DeclarationError if another is not there, is live later than `system`, reads views of
    `system` itself, or knows entities by other keys.
    """
    owners = {system.name: system}
    for name in lenders(service, system.name):
        view = next(part.view for part in service.parts if part.view.system == name)
        said = f"system {system.name!r} reads the feature view {view.name!r} of {name!r}"
        try:
            owner = owners[name] = systems_in(SYSTEMS)(name)
        except MlAssetsError as error:
            raise DeclarationError(f"{said}: {error}") from None
        if owner.calendar.go_live > system.calendar.go_live:
            raise DeclarationError(
                f"{said}, which goes live on {owner.calendar.go_live}, after {system.name!r} on "
                f"{system.calendar.go_live}: its past would be counted before it has happened. "
                f"Let {system.name!r} go live on that day or later")
        if system.name in _all_lenders(services, owner):
            raise DeclarationError(
                f"{said}, which reads views of {system.name!r}: neither could close a day before "
                "the other. Let one of them alone read the other's")
    for part in service.parts:
        _require_keys(system, owners[part.view.system], part.view)
    return owners


def _all_lenders(services: Mapping[str, Service], system: System) -> set[str]:
    """The systems whose views one reads, directly or not."""
    reached: set[str] = set()
    waiting = [system]
    while waiting:
        each = waiting.pop()
        service = services.get(each.feature_service)
        for name in lenders(service, each.name) if service is not None else ():
            if name not in reached:
                reached.add(name)
                waiting.append(systems_in(SYSTEMS)(name))
    return reached


def _require_keys(system: System, owner: System, view: View | TableView) -> None:
    """Raise DeclarationError unless `system` knows the entities of another's view by its keys."""
    if owner.name == system.name:
        return
    there, here = columns_of(owner, view.table), {each.name: each for each in system.columns}
    for key in view.keys:
        said = f"feature view {view.name!r} of {owner.name!r} is read by {key!r}"
        if key not in here:
            raise DeclarationError(
                f"{said}, which is no column of {system.name!r}; it has {', '.join(here)}")
        if key in there and _kind(there[key]) != _kind(here[key]):
            raise DeclarationError(
                f"{said}, which is {_shown(there[key])} there and {_shown(here[key])} of "
                f"{system.name!r}; declare the same")


def _kind(column: Column) -> tuple[str, bool]:
    return "text" if column.dtype in TEXTS else column.dtype, column.many


def _shown(column: Column) -> str:
    return f"a list of {column.dtype}" if column.many else column.dtype

