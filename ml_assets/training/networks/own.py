"""A network of the user's own: found, made and tried, with errors that say what to do."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from importlib import import_module

from torch import nn

from ml_assets.core.declaration import closest, listed
from ml_assets.core.errors import DeclarationError
from ml_assets.core.model import Torch
from ml_assets.training.encoding.shapes import Shapes


def own_network(declared: Torch, shapes: Shapes) -> nn.Module:
    """The declared module, made with its arguments; one that has a parameter `inputs` is told the
    `Shapes` of what comes in.

    Raises DeclarationError if there is no such class, if it cannot be made of these arguments, or
    if its `forward` reads other arrays than there are.
    """
    kind = _found(declared.path)
    told = {"inputs": shapes} if "inputs" in _parameters(kind.__init__) else {}
    arguments = {**told, **declared.arguments}
    try:
        inspect.signature(kind).bind(**arguments)
    except TypeError as error:
        raise DeclarationError(
            f"Torch.arguments of {declared.path!r} are {dict(declared.arguments)}: {error}; "
            f"expected {kind.__name__}{inspect.signature(kind)}") from None
    network = kind(**arguments)
    if missing := [name for name in shapes.names if name not in read_by(network, shapes)
                   and name != "missing"]:
        raise DeclarationError(
            f"{declared.path}.forward does not read {listed(missing)}, which the model's inputs "
            f"come in as; it reads {', '.join(read_by(network, shapes)) or 'nothing'}. Add a "
            "parameter for each, or declare fewer inputs")
    return network


def read_by(network: nn.Module, shapes: Shapes) -> tuple[str, ...]:
    """The names of the arrays that a network is called with.

    Raises DeclarationError if it reads others.
    """
    parameters = inspect.signature(network.forward).parameters.values()
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return shapes.names
    wanted = [each.name for each in parameters if each.kind is not each.VAR_POSITIONAL]
    for name in wanted:
        if name not in shapes.names:
            raise DeclarationError(
                f"{type(network).__name__}.forward reads {name!r}, which no input comes in as; "
                f"there are {listed(shapes.names)}.{closest(name, shapes.names)}")
    return tuple(wanted)


def _found(path: str) -> type[nn.Module]:
    module_name, _, name = path.partition(":")
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise DeclarationError(
            f"Torch.path is {path!r}, and {module_name} cannot be imported: {error}. It is looked "
            "for where the system's own package is") from error
    kind = getattr(module, name, None)
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        there = [each for each, value in vars(module).items()
                 if isinstance(value, type) and issubclass(value, nn.Module)
                 and value.__module__ == module_name]
        found = "missing" if kind is None else "no nn.Module"
        raise DeclarationError(
            f"Torch.path is {path!r}, and {name} is {found}; "
            f"{module_name} has {', '.join(there) or 'no torch.nn.Module'}.{closest(name, there)}")
    return kind


def _parameters(function: object) -> Sequence[str]:
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]
