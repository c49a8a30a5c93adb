"""The pages of Dagster and MLflow that `ml-assets ui` starts, behind the API's own checks.

Both were built for networks where everyone is trusted. Dagster's server changes state on a GET, for
any page that asks. So each runs as an app in our own server. `ml_assets.services` starts `python -m
ml_assets.consoles` as a process.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import click

from ml_assets.core.runtime.isolation import Fault, attempt
from ml_assets.core.settings import Settings
from ml_assets.serving.access.hosts import Hosts
from ml_assets.serving.contract.decoding import RequestRefused
from ml_assets.serving.http.console import Guarded, Rule, serve_console
from ml_assets.serving.http.plot_files import WithPlots

log = logging.getLogger(__name__)

REVIVE_SECONDS = 5.0
"""How often to check the process that has loaded the code; a new one takes a few more to start."""
POLL_MS = 2000
"""How often Dagster's pages poll for updates; the value of `dagster dev`."""
STATEMENT_MS, RECYCLE_SECONDS, OVERFLOW = 15_000, 3_600, 20
"""For Dagster's database connections; the values of `dagster-webserver`."""


@click.group()
def main() -> None:
    """Serve the pages of Dagster or MLflow on loopback, under the API's rules."""


@main.command()
@click.option("--port", type=int, required=True)
@click.option("--workspace", type=click.Path(path_type=Path), required=True)
def dagster(port: int, workspace: Path) -> None:
    """Serve Dagster's pages and GraphQL API for the code that WORKSPACE names."""
    import dagster as dg
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster._utils.log import configure_loggers
    from dagster_webserver.app import create_app_from_workspace_process_context
    from dagster_webserver.version import __version__

    from ml_assets.core.assets import PLOTS_PATH

    configure_loggers(log_level="INFO")
    with dg.DagsterInstance.get() as instance:
        instance.optimize_for_webserver(STATEMENT_MS, RECYCLE_SECONDS, OVERFLOW)
        with WorkspaceProcessContext(
            instance, WorkspaceFileTarget([str(workspace)]), version=__version__
        ) as context:
            Thread(target=_keep_loaded, args=(context,), daemon=True).start()
            app = create_app_from_workspace_process_context(
                context, live_data_poll_rate=POLL_MS, lifespan=_lifespan
            )
            settings = Settings.from_environment()
            pages = WithPlots(app, settings.plots, PLOTS_PATH)
            serve_console(guarded(pages, settings, changes_by_post), port)


@main.command()
@click.option("--port", type=int, required=True)
def mlflow(port: int) -> None:
    """Serve MLflow's pages and REST API for this installation's runs and models."""
    from ml_assets.registry.console import mlflow_app

    settings = Settings.from_environment()
    pages = [f"{scheme}://{host}" for host in settings.hosts for scheme in ("http", "https")]
    serve_console(guarded(mlflow_app(settings, pages), settings), port)


def guarded(app: Any, settings: Settings, rule: Rule = lambda scope: None) -> Guarded:
    """The ASGI app `app`, on loopback, answering to this installation's host names."""
    return Guarded(app, Hosts(settings.hosts), rule)


def changes_by_post(scope: Any) -> None:
    """Raise RequestRefused for GraphQL that is not posted as JSON.

    Dagster executes a query or mutation named in the URL of a GET, or of a POST of any other type:
    forms and links of any page can send both.
    """
    if scope["path"].rstrip("/") != "/graphql":
        return
    headers = dict(scope["headers"])
    if scope["method"] == "POST":
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind != b"application/json":
            raise RequestRefused(415, "unsupported_media_type", "post GraphQL as "
                                 "application/json")
    elif scope["method"] != "GET" or b"text/html" not in headers.get(b"accept", b""):
        raise RequestRefused(405, "method_not_allowed", "post GraphQL, as application/json",
                             headers={"allow": "POST"})


def _keep_loaded(context: Any) -> None:
    """Reload the code if the process that had loaded it has died.

    Its parent, `dagster code-server start`, starts another one only on request. Code that fails to
    load is left alone: after fixing it, press "Reload definitions".

    context: Dagster's WorkspaceProcessContext
    """
    while True:
        time.sleep(REVIVE_SECONDS)
        for name in context.code_location_names:
            fault = attempt(_revive, context, name)
            if isinstance(fault, Fault):
                log.error("the code of %s could not be reloaded: %s", name, fault.reason)


def _revive(context: Any, name: str) -> None:
    if _unreachable(context, name):
        context.refresh_code_location(name)  # it may have recovered
    if _unreachable(context, name):
        log.warning("the code of %s is unreachable; reloading it", name)
        context.reload_code_location(name)


def _unreachable(context: Any, name: str) -> bool:
    from dagster._core.errors import DagsterUserCodeUnreachableError

    entry = context.get_current_workspace().code_location_entries[name]
    if entry.code_location is None:
        return "UserCodeUnreachable" in str(entry.load_error)
    try:
        entry.code_location.client.ping("")
    except DagsterUserCodeUnreachableError:
        return True
    return False


@asynccontextmanager
async def _lifespan(app: Any) -> AsyncIterator[None]:
    yield


if __name__ == "__main__":
    main()
