"""Which nodes of a manifest are meant, in a small language after dbt's.

| written | means |
|---|---|
| `driver_stats` or `driver_*` | views, services and sources of that name (`*`, `?` match any) |
| `view:NAME`, `service:NAME`, `source:NAME` | the same, of one sort |
| `tag:KEY`, `tag:KEY=VALUE` | what carries that Feast tag |
| `kind:KIND` | one of `KINDS`, such as `stream`, `service` or `loadable` |
| `+TERM`, `TERM+` | and all that it reads, directly or not; and all that reads it |
| `A,B` | what both select |
| `A B` | what either selects |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase

from .errors import FeastDeclarationError, unknown
from .manifest import FeastManifest
from .nodes import DataSource, FeatureService, FeatureView, Node

KINDS = ("plain", "batch", "stream", "on_demand", "label", "source", "service", "loadable")
SORTS: dict[str, type[Node]] = {
    "view": FeatureView, "service": FeatureService, "source": DataSource,
}
Selection = str | Sequence[str] | None
"""Terms; a sequence of them selects what any does, None everything."""


def select_nodes(
    manifest: FeastManifest, select: Selection = None, exclude: Selection = None
) -> tuple[Node, ...]:
    """What `select` selects and `exclude` does not, in the order of the manifest.

    Raises UnknownFeastName where a name, or FeastDeclarationError where another term, selects
    nothing at all: it is then most likely misspelt.
    """
    chosen = {_identity(node) for node in manifest.nodes} if select is None \
        else _union(manifest, select)
    dropped = set() if exclude is None else _union(manifest, exclude)
    return tuple(node for node in manifest.nodes if _identity(node) in chosen - dropped)


def _identity(node: Node) -> tuple[type[Node], str]:
    return type(node), node.name


def _union(manifest: FeastManifest, said: str | Sequence[str]) -> set[tuple[type[Node], str]]:
    terms = said.split() if isinstance(said, str) else [term for each in said
                                                        for term in each.split()]
    if not terms:
        raise FeastDeclarationError("the selection is empty; expected terms, or None for all")
    chosen: set[tuple[type[Node], str]] = set()
    for term in terms:
        factors = [_factor(manifest, factor) for factor in term.split(",")]
        chosen |= set.intersection(*factors)
    return chosen


def _factor(manifest: FeastManifest, factor: str) -> set[tuple[type[Node], str]]:
    atom = factor.removeprefix("+").removesuffix("+")
    matches = _matcher(manifest, atom)
    found = [node for node in manifest.nodes if matches(node)]
    if not found:
        raise FeastDeclarationError(
            f"{atom!r} selects nothing of feature repository {manifest.project!r}"
        )
    chosen = {_identity(node) for node in found}
    if factor.startswith("+"):
        chosen |= _closure(found, lambda node: node.parents)
    if factor.endswith("+"):
        chosen |= _closure(found, lambda node: (
            each for each in manifest.nodes
            if _identity(node) in {_identity(parent) for parent in each.parents}
        ))
    return chosen


def _closure(
    nodes: Iterable[Node], step: Callable[[Node], Iterable[Node]]
) -> set[tuple[type[Node], str]]:
    reached: set[tuple[type[Node], str]] = set()
    waiting = list(nodes)
    while waiting:
        for node in step(waiting.pop()):
            if _identity(node) not in reached:
                reached.add(_identity(node))
                waiting.append(node)
    return reached


def _matcher(manifest: FeastManifest, atom: str) -> Callable[[Node], bool]:
    method, colon, value = atom.partition(":")
    if not colon:
        names = {node.name for node in manifest.nodes}
        return _named("view, service or source", atom, names, Node)
    if method in SORTS:
        sort = SORTS[method]
        names = {node.name for node in manifest.nodes if isinstance(node, sort)}
        return _named(method, value, names, sort)
    if method == "tag":
        key, equals, expected = value.partition("=")
        return lambda node: key in node.tags and (not equals or node.tags[key] == expected)
    if method == "kind" and value in KINDS:
        return lambda node: _is(node, value)
    raise FeastDeclarationError(
        f"cannot read {atom!r} in a selection; expected a name, view:, service: or source: with a "
        f"name, tag:KEY or tag:KEY=VALUE, or kind: with one of {', '.join(KINDS)}"
    )


def _named(kind: str, pattern: str, names: set[str], sort: type[Node]) -> Callable[[Node], bool]:
    if not any(fnmatchcase(name, pattern) for name in names):
        raise unknown(kind, pattern, names)
    return lambda node: isinstance(node, sort) and fnmatchcase(node.name, pattern)


def _is(node: Node, kind: str) -> bool:
    if kind in SORTS:
        return isinstance(node, SORTS[kind])
    if not isinstance(node, FeatureView):
        return False
    return node.loadable if kind == "loadable" else node.kind == kind
