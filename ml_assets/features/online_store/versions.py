"""Plain feature views online: the two latest versions of each entity's row, packed.

    version | version before

Ahead of them are those versions whose instant has yet to come, newest first: each is kept until
its time, so that no forecast evicts the present.

A version is `at`, `created` (both i8, microseconds since 1970 UTC), the size of its payload
(u4) and the payload:

    nulls | numbers | texts

nulls: one bit for each field, set where it is null; numbers: the fields of fixed size, in order;
texts: all others, each with its size (u4) before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from struct import Struct
from typing import Any

import numpy as np
import numpy.typing as npt

from ml_assets.core.errors import DeclarationError

VERSION = Struct("<qqI")
SIZE = Struct("<I")

NO_CREATED = -(2**62)
"""Stands for a row that does not say when it was created: any other is later."""

NUMBERS = {
    "Float32": "<f4", "Float64": "<f8", "Int32": "<i4", "Int64": "<i8", "Bool": "?",
    "UnixTimestamp": "<i8",
}
"""Feast's types of fixed size, as they are packed. `UnixTimestamp` is in seconds, as in Feast."""
_CODES = {"<f4": "f", "<f8": "d", "<i4": "i", "<i8": "q", "?": "?"}


@dataclass(frozen=True)
class Column:
    """One feature: its name and Feast's name of its type, such as `Float32`."""

    name: str
    type: str


@dataclass(frozen=True, kw_only=True)
class PlainView:
    """What the online store knows of a feature view without aggregations.

    keys: the join keys, in the order of the view; ttl: microseconds, 0 for none
    """

    name: str
    keys: tuple[str, ...]
    columns: tuple[Column, ...]
    ttl: int = 0

    @cached_property
    def numbers(self) -> tuple[Column, ...]:
        return tuple(each for each in self.columns if each.type in NUMBERS)

    @cached_property
    def texts(self) -> tuple[Column, ...]:
        return tuple(each for each in self.columns if each.type not in NUMBERS)

    @cached_property
    def packed(self) -> np.dtype[Any]:
        """nulls and numbers of a payload. The nulls are those of numbers, then of texts."""
        return np.dtype([
            ("nulls", "u1", ((len(self.columns) + 7) // 8,)),
            *((f"n{place}", NUMBERS[each.type]) for place, each in enumerate(self.numbers)),
        ])

    @cached_property
    def packed_struct(self) -> Struct:
        """`packed` for one payload: the nulls as bytes, then the numbers."""
        codes = "".join(_CODES[NUMBERS[each.type]] for each in self.numbers)
        return Struct(f"<{(len(self.columns) + 7) // 8}s{codes}")

    def number_indexes(self, names: Sequence[str]) -> list[int]:
        """The index of each in `numbers`. Raises DeclarationError for one that is not a number."""
        known = {each.name: index for index, each in enumerate(self.numbers)}
        for name in names:
            if name not in known:
                kind = {each.name: each.type for each in self.columns}.get(name, "missing")
                raise DeclarationError(
                    f"feature {name!r} of view {self.name!r} is {kind}; a model reads numbers: "
                    f"{', '.join(NUMBERS)}"
                )
        return [known[name] for name in names]


def version_of(at: int, created: int, payload: bytes) -> bytes:
    return VERSION.pack(at, created, len(payload)) + payload


def versions_of(blob: bytes) -> list[tuple[int, int, bytes]]:
    """(at, created, payload) of each version, newest first."""
    versions, offset = [], 0
    while offset < len(blob):
        at, created, size = VERSION.unpack_from(blob, offset)
        offset += VERSION.size
        versions.append((at, created, blob[offset : offset + size]))
        offset += size
    return versions


def is_whole(view: PlainView, blob: bytes) -> bool:
    """Whether `blob` is made of versions of the view; else it is damaged."""
    least = view.packed_struct.size
    if not view.texts:  # all versions are of one size
        return len(blob) % (VERSION.size + least) == 0 and len(blob) > 0
    offset, size = 0, least
    while size >= least and len(blob) - offset >= VERSION.size:
        size = int(VERSION.unpack_from(blob, offset)[2])
        offset += VERSION.size + size
    return size >= least and offset == len(blob) > 0


def merged(blob: bytes, version: bytes, now: int) -> bytes:
    """The versions of `blob` and one more, without those that nobody needs as of `now`.

    Of one instant the version that was created last stays, of equal ones `version`.
    """
    kept = {at: (created, payload) for at, created, payload in versions_of(blob)}
    [(at, created, payload)] = versions_of(version)
    if at not in kept or created >= kept[at][0]:
        kept[at] = created, payload
    ordered = sorted(kept, reverse=True)
    past = [at for at in ordered if at <= now][:2]
    return b"".join(
        version_of(at, *kept[at]) for at in ordered if at > now or at in past
    )


def pack_payloads(
    view: PlainView, numbers: Sequence[npt.NDArray[Any]], nulls: npt.NDArray[np.bool_],
    texts: Sequence[Sequence[bytes]] = (),
) -> list[bytes]:
    """n payloads, from columns.

    numbers: for each of `view.numbers` its n values; nulls: (n, columns), numbers first, then
    texts; texts: for each of `view.texts` n times its bytes
    """
    packed = np.empty(len(nulls), view.packed)
    packed["nulls"] = np.packbits(nulls, axis=1, bitorder="little")
    for place, values in enumerate(numbers):
        packed[f"n{place}"] = values
    whole, size = packed.tobytes(), view.packed.itemsize
    payloads = [whole[place : place + size] for place in range(0, len(whole), size)]
    for column in texts:
        payloads = [
            payload + SIZE.pack(len(text)) + text
            for payload, text in zip(payloads, column, strict=True)
        ]
    return payloads


def unpack_payload(
    view: PlainView, payload: bytes
) -> tuple[list[float | int | bool | None], list[bytes | None]]:
    """The numbers and the texts of one payload, None if null."""
    packed, *numbers = view.packed_struct.unpack_from(payload)
    nulls = int.from_bytes(packed, "little")
    if nulls:
        numbers = [None if nulls >> bit & 1 else value for bit, value in enumerate(numbers)]
    texts: list[bytes | None] = []
    offset = view.packed_struct.size
    for bit in range(len(numbers), len(view.columns)):
        (size,) = SIZE.unpack_from(payload, offset)
        offset += SIZE.size
        texts.append(None if nulls >> bit & 1 else payload[offset : offset + size])
        offset += size
    return numbers, texts
