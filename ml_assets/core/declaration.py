"""What all declarations share: frozen values whose words are checked on construction."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, Union

from ml_assets.core.errors import DeclarationError

Declared = TypeVar("Declared")


@typing.dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field,))
def declaration(kind: type[Declared]) -> type[Declared]:
    """A frozen, keyword-only dataclass that accepts only the words its annotations list.

    Every field annotated with a `Literal` (plain, optional or in a tuple) is checked before the
    class's own `__post_init__`, because not everybody runs a type checker.
    Raises DeclarationError with the field, its value and the closest words.
    """
    own: Callable[[Any], None] | None = getattr(kind, "__post_init__", None)

    def __post_init__(self: Any) -> None:
        for field, hint in vocabularies(type(self)).items():
            for value, words in _refused(hint, getattr(self, field)):
                raise DeclarationError(
                    f"{type(self).__name__}.{field} is {value!r}; expected {listed(words)}."
                    f"{closest(value, words)}"
                )
        if own is not None:
            own(self)

    kind.__post_init__ = __post_init__  # type: ignore[attr-defined]
    return dataclass(frozen=True, kw_only=True)(kind)


def vocabularies(kind: type[object]) -> dict[str, Any]:
    """The fields of a declaration class that accept listed words only, with their annotations."""
    hints = typing.get_type_hints(kind)
    return {name: hint for name, hint in hints.items()
            if "Literal[" in repr(hint) and typing.get_origin(hint) is not typing.ClassVar}


def closest(value: object, known: Iterable[object]) -> str:
    """` Closest: 'a', 'b'.` with the known words most like `value`; "" if none is."""
    if not isinstance(value, str):
        return ""
    options = sorted(word for word in known if isinstance(word, str))
    alike = difflib.get_close_matches(value, options, n=3, cutoff=0.4)
    return f" Closest: {', '.join(map(repr, alike))}." if alike else ""


def listed(words: Iterable[object]) -> str:
    """`'a', 'b' or 'c'`."""
    *first, last = map(repr, words)
    return f"{', '.join(first)} or {last}" if first else last


def _refused(hint: Any, value: object) -> Iterator[tuple[object, tuple[object, ...]]]:
    """Each word in `value` that `hint` does not list, with the words it lists."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        # Types must match: True is not 1.
        if not any(type(value) is type(word) and value == word for word in arguments):
            yield value, arguments
    elif origin in (Union, types.UnionType):
        found = [list(_refused(each, value)) for each in arguments if each is not type(None)]
        if all(found) and not (value is None and type(None) in arguments):
            yield value, tuple(word for (_, words), *_ in found for word in words)
    elif origin is tuple and isinstance(value, tuple):
        for each in value:
            yield from _refused(arguments[0], each)
