"""Corrupted bodies: in their bytes, their values, or how they are written."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from random import Random

from benchmarks.door_fuzz.drawing import BATCH, CALLS, PREDICT, Draw, mutated, request


def sound(draw: Draw) -> bytes:
    path = draw.random.choice(CALLS)
    return request(path, draw.body(path))


def any_body(draw: Draw) -> bytes:
    body = draw.random.randbytes(draw.random.choice([0, 1, 2, 3, 8, 64, 1000]))
    return request(draw.random.choice(CALLS), body)


def mutated_body(draw: Draw) -> bytes:
    path = draw.random.choice(CALLS)
    return request(path, mutated(draw.random, draw.body(path)))


TEXTS = (
    r'"\ud800"', r'"\udc00\ud800"', r'"a\u0000b"', '"\\n\\r\\t"', '"\u2028\u2029"', '"\x7f"', '""',
    '" "', '"é"', '"e\u0301"', '"\U0001f600"', '"\ufeff"', '"\\/"', '"\\x"', '"\t"',
    '"..\\/..\\/etc"',
    '"\u202e"', '"%00"', '"\'; drop table predictions; --"', '"{{7*7}}"', '"NaN"', '"null"',
)
NUMBERS = (
    "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e-999", "9" * 400, "-0", "-0.0", "1e39",
    "3.5e38", "5e-324", "1E400000000", "0x10", "01", "1.", ".5", "+1", "1_000", "9" * 5000,
    "18446744073709551616", "-9223372036854775809", "2" * 30 + ".5",
)
OTHERS = ("true", "false", "null", "{}", "[]", "[[]]", '{"a": {}}', "nul", "'a'", "undefined", "")
INSTANTS = (
    '"0001-01-01T00:00:00Z"', '"9999-12-31T23:59:59.999999Z"', '"0001-01-01T00:00:00+23:59"',
    '"2024-01-09T12:00:00"', '"2024-02-30T00:00:00Z"', '"2024-01-09"', "1704801600", "-1e300",
    '"2024-01-09T24:00:00Z"', '"2024-01-09T12:00:60Z"', '"2024-01-09T12:00:00-12:00"', '"now"',
    '"1969-12-31T23:59:59.999999999Z"', '"2999-01-01T00:00:00Z"',
)


def hostile_value(draw: Draw) -> str:
    random = draw.random
    group = random.choice([TEXTS, TEXTS, NUMBERS, NUMBERS, OTHERS, INSTANTS, None])
    if group is not None:
        return random.choice(group)
    depth = random.choice([10, 63, 64, 65, 900, 1100, 20_000])
    return random.choice([
        "[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth, "[" * depth,
        '"' + "x" * random.choice([199, 200, 201, 500, 1000, 1001, 100_000]) + '"',
        "[" + ",".join(["0"] * 300) + "]",
    ])


def hostile_json(draw: Draw) -> bytes:
    """A valid body with one or two bad values or names."""
    path = draw.random.choice(CALLS)
    value = draw.value(path)
    marks: list[str] = []
    for _ in range(draw.random.randint(1, 2)):
        marks.append(_mark(draw.random, value, f"@{len(marks)}@"))
    text = json.dumps(value)
    for mark in marks:
        text = text.replace(f'"{mark}"', hostile_value(draw))
    if draw.random.random() < 0.1:  # a name twice
        text = text.replace("{", '{"event_id": "x", ', 1)
    return request(path, text.encode("utf-8", "surrogatepass"))


def _mark(random: Random, value: object, mark: str) -> str:
    """Put `mark` somewhere into `value`, in place: as a value, or as a new name."""
    while True:
        if isinstance(value, dict) and value:
            name = random.choice(list(value))
            inner = value[name]
            if isinstance(inner, dict | list) and inner and random.random() < 0.8:
                value = inner
                continue
            if random.random() < 0.15:
                value[mark] = value.pop(name) if random.random() < 0.5 else 1
                return mark
            if isinstance(inner, str) and inner.startswith("case-"):
                # Not another case's id: concurrent cases must not depend on each other.
                value["event_timestamp"] = mark
                return mark
            value[name] = mark
            return mark
        if isinstance(value, list) and value:
            place = random.randrange(len(value))
            if isinstance(value[place], dict) and random.random() < 0.8:
                value = value[place]
                continue
            value[place] = mark
            return mark
        return mark


def foreign_encoding(draw: Draw) -> bytes:
    path = draw.random.choice(CALLS)
    body = draw.body(path)
    encoding = draw.random.choice(["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "latin-1", "gzip"])
    written = gzip.compress(body, mtime=0) if encoding == "gzip" else body.decode().encode(encoding)
    headers = draw.random.choice([
        [], [b"Content-Encoding: gzip"], [b"Content-Encoding: identity"],
        [b"Content-Encoding: br, gzip"], [b"Content-Type: application/json; charset=utf-16"],
    ])
    return request(path, written, *headers)


def large(draw: Draw) -> bytes:
    """Batches and strings at their limits."""
    random = draw.random
    event = json.dumps(draw.event()).encode()
    events = [event] * random.choice([255, 257])
    limits: list[Callable[[], bytes]] = [
        lambda: request(BATCH, b'{"events": [%b]}' % b",".join(events)),
        lambda: request(PREDICT, event + b" " * random.choice([65_535, 65_536, 1_000_000])),
        lambda: request(PREDICT, b"", length=b"%d" % (9 * 2**20)),
        lambda: request(PREDICT, b'{"%b": 1}' % (b"k" * 200_000)),
        lambda: request(BATCH, b'{"events": [%b]}' % b",".join([b"{}"] * 256)),
    ]
    return random.choice(limits)()
