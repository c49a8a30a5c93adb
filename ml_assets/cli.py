"""The command `ml-assets`."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import click

from ml_assets import __version__
from ml_assets.audit_cli import audits
from ml_assets.broker_cli import consume, publish, publish_features
from ml_assets.core.errors import DeclarationError, MlAssetsError
from ml_assets.core.installation import opened
from ml_assets.core.profiles.command import cluster
from ml_assets.doctor.alerts import alerts
from ml_assets.doctor_cli import doctor, store
from ml_assets.project_cli import check, init, new
from ml_assets.rollout_cli import rollout
from ml_assets.run_cli import INTERRUPTED, replay, run
from ml_assets.token_cli import token
from ml_assets.tune_cli import tune
from ml_assets.version_cli import report, reproduce

STATE_LIBRARIES = ("sqlite3", "sqlalchemy", "duckdb", "pyarrow", "alembic")
"""They read the files of an installation, so an error of theirs is about a file, not a bug."""


class PlainErrors(click.Group):
    """Shows the project's own errors as one message; anything else is a bug, with its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)  # click would say "Aborted!" and end with 1, as an error does
        except MlAssetsError as error:
            raise click.ClickException(str(error)) from error
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in STATE_LIBRARIES:
                raise
            said = " ".join(str(error).split())[:300]
            raise click.ClickException(
                f"the state of the installation cannot be used: {type(error).__name__}: {said}. "
                "`ml-assets doctor` says which file is damaged and what to do"
            ) from error


@click.group(
    cls=PlainErrors,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__)
def main() -> None:
    """A machine-learning system as a running loop: data, features, model, API, feedback.

    \b
    Start here:
      ml-assets init market    a project for systems of your own; then `ml-assets new -h`
      ml-assets run          replay a system's recorded history through the whole loop
      ml-assets ui           look at the result: Dagster, the API and MLflow
      ml-assets status       where each system stands
      ml-assets rollout -h   which model versions answer, and how to change that
      ml-assets report       write the model card of a version as a web page
      ml-assets reproduce    make a version again from its record, and compare
      ml-assets tune -h      search for better values of a model's declaration
      ml-assets token -h     who may call the API
      ml-assets consume -h   take events in from a message broker; `publish` sends answers to one
      ml-assets doctor       what is damaged under var/, and how to repair it
      ml-assets store -h     count the features of the online store again
      ml-assets cluster      run the servers of the profile `cluster` on this machine

    All state is under var/ (ML_ASSETS_VAR sets another folder); delete it to start afresh.
    """


@main.command()
@click.argument("systems", nargs=-1, metavar="[SYSTEM]...")
@click.option("--host", help="Address to listen on.  [default: ML_ASSETS_HOST or 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="[default: ML_ASSETS_PORT or 8080]")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True,
              help="Number of processes that share the address and all state.")
@click.option("--plain-asgi", is_flag=True,
              help="Serve over uvicorn's own connections: slower, and without limits on clients.")
def serve(
    systems: tuple[str, ...], host: str | None, port: int | None, workers: int, plain_asgi: bool
) -> None:
    """Serve the prediction API of each SYSTEM (all by default) until Ctrl-C.

    \b
      curl localhost:8080/                  what there is
      curl localhost:8080/readyz            which systems can answer, and why others cannot
      curl localhost:8080/readyz/<system>   whether this one can
      http://localhost:8080/docs            every call, to try in a browser
    """
    from ml_assets.serving.server import serve as serve_api
    from ml_assets.systems import BROKEN, SYSTEMS, find

    served = tuple(map(find, dict.fromkeys(systems))) or SYSTEMS
    broken = {} if systems else BROKEN
    for name, reason in broken.items():
        click.echo(f"{name} is not served, its declaration is broken: {reason}", err=True)
    settings = opened()
    settings = replace(
        settings,
        host=settings.host if host is None else host,
        port=settings.port if port is None else port,
    )
    serve_api(settings, served, workers=workers, plain_asgi=plain_asgi,
              broken=broken)


@main.command()
@click.option("--dagster-port", default=3000, show_default=True)
@click.option("--mlflow-port", default=5000, show_default=True)
def ui(dagster_port: int, mlflow_port: int) -> None:
    """Start Dagster with its daemon, the API and MLflow; Ctrl-C stops them all."""
    from ml_assets.services import run_services

    run_services(opened(), dagster_port, mlflow_port)


@main.command()
@click.argument("system", required=False)
def status(system: str | None) -> None:
    """Show where SYSTEM (or each one) stands: clock, days, labels, champion, next retraining."""
    from ml_assets.replay.status import print_status
    from ml_assets.systems import BROKEN, SYSTEMS, find

    settings, failed = opened(), bool(BROKEN) and system is None
    for each in SYSTEMS if system is None else (find(system),):
        try:
            print_status(each, settings)
        except DeclarationError as error:  # of its features; it hides no other system
            click.echo(f"{each.name}: {error}", err=True)
            failed = True
    for name, reason in BROKEN.items() if system is None else ():
        click.echo(f"{name}: its declaration is broken: {reason}", err=True)
    if failed:
        sys.exit(1)


