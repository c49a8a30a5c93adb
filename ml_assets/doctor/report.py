"""Prints the findings for people, and decides the exit status."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table

from ml_assets.core.settings import Settings
from ml_assets.doctor.findings import Finding


def show(settings: Settings, findings: Sequence[Finding], *, as_json: bool) -> int:
    """Print all findings, then each problem again on its own line; return the exit status.

    0: everything is sound; 1: something is damaged
    """
    troubles = [finding for finding in findings if finding.trouble is not None]
    if as_json:
        click.echo(json.dumps({"var": str(settings.var), "sound": not troubles,
                               "findings": [asdict(finding) for finding in findings]}, indent=1))
        return bool(troubles)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=120)
    table = Table(title=str(settings.var), title_style="")
    table.add_column("file", no_wrap=True)
    table.add_column("holds")
    table.add_column("condition")
    for finding in findings:
        table.add_row(finding.what, finding.holds, _condition(finding))
    console.print(table)
    for finding in troubles:
        click.echo(finding.line)
    click.echo(_conclusion(troubles))
    return bool(troubles)


def _condition(finding: Finding) -> str:
    if finding.trouble is None:
        return finding.note or "sound"
    return "[red]damaged[/]: see below" if not finding.mended else "[yellow]can be repaired[/]"


def _conclusion(troubles: Sequence[Finding]) -> str:
    if not troubles:
        return "Everything is sound."
    mended = sum(finding.mended for finding in troubles)
    said = f"{len(troubles)} problem{'' if len(troubles) == 1 else 's'}"
    return f"{said}; `ml-assets doctor --mend` repairs {mended} of them." if mended else f"{said}."
