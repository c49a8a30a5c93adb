"""What clients are told: nothing about where things lie on this machine."""

from __future__ import annotations

import re
from pathlib import Path

from ml_assets.core.project import ROOT, project

_SEGMENT = r"""[/\\]+[^\s/\\'"`,;:()<>\[\]{}|]+"""
_PATH = re.compile(
    r"""(?P<quote>['"`])(?:~|[A-Za-z]:)?(?P<quoted>[/\\][^'"`\n]*)(?P=quote)"""
    rf"|(?:\b(?:file|sqlite):(?=/)|(?<![\w.:/\\~-]))(?:~|[A-Za-z]:)?(?:{_SEGMENT}){{2,}}[/\\]*"
)
_OURS = re.compile(r"/(?:v1|docs|openapi\.json|healthz|readyz|metrics)(?:[/?#][^.]*)?")
_hidden: list[str] = []


def hide(*folders: Path) -> None:
    """Know these folders, whatever characters are in their names; for good."""
    _hidden.extend({str(each) for each in folders} - {*_hidden, "/"})
    _hidden.sort(key=len, reverse=True)


def redacted(text: str) -> str:
    """`text`, a message of ours, with each path of this machine cut to its last part.

    Addresses of the API stay. Whoever reads the log of the server finds the whole text there.
    """
    for folder in _hidden:
        text = text.replace(folder, "/-/-")
    return _PATH.sub(_last_part, text)


def _last_part(found: re.Match[str]) -> str:
    path, quote = found["quoted"] or found.group(), found["quote"] or ""
    if _OURS.fullmatch(path):
        return found.group()
    return quote + re.split(r"[/\\]", path.rstrip("/\\"))[-1] + quote


hide(ROOT, Path.home(), project().folder)
