"""A windowed view as a system declares it, which knows itself in Feast's registry again."""

from __future__ import annotations

from typing import Any

from feast import StreamFeatureView


class WindowedFeatureView(StreamFeatureView):
    """A `StreamFeatureView` that equals what the registry made of the same declaration.

    Feast's own is never equal to it: the registry counts the keys among the features, dates the
    sources and orders fields by chance, so `feast plan` reports each view as updated and `feast
    apply` writes it again. Nor would it tell a changed aggregation from an unchanged one. What
    was loaded is no part of a declaration. Feast asks the subclass first.
    """

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StreamFeatureView) and _said_by(self) == _said_by(other)

    # A class that defines `__eq__` loses it.
    __hash__ = StreamFeatureView.__hash__


def _said_by(view: StreamFeatureView) -> Any:
    """What Feast would write of the declaration, in an order of its own."""
    spec = view.to_proto().spec  # type: ignore[no-untyped-call]
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
