"""Examines every file of an installation without changing any."""

from __future__ import annotations

from collections.abc import Iterator

from ml_assets.core.errors import StateDamaged
from ml_assets.core.installation import require_ours, strangers
from ml_assets.core.settings import Settings
from ml_assets.core.storage.condition import trouble_of
from ml_assets.core.storage.layout import state_in
from ml_assets.core.storage.marker import MARKER, read_marker
from ml_assets.core.storage.modes import open_to_others
from ml_assets.doctor.cluster import examine_cluster
from ml_assets.doctor.findings import Finding
from ml_assets.doctor.lake import examine_lake
from ml_assets.doctor.models import examine_models
from ml_assets.doctor.online_state import examine_online_store

SHOWN = 3


def examine(settings: Settings) -> Iterator[Finding]:
    """Findings for the marker, every file of `core.layout` that exists or existed, every model
    version and lake table, for modes and for foreign files.

    Reads every file completely: a few seconds per GB. Raises InstallationRefused if the folder is
    not an installation.
    """
    require_ours(settings)
    made, marker = _marker(settings)
    yield marker
    yield Finding(what="profile", holds="files of one machine, or servers that hosts share",
                  note=settings.profile)
    yield from examine_cluster(settings)
    for about in state_in(settings.var, made):
        path = settings.var / about.name
        trouble = trouble_of(path, about, made=about.name in made, deep=True)
        if trouble is not None or path.exists():
            yield Finding(what=about.name, holds=about.holds, trouble=trouble,
                          remedy=about.remedy, mended=about.rebuilt)
    online = examine_online_store(settings)
    if online is not None:
        yield online
    yield from examine_models(settings)
    yield from examine_lake(settings.lake)
    yield _modes(settings)
    if foreign := strangers(settings.var, settings.cache):
        names = ", ".join(path.name for path in foreign[:SHOWN])
        more = ", ..." if len(foreign) > SHOWN else ""
        yield Finding(what="more", holds="files that do not belong to an installation",
                      note=f"{names}{more}")


def _marker(settings: Settings) -> tuple[tuple[str, ...], Finding]:
    """The files that were created, and the finding for the marker."""
    holds = "marks this folder as an installation"
    try:
        marker = read_marker(settings.var)
    except StateDamaged as error:
        return (), Finding(what=MARKER, holds=holds, trouble=f"cannot be used: {error}",
                           remedy="see there", mended="--mend" in str(error))
    if marker is None:
        return (), Finding(
            what=MARKER, holds=holds, trouble="is missing, as in every earlier version",
            remedy="`ml-assets doctor --mend`, or any other command, writes it", mended=True)
    return marker.files, Finding(what=MARKER, holds=holds)


def _modes(settings: Settings) -> Finding:
    found = list(open_to_others(settings.var, deep=False))
    holds = "others on this machine cannot read it"
    if not found:
        return Finding(what="modes", holds=holds)
    names = ", ".join(path.relative_to(settings.var.parent).as_posix() for path in found[:SHOWN])
    return Finding(
        what="modes", holds=holds, mended=True,
        trouble=f"is not true of {len(found)} files or folders ({names})",
        remedy="`ml-assets doctor --mend` closes them; other users' files stay open",
    )