@main.command()
@click.argument("prediction_id")
@click.option("--rows", is_flag=True, help="Show every row behind the features.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with all rows.")
def explain(prediction_id: str, rows: bool, as_json: bool) -> None:
    """Explain why a prediction came out as it did, back to the raw rows.

    The request, the features and the rows behind them, the model and its training set, who put
    it in traffic and why, the feedback and its outcome. Of a slate: all that it showed.
    """
    from ml_assets.replay.explain import print_explanation
    from ml_assets.systems import SYSTEMS

    print_explanation(prediction_id, SYSTEMS, opened(), all_rows=rows,
                      as_json=as_json)


@main.command()
@click.argument("event_id")
@click.option("--system", help="Search this system only.  [default: every system]")
@click.option("--json", "as_json", is_flag=True, help="A JSON list, one object per system.")
def trace(event_id: str, system: str | None, as_json: bool) -> None:
    """Show everything a raw event has touched: the reverse of `explain`.

    Its own prediction and labels, the training sets that hold it and the models trained on
    them, and the predictions for other events whose features counted it.
    """
    from ml_assets.replay.explain import print_trace
    from ml_assets.systems import SYSTEMS, find

    print_trace(event_id, SYSTEMS if system is None else (find(system),),
                opened(), as_json=as_json)


BENCH_OPTIONS = {"serving": ("peers", "runs", "minutes"), "fuzz": ("cases", "seed"),
                 "bulk": ("rows",), "systems": ("systems",), "faults": ("kills", "seed", "minutes")}
"""Options that only some areas of `bench` accept."""


@main.command()
@click.argument("area", type=click.Choice(
    ["start", "features", "serving", "scoring", "ranking", "training", "bulk", "systems",
     "judgement", "intervals", "drift", "fuzz", "faults", "ray", "scaling", "loop", "broker"]))
@click.option("--quick", is_flag=True, help="Small sizes and lower goals: a minute or two.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.option("--peers", help="serving: comma-separated peers, `all` or `none`.  [default: all; "
              "quick: asgi and fastapi, if they are installed]")
@click.option("--runs", help="serving: comma-separated from speed, kills, swaps, restarts, soak.  "
              "[default: all but soak]")
@click.option("--systems", help="systems: comma-separated names.  [default: all that have figures]")
@click.option("--rows", type=click.IntRange(min=10_000), help="bulk: about so many rows alone.")
@click.option("--minutes", type=click.FloatRange(min=0.1), help="serving: length of the soak; "
              "faults: no kill after this time.  [default: 60]")
@click.option("--cases", type=click.IntRange(min=1), help="fuzz: number of cases.  [default: "
              "100,000; quick: 3,000]")
@click.option("--kills", type=click.IntRange(min=1), help="faults: number of kills.  [default: "
              "100; quick: 5]")
@click.option("--seed", type=int, help="fuzz, faults: determines the cases, or the victims.  "
              "[default: 1]")
def bench(area: str, quick: bool, as_json: bool, **options: object) -> None:
    """Measure AREA against its goal or peer.

    \b
      start     CPU seconds and modules that loading the Dagster definitions costs
      features  the feature stores beside Feast's own (full run: a quarter of an hour)
      serving   CPU and latency of a prediction beside other servers; kills, swaps, restarts
      ranking   CPU and latency of a slate, and of another system beside
      training  the training loop beside a bare PyTorch one, and 10 million rows in memory
      bulk      training sets of up to 10 million rows: memory and CPU, beside pandas
      systems   the reference systems' predictions beside published ones and beside peers
      judgement simulated rollouts: how often equal, better and worse models are promoted
      intervals simulated samples: how often the intervals of each metric hold the truth
      drift     simulated reigns: how often a change is heard, and how often none is
      fuzz      hostile requests down both paths into the API: do answers differ, who is harmed?
      faults    kill -9 of every process of the main job (full run: half an hour)
      broker    CPU of an event from NATS and RabbitMQ, beside one that is posted
      ray       windowed features by 1, 2 and 4 workers of a Ray cluster beside this process
      scaling   what an event costs several hosts, and the log's turn beside a simulation of it
      loop      a made-up system's whole loop, from archive to model and 30 replayed days
    """
    from importlib import import_module

    from ml_assets.bench import require_checkout, show, stopped_by_sigterm
    from ml_assets.core.settings import ROOT

    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        areas = [each for each, theirs in BENCH_OPTIONS.items() if name in theirs]
        if area not in areas:
            raise click.UsageError(f"--{name}: for `bench {'` and `bench '.join(areas)}` only")
    require_checkout()
    sys.path.insert(0, str(ROOT))
    measure = import_module(f"benchmarks.{area}").measure
    with stopped_by_sigterm():
        sys.exit(show(measure(quick=quick, **given), as_json=as_json))


main.add_command(init)
main.add_command(new)
main.add_command(check)
main.add_command(run)
main.add_command(replay)
main.add_command(consume)
main.add_command(publish)
main.add_command(publish_features)
main.add_command(tune)
main.add_command(report)
main.add_command(reproduce)
main.add_command(rollout)
main.add_command(audits)
main.add_command(token)
main.add_command(alerts)
main.add_command(doctor)
main.add_command(cluster)
main.add_command(store)


if __name__ == "__main__":
    main()
