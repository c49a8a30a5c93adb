"""What every system declares, published for the Feast command line.

    cd feature_repo && feast apply

Feast finds objects by looking at a module's names and skips those it meets only in a list.
"""

from importlib import import_module

from ml_assets.core.settings import ROOT
from ml_assets.features.declaration import check
from ml_assets.systems import SYSTEMS

# Feast makes no folder for its registry.
(ROOT / "var" / "feast").mkdir(parents=True, exist_ok=True)

for _system in SYSTEMS:
    _declared = vars(import_module(f"ml_assets.systems.{_system.name}.features"))
    check(list(_declared.values()))
    globals().update(
        {f"{_system.name}__{name}": value for name, value in _declared.items() if name[0] != "_"}
    )
