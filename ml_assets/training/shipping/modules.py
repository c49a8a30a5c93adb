"""Which modules of this package scoring needs, and which packages those need."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import ml_assets

PACKAGE = "ml_assets"
FOLDER = Path(ml_assets.__file__).parent.parent
SCORING = "ml_assets.training.pyfunc"
"""Loads a model and predicts from rows."""


@dataclass(frozen=True, kw_only=True)
class Needed:
    """Everything that is imported when a module is.

    modules: of this package, sorted; packages: names of others, sorted, those of Python left out
    """

    modules: tuple[str, ...]
    packages: tuple[str, ...]

    def zipped(self) -> bytes:
        """The modules' sources as a file that may lie on `sys.path`; the same for the same ones."""
        buffer = BytesIO()
        with ZipFile(buffer, "w") as archive:
            for module in self.modules:
                path = _source(module)
                name = ZipInfo(path.relative_to(FOLDER).as_posix())  # dated 1980
                archive.writestr(name, path.read_bytes(), compress_type=ZIP_DEFLATED)
        return buffer.getvalue()


def pinned(packages: Iterable[str]) -> tuple[str, ...]:
    """Each with the version that is installed here, as pip wants it.

    Raises PackageNotFoundError if one is not named like its module.
    """
    return tuple(f"{name}=={version(name).partition('+')[0]}" for name in sorted(packages))


@cache
def needed(root: str = SCORING) -> Needed:
    """What importing `root` imports: read from the sources, so nothing is imported.

    Imports inside functions are left out: they are for drawing, which scoring does not do.
    """
    modules, packages, waiting = set[str](), set[str](), [root]
    while waiting:
        module = waiting.pop()
        if module in modules or not _source(module).exists():
            continue  # what a module defines is imported like a module
        modules.add(module)
        for name in _imported(ast.parse(_source(module).read_bytes()).body):
            top = name.partition(".")[0]
            if top == PACKAGE:
                waiting += _with_parents(name)
            elif top not in sys.stdlib_module_names:
                packages.add(top)
    return Needed(modules=tuple(sorted(modules)), packages=tuple(sorted(packages)))


def _source(module: str) -> Path:
    path = FOLDER.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _with_parents(module: str) -> list[str]:
    names = module.split(".")
    return [".".join(names[:count]) for count in range(1, len(names) + 1)]


def _imported(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The full names that these statements import as they run, at any depth but in functions."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from _imported(node.orelse)
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _imported(ast.iter_child_nodes(node))
