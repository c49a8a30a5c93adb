"""Describes a Feast repository as JSON: `python -m <package>.describe <repo> [<yaml>]`.

Runs in a process of its own, because importing Feast costs seconds and because Feast reads a
repository by changing the working directory. It stands alone: run as a file it imports nothing
of this package. What two machines would say differently (timestamps, absolute paths, pickled
functions, the order of a set) is left out.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import json
import os
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial, wraps
from pathlib import Path
from typing import Any

DUMMY = "__dummy"
"""The entity with which Feast stands in for none."""
NOT_VALUES = {"meta", "project"}
NAMED_BELOW = {
    "batch_source", "stream_source", "source", "sources", "source_views",
    "user_defined_function", "feature_transformation", "aggregations",
}
"""What `_view` says in its own way."""


def describe(repo: Path, feature_store_yaml: Path) -> dict[str, Any]:
    """What Feast would register of `repo`, every list in the order of names.

    Changes the working directory. Raises whatever the repository raises, and ValueError where
    two objects of one kind share a name and differ.
    """
    import yaml  # type: ignore[import-untyped]
    from feast.repo_operations import parse_repo

    os.chdir(repo)
    # First, lest `definitions` be another; but only now, lest it hide a module from Feast.
    sys.path.insert(0, str(repo))
    config = yaml.safe_load(os.path.expandvars(feature_store_yaml.read_text()))
    contents = parse_repo(repo)
    views: dict[str, list[Any]] = {
        "plain": [each for each in contents.feature_views if not _is_batch(each)],
        "batch": [each for each in contents.feature_views if _is_batch(each)],
        "stream": contents.stream_feature_views,
        "on_demand": contents.on_demand_feature_views,
        "label": contents.label_views,
    }
    requests = [
        source for view in views["on_demand"] for source in view.source_request_sources.values()
    ]
    described = {
        "project": contents.projects[0].name if contents.projects else config["project"],
        "offline_store": _type_of(config.get("offline_store"), "dask"),
        "online_store": _type_of(config.get("online_store"), "sqlite"),
        "data_sources": _by_name("data source", map(_source, [*contents.data_sources, *requests])),
        "entities": _by_name(
            "entity", (_spec(each) for each in contents.entities if each.name != DUMMY)
        ),
        "views": _by_name(
            "view", (_view(kind, each) for kind, found in views.items() for each in found)
        ),
        "feature_services": _by_name("feature service", map(_service, contents.feature_services)),
        "skipped": sorted(_skipped(repo, contents)),
    }
    relative: dict[str, Any] = _relative(described, repo)
    return relative


def _is_batch(view: Any) -> bool:
    from feast.batch_feature_view import BatchFeatureView

    return isinstance(view, BatchFeatureView)


def _type_of(store: Any, default: str) -> str:
    """The `type` of a store in feature_store.yaml, never its address or password."""
    if isinstance(store, dict):
        return str(store.get("type", default))
    return str(store or default)


def _spec(item: Any) -> dict[str, Any]:
    """Feast's own description of an object: its protobuf as JSON."""
    from google.protobuf.json_format import MessageToDict

    message: dict[str, Any] = MessageToDict(item.to_proto(), preserving_proto_field_name=True)
    spec = message.get("spec", message)
    return {name: value for name, value in spec.items() if name not in NOT_VALUES}


def _source(source: Any) -> dict[str, Any]:
    spec = _spec(source)
    spec["data_source_class_type"] = f"{type(source).__module__}.{type(source).__qualname__}"
    if "batch_source" in spec:
        spec["batch_source"] = source.batch_source.name
    return spec


def _view(kind: str, view: Any) -> dict[str, Any]:
    spec = _spec(view)
    transformation = spec.get("feature_transformation", {})
    batch, derived = getattr(view, "batch_source", None), getattr(view, "source_views", None)
    if kind == "on_demand":
        sources = list(view.source_request_sources.values())
        parents = [each.name for each in view.source_feature_view_projections.values()]
        spec["online"] = view.write_to_online_store
    elif kind == "label":
        sources, parents = [getattr(view.source, "batch_source", None), view.source], []
    elif derived:
        # The batch source of a derived view is where it is written to.
        sources, parents = [], [each.name for each in derived]
    else:
        sources, parents = [batch, getattr(view, "stream_source", None)], []
    features = {each["name"]: each for each in spec.get("features", [])}
    return {name: value for name, value in spec.items() if name not in NAMED_BELOW} | {
        "kind": kind,
        "entities": [name for name in spec.get("entities", []) if name != DUMMY],
        # A stream view's protobuf lists its features as a set, with the join keys among them.
        "features": [features[each.name] for each in view.features],
        "sources": list(dict.fromkeys(each.name for each in sources if each is not None)),
        "views": sorted(parents),
        "aggregations": [
            _spec(each) | {"name": _feature_of(each, set(features))}
            for each in getattr(view, "aggregations", None) or ()
        ],
        "udf": _code(view, transformation),
    }


def _feature_of(aggregation: Any, features: set[str]) -> str:
    """The feature that holds an aggregation; without a name Feast has two ways to call it."""
    long = str(aggregation.resolved_name(aggregation.time_window))
    short = str(aggregation.resolved_name())
    return short if short in features and long not in features else long


