"""Feature views as a system declares them, which know themselves in Feast's registry again.

Feast's own never equal what the registry made of them once something was loaded, and those of
streams not even before: the registry counts the keys among the features, dates the sources, notes
what was loaded and orders fields by chance. So `feast plan` would report each view as updated and
`feast apply` would write it again. Nor would Feast tell a changed aggregation from an unchanged
one. Of two classes to compare, Python asks the subclass first.
"""

from __future__ import annotations

from abc import ABCMeta
from typing import Any

from feast import FeatureView, StreamFeatureView


class _Feasts(ABCMeta):
    """Of a class that passes for the one of Feast's that it extends.

    Feast's registry knows its classes by `==` (`BaseRegistry.deserialize_registry_values`), and
    what it does not know it overwrites, with the note of what was loaded.
    """

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is cls.__base__

    def __hash__(cls) -> int:
        return hash(cls.__base__)


class WindowedFeatureView(StreamFeatureView, metaclass=_Feasts):
    """A `StreamFeatureView` that equals another with the same declaration."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StreamFeatureView) and _said_by(self) == _said_by(other)

    # A class that defines `__eq__` loses it.
    __hash__ = StreamFeatureView.__hash__


class PlainFeatureView(FeatureView, metaclass=_Feasts):
    """A `FeatureView` that equals another with the same declaration."""

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, FeatureView) and not isinstance(other, StreamFeatureView)
            and _said_by(self) == _said_by(other)
        )

    __hash__ = FeatureView.__hash__


def _said_by(view: FeatureView) -> Any:
    """What Feast would write of the declaration, in an order of its own."""
    spec = view.to_proto().spec
    spec.ClearField("project")
    for source in (spec.batch_source, spec.stream_source, spec.stream_source.batch_source):
        source.ClearField("meta")
        source.ClearField("project")
    keys = {each.name for each in spec.entity_columns}
    fields = [
        sorted((each for each in some if each.name not in left_out), key=lambda each: each.name)
        for some, left_out in ((spec.entity_columns, ()), (spec.features, keys))
    ]
    entities = sorted(spec.entities)
    for name in ("entity_columns", "features", "entities"):
        spec.ClearField(name)
    return spec, fields, entities
