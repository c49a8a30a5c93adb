"""No room asks which kind of target a system has: else a new kind would be work everywhere."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from ml_assets.core.settings import ROOT
from ml_assets.targets.stored import KINDS

HOUSE = ROOT / "ml_assets"
WRITES_DECLARATIONS = frozenset({"targets", "systems", "projects"})
"""Where kinds are, where systems declare one, and where declarations are written for people."""
NAMES = frozenset(kind.__name__ for kind in KINDS.values())


def rooms() -> Iterator[Path]:
    for path in sorted(HOUSE.rglob("*.py")):
        if path.relative_to(HOUSE).parts[0] not in WRITES_DECLARATIONS:
            yield path


def asks(path: Path) -> Iterator[str]:
    """Each place in a file that names a kind of target, or looks at `target.kind`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ml_assets.targets"):
            yield from (each.name for each in node.names if each.name in NAMES)
        if isinstance(node, ast.Attribute) and node.attr == "kind" and (
            ast.unparse(node.value).endswith("target")
        ):
            yield ast.unparse(node)


def test_no_room_asks_which_kind_of_target_a_system_has() -> None:
    found = {str(path.relative_to(ROOT)): list(asks(path)) for path in rooms()}
    assert not {path: names for path, names in found.items() if names}


def test_a_room_that_asked_would_be_found(tmp_path: Path) -> None:
    """Else the law above would hold of anything."""
    room = tmp_path / "room.py"
    room.write_text("from ml_assets.targets import Binary\nx = system.target.kind == 'binary'\n")
    assert list(asks(room)) == ["Binary", "system.target.kind"]