def _code(view: Any, transformation: dict[str, Any]) -> str:
    """The source of a view's function, without what does not change its values."""
    plan = transformation.get("substrait_transformation", {}).get("substrait_plan", "")
    if plan:
        return str(plan)
    text = transformation.get("user_defined_function", {}).get("body_text", "")
    function = getattr(view, "udf", None)
    if not text and function is not None:
        with contextlib.suppress(OSError, TypeError):
            text = inspect.getsource(function)
    text = textwrap.dedent(text)
    try:
        (node,) = ast.parse(text).body
    except (SyntaxError, ValueError):  # SQL, or a lambda in the middle of an expression
        return text
    if isinstance(node, ast.FunctionDef):
        node.decorator_list = []
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(node)


def _service(service: Any) -> dict[str, Any]:
    spec = _spec(service)
    spec["features"] = [
        {name: value for name, value in part.items() if name not in NAMED_BELOW}
        for part in spec.get("features", [])
    ]
    return spec


def _by_name(kind: str, specs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for spec in specs:
        if found.setdefault(spec["name"], spec) != spec:
            raise ValueError(f"two objects are {kind} {spec['name']!r} and differ; rename one")
    return [found[name] for name in sorted(found)]


def _skipped(repo: Path, contents: Any) -> Iterator[str]:
    """What only a list, tuple, set or dict of a module holds: Feast does not look into them."""
    from feast import Entity, FeatureService
    from feast.base_feature_view import BaseFeatureView
    from feast.repo_operations import get_repo_files, py_path_to_module

    known = {id(each) for field in contents._fields for each in getattr(contents, field)}
    for file in get_repo_files(repo):
        for name, value in vars(sys.modules[py_path_to_module(file)]).items():
            if name.startswith("__") or not isinstance(value, list | tuple | set | dict):
                continue
            for each in value.values() if isinstance(value, dict) else value:
                kept = isinstance(each, Entity | BaseFeatureView | FeatureService)
                if kept and id(each) not in known:
                    yield f"{type(each).__name__} {each.name!r} ({file.relative_to(repo)}: {name})"


def _relative(content: Any, repo: Path) -> Any:
    """`content` with paths in the repository, or beside it, said from its root."""
    if isinstance(content, dict):
        return {name: _relative(value, repo) for name, value in content.items()}
    if isinstance(content, list):
        return [_relative(value, repo) for value in content]
    if isinstance(content, str):
        content = content.replace(f"{repo}{os.sep}", "")
        if repo.parent != repo.parent.parent:
            content = content.replace(f"{repo.parent}{os.sep}", f"..{os.sep}")
    return content


def check_when_called() -> None:
    """Let Feast, if it is imported next, prepare a check of types when it is first needed.

    Each method of Feast's classes checks its arguments, by `typeguard`, which parses and compiles
    its module again: done for all of them this is half of what `import feast` costs, and a
    repository calls few.
    """
    import typeguard

    at_once: Callable[..., Any] = typeguard.typechecked

    def typechecked(target: Any = None, **options: Any) -> Any:
        if target is None:
            return partial(typechecked, **options)
        if not inspect.isclass(target) or "<locals>" in target.__qualname__:
            return at_once(target, **options)
        for name, found in list(vars(target).items()):
            if isinstance(found, (classmethod, staticmethod)):
                setattr(target, name, type(found)(later(target, found.__func__)))
            elif isinstance(found, property):
                getter, setter, deleter = (
                    later(target, way) for way in (found.fget, found.fset, found.fdel))
                setattr(target, name, type(found)(getter, setter, deleter, found.__doc__))
            elif inspect.isfunction(found):
                setattr(target, name, later(target, found))
        return target

    def later(target: type, method: Any) -> Any:
        own = f"{target.__qualname__}."
        if not inspect.isfunction(method) or method.__module__ != target.__module__ \
                or not method.__qualname__.startswith(own) or hasattr(method, "__wrapped__"):
            return method
        checked: list[Callable[..., Any]] = []

        @wraps(method)
        def first(*arguments: Any, **named: Any) -> Any:
            if not checked:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", typeguard.InstrumentationWarning)
                    checked.append(at_once(method))
            return checked[0](*arguments, **named)

        return first

    vars(typeguard)["typechecked"] = typechecked


def import_feast() -> None:
    """Import Feast as quickly as a process needs that only declares.

    Without torch, which Feast imports only to hand out values as tensors: a module of the
    repository that imports it gets it.
    """
    check_when_called()
    torch = sys.modules.get("torch")
    sys.modules.setdefault("torch", None)  # type: ignore[arg-type]
    try:
        import feast  # noqa: F401
    finally:
        if torch is None:
            del sys.modules["torch"]


def main(arguments: list[str]) -> None:
    import_feast()
    repo = Path(arguments[0]).resolve()
    config = Path(arguments[1]).resolve() if arguments[1:] else repo / "feature_store.yaml"
    with contextlib.redirect_stdout(sys.stderr):  # a repository may print
        described = describe(repo, config)
    sys.stdout.write(json.dumps(described, indent=1, sort_keys=True))


if __name__ == "__main__":
    main(sys.argv[1:])
