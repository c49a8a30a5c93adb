"""Whether the servers and the folder that hosts share can be used, as this host sees them."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ml_assets.core.errors import LogUnavailable, NotReady, ObjectsUnavailable
from ml_assets.core.objects.bucket import Bucket
from ml_assets.core.profiles.cluster import Cluster
from ml_assets.core.settings import Settings
from ml_assets.core.storage.mounts import current_folder
from ml_assets.core.time import WallClock
from ml_assets.doctor.findings import Finding

SKEW_S = 1.0
"""How far this host's clock may be from the server's: instants in the log are those of hosts."""
SAFE = "current_setting('fsync') = 'on' and current_setting('full_page_writes') = 'on'"
HOLDS = "event log, rollout record, alerts, tokens; MLflow, Dagster, Feast's registry"
REMEDY = ("see that the server runs and that ML_ASSETS_POSTGRES, or postgres in settings.toml, is "
          "its address; until then the API answers 503")


def examine_cluster(settings: Settings) -> Iterator[Finding]:
    """Nothing in the profile `local`."""
    cluster = settings.cluster
    if cluster is None:
        return
    try:
        yield _server(cluster)
    except (LogUnavailable, NotReady) as error:
        yield Finding(what="PostgreSQL", holds=HOLDS, trouble=f"cannot be used: {error}",
                      remedy=REMEDY)
    if cluster.objects:
        yield _objects(settings, Bucket.parse(cluster.objects))
    if cluster.shared is not None:
        usable = os.access(cluster.shared, os.R_OK | os.W_OK | os.X_OK)
        yield Finding(
            what="shared", holds="the folder of lake and model files",
            note=str(cluster.shared) if usable else "",
            trouble=None if usable else f"is {cluster.shared}, which this user cannot write",
            remedy="mount it, or let ML_ASSETS_SHARED name the folder that all hosts mount")


def _objects(settings: Settings, bucket: Bucket) -> Finding:
    """The lake is brought here, whole, because all of it is looked at."""
    what, holds = "objects", "lake, model files, lists of candidates"
    try:
        bucket.require()
        current_folder(settings.lake)
    except (ObjectsUnavailable, NotReady) as error:
        return Finding(what=what, holds=holds, trouble=f"cannot be used: {error}", remedy=(
            "what this host has copies of it still reads; nothing can be written"))
    return Finding(what=what, holds=holds, note=bucket.url)


def _server(cluster: Cluster) -> Finding:
    from ml_assets.core.storage.postgres import session

    place = cluster.event_log
    with session(place) as database:
        version, safe, now = database.execute(
            "select current_setting('server_version'),"
            f" {SAFE},"
            " extract(epoch from clock_timestamp())::double precision").fetchone()
    skew = WallClock().now().timestamp() - now
    if not safe:
        return Finding(
            what="PostgreSQL", holds=HOLDS, remedy="set fsync and full_page_writes to on",
            trouble="may lose what was acknowledged if its machine fails: fsync is off")
    if abs(skew) > SKEW_S:
        return Finding(
            what="PostgreSQL", holds=HOLDS, remedy="synchronise the clocks of both (NTP)",
            trouble=f"has a clock that differs from this host's by {skew:+.1f} s")
    return Finding(what="PostgreSQL", holds=HOLDS, note=f"{version}, {place}")
