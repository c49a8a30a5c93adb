"""A network of your own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from ml_assets.core.declaration import declaration
from ml_assets.core.model.network import Network
from ml_assets.core.policies import require

PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@declaration
class Torch(Network):
    """A plain `torch.nn.Module`, `Torch("systems.churn.network:ChurnNet", {"hidden": 32})`.

    It is imported only to be trained. Its `forward` names the tensors that it reads and returns
    the logits: docs/models.md says which there are.

    path: module and class; arguments: of its `__init__`, JSON values
    """

    path: str = field(kw_only=False)
    arguments: Mapping[str, Any] = field(default_factory=dict, kw_only=False, hash=False)

    def __post_init__(self) -> None:
        require(PATH.fullmatch(self.path) is not None, self, "path", self.path,
                "module:class, as in 'systems.churn.network:ChurnNet'")
