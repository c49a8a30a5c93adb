"""The command `ml-assets tune`: a search for better values of a model's declaration."""

from __future__ import annotations

import click

from ml_assets.core.installation import opened


@click.command()
@click.argument("system")
@click.option("--trials", type=click.IntRange(1), default=20, show_default=True,
              help="How many there are to be in all; a search goes on where it was.")
def tune(system: str, trials: int) -> None:
    """Search for better values of SYSTEM's model, among those that it declares as `search`.

    On its latest training set: each trial fits the model to the earlier training rows and is judged
    on the latest; the holdout is not seen. Changes nothing: prints what to paste into the
    declaration. Stop it whenever you like (Ctrl-C). Needs `pip install 'ml-assets[tune]'`.
    """
    from rich.console import Console
    from rich.progress import Progress

    from ml_assets.features.training_sets.training_set import TrainingSets
    from ml_assets.systems import find
    from ml_assets.training.tuning.assets import FOLDER
    from ml_assets.training.tuning.report import described, line, snippet
    from ml_assets.training.tuning.study import Trial, best_of
    from ml_assets.training.tuning.tune import Search

    settings, declared = opened(), find(system)
    search = Search(system=declared, training_set=TrainingSets(settings, declared).latest(),
                    folder=settings.folder_of(system) / FOLDER)
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("trials", total=trials)

        def tried(trial: Trial) -> None:
            bar.update(task, completed=trial.number + 1)
            bar.console.print(line(trial, trials), soft_wrap=True, highlight=False)

        found = search.go(trials, tried)
        bar.update(task, completed=trials)
    for name, value in described(declared.model, found).items():
        click.echo(f"{name}: {value}")
    click.echo(f"\nTo paste into the model of {system}:")
    click.echo(snippet(declared.model, best_of(found).values))
