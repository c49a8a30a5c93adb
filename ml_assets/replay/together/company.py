"""Which systems are replayed together: one reads what others know of the same days."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ml_assets.core.errors import NotReady
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.features.manifest import load_manifest
from ml_assets.features.service import LABELS
from ml_assets.ingest.lake import Lake

EVENTS = "events"


@dataclass(frozen=True, kw_only=True)
class Member:
    """A system in a replay.

    named: whether somebody asked for it; if not, others that read its views need it
    asks: whether it answers. One that nobody named need not, if what it is told, or keeps in
        tables, is all that others read
    lenders: the systems whose views it reads
    """

    system: System
    named: bool
    asks: bool
    lenders: tuple[System, ...]


def companies(settings: Settings, systems: Sequence[System]) -> list[list[System]]:
    """The systems in groups: in one group are those that read each other's views, directly or
    through others.
    """
    groups: list[tuple[list[System], set[str]]] = []
    for system in systems:
        names = {each.name for each in _with_lenders(settings, [system])}
        joined = [group for group in groups if not group[1].isdisjoint(names)]
        groups = [group for group in groups if group not in joined]
        groups.append(([each for group, _ in joined for each in group] + [system],
                       names.union(*(known for _, known in joined))))
    return [group for group, _ in groups]


def members(settings: Settings, named: Sequence[System]) -> list[Member]:
    """Those systems, and those whose views they read; lenders before readers."""
    manifest = load_manifest(settings)
    found = _with_lenders(settings, named)
    wanted = {each.name for each in named}
    feeding = {part.view.system for each in found for part in manifest.service(each).parts
               if part.view.system != each.name and part.view.table in (EVENTS, LABELS)}
    return [Member(system=each, named=each.name in wanted,
                   asks=each.name in wanted or each.name in feeding,
                   lenders=manifest.lenders(each)) for each in found]


def require_alone(settings: Settings, system: System, forgotten: Iterable[str]) -> None:
    """Raise NotReady if another system, that is not forgotten too, has seen views of this one.

    Its features could not be computed from history any more.
    """
    names = set(forgotten)
    for reader in load_manifest(settings).readers(system.name):
        if reader.name not in names and Lake(settings.lake).days(reader.name, "events"):
            raise NotReady(
                f"{reader.name!r} reads feature views of {system.name!r} and has seen what would "
                f"be forgotten. Forget both: `ml-assets run {system.name} {reader.name} --fresh`")


def _with_lenders(settings: Settings, systems: Sequence[System]) -> list[System]:
    manifest = load_manifest(settings)
    found: dict[str, System] = {}

    def visit(system: System) -> None:
        for lender in manifest.lenders(system):
            visit(lender)
        found.setdefault(system.name, system)

    for system in systems:
        visit(system)
    return list(found.values())
