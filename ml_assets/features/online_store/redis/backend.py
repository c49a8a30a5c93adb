"""The online store in Redis, for serving from several machines. Needs the extra `redis`.

Each entity has a string, and for windows a sorted set of the event ids that were counted. What
must not be torn apart is a Lua script. Keys of one call lie anywhere, so no Redis Cluster.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from time import time_ns
from typing import Any

from ml_assets.core.errors import NotReady
from ml_assets.features.engine import state
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.backend import (
    NO_FLOOR,
    OWN,
    Registered,
    Row,
    View,
    expiry,
    floor_entry,
    floor_of,
)
from ml_assets.features.online_store.lmdb.keys import mark_entry
from ml_assets.features.online_store.redis.scripts import (
    APPEND,
    DROP_UNCHANGED,
    FOLD,
    PUT,
    RAISE_FLOOR,
    REGISTER,
    SET_NOTE,
)
from ml_assets.features.online_store.versions import VERSION, version_of

try:
    import redis
    from hiredis import pack_command
except ImportError as error:
    raise NotReady(
        "the online store is in Redis, whose client is not installed: pip install "
        "'ml-assets[redis]'"
    ) from error

_AT_ONCE = 1000


class RedisBackend:
    """A `Backend` in the Redis at `url`: `redis://host:port/db` or `unix:///path`.

    prefix: what all its keys begin with
    """

    def __init__(self, url: str, project: str = "ml_assets", *, prefix: str = "ml_assets") -> None:
        self._redis: Any = redis.Redis.from_url(url)
        self._idle: deque[Any] = deque()
        self._base = f"{prefix}:{project}:".encode()
        self.changes = 0, OWN
        self._changes = self._states(0) + OWN
        self._register = self._redis.register_script(REGISTER)
        self._append = self._redis.register_script(APPEND)
        self._fold_script = self._redis.register_script(FOLD)
        self._put = self._redis.register_script(PUT)
        self._raise_floor = self._redis.register_script(RAISE_FLOOR)
        self._set_note = self._redis.register_script(SET_NOTE)
        self._drop_unchanged = self._redis.register_script(DROP_UNCHANGED)

    def register(
        self, name: str, digest: str, *, note: bytes = b"", keep: bool = False
    ) -> int:
        view_id, old = self._register(
            keys=[self._base + b"views", self._base + b"next", self._changes],
            args=[name, digest, floor_entry(NO_FLOOR) + note, self._base, int(keep)],
        )
        if old:
            self._forget(old)
        return int(view_id)

    def set_note(self, view_id: int, note: bytes) -> None:
        if not self._set_note(keys=[self._states(view_id) + OWN, self._changes], args=[note]):
            floor_of(None, str(view_id))

    def views(self) -> dict[str, Registered]:
        found = {}
        for name, value in self._redis.hgetall(self._base + b"views").items():
            view_id, digest = value.decode().split(" ", 1)
            found[name.decode()] = Registered(int(view_id), digest)
        return found

    def drop(self, view_id: int) -> None:
        for name, found in self.views().items():
            if found.id == view_id:
                self._redis.hdel(self._base + b"views", name)
        self._forget(view_id)

    def get(self, view_id: int, entities: Sequence[bytes]) -> list[bytes | None]:
        return self.get_many([(view_id, entities)])[0]

    def get_many(
        self, asked: Sequence[tuple[int, Sequence[bytes]]]
    ) -> list[list[bytes | None]]:
        keys: list[bytes] = []
        for view_id, entities in asked:
            keys += map(self._states(view_id).__add__, entities)
        left = iter(self._mget(keys) if keys else ())
        return [list(islice(left, len(entities))) for _, entities in asked]

    def _mget(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """`Redis.mget` over a connection that is kept, at less than half of its cost.

        What a connection fails at is left to the client, which tries again as it is set up to.
        """
        connection: Any = None
        with suppress(IndexError):
            connection = self._idle.pop()
        if connection is None or connection.pid != os.getpid():  # a fork must not use its parent's
            connection = self._redis.connection_pool.get_connection()
        try:
            command: Any = ("MGET", *keys)  # the stub has one argument
            connection.send_packed_command([pack_command(command)])
            found: list[bytes | None] = connection.read_response()
        except (redis.ConnectionError, redis.TimeoutError):
            connection.disconnect()
            found = self._redis.mget(keys)
        except BaseException:
            # An answer that was not read would be taken for the next one's.
            connection.disconnect()
            raise
        finally:
            self._idle.append(connection)
        return found

    def append(self, view: WindowedView, view_id: int, rows: Sequence[Row]) -> int:
        packed: dict[bytes, list[bytes]] = {}
        for entity, _, _, row in rows:
            packed.setdefault(entity, []).append(row)
        states, ids = self._states(view_id), self._ids(view_id)
        entities = list(packed)
        keys = [states + OWN]
        for entity in entities:
            keys += [states + entity, ids + entity]
        added, grown = self._append(keys=keys, args=[
            state.fresh(b""), state.row_dtype(view).itemsize, state.FOLD_ROWS, view.horizon,
            *(b"".join(some) for some in packed.values()),
        ])
        if added < 0:
            floor_of(None, view.name)
        for place in grown:
            self._fold(view, view_id, entities[place - 1])
        return int(added)

    def put(self, view_id: int, rows: Iterable[Row], now: int | None = None) -> None:
        now = time_ns() // 1000 if now is None else now
        states, left = self._states(view_id), iter(rows)
        while True:
            some = list(islice(left, _AT_ONCE))
            there = self._put(
                keys=[states + OWN, *(states + entity for entity, _, _, _ in some)],
                args=[
                    now, *(version_of(at, created, payload) for _, at, created, payload in some)
                ],
            )
            if not there:
                floor_of(None, str(view_id))
            if len(some) < _AT_ONCE:
                return

    def expire(self, view: View, view_id: int, now: int) -> int:
        floor_of(self.get(view_id, [OWN])[0], view.name)
        windows = view if isinstance(view, WindowedView) else None
        if windows is not None:
            floor, _ = expiry(windows, now)
            self._raise_floor(
                keys=[self._states(view_id) + OWN, self._changes], args=[floor_entry(floor)]
            )
        dropped = 0
        for entities in self.entities(view_id):
            for entity, blob in zip(entities, self.get(view_id, entities), strict=True):
                if blob is None:
                    continue
                if windows is not None:
                    dropped += self._expire_windows(windows, view_id, entity, blob, now)
                elif _is_expired(view, blob, now):
                    dropped += self._drop(view_id, entity, blob)
        return dropped

    def count(self, view_id: int) -> int:
        return sum(len(entities) for entities in self.entities(view_id))

    def close(self) -> None:
        self._idle.clear()
        self._redis.close()

    def _fold(self, view: WindowedView, view_id: int, entity: bytes) -> None:
        (blob,) = self.get(view_id, [entity])
        if blob is not None:
            self._replace(view_id, entity, blob, state.fold(view, blob))

    def _replace(self, view_id: int, entity: bytes, blob: bytes, folded: bytes) -> None:
        """Unless somebody else has folded meanwhile, which would have done it just as well."""
        self._fold_script(
            keys=[self._states(view_id) + entity],
            args=[blob[: state.HEADER_SIZE], len(blob), folded],
        )

    def _expire_windows(
        self, view: WindowedView, view_id: int, entity: bytes, blob: bytes, now: int
    ) -> int:
        _, bound = expiry(view, now)
        if state.is_idle(view, blob, bound):
            return self._drop(view_id, entity, blob)
        folded = state.fold(view, blob, now)
        if len(folded) < len(blob):
            self._replace(view_id, entity, blob, folded)
        self._redis.zremrangebyscore(self._ids(view_id) + entity, "-inf", f"({bound}")
        return 0

    def _drop(self, view_id: int, entity: bytes, blob: bytes) -> int:
        """1 if the entity went; 0 if something was added to it meanwhile."""
        return int(self._drop_unchanged(
            keys=[self._states(view_id) + entity, self._ids(view_id) + entity],
            args=[blob[: state.HEADER_SIZE], len(blob)],
        ))

    def _forget(self, view_id: int) -> None:
        self._redis.delete(self._states(view_id) + OWN)
        self._redis.incr(self._changes)
        for number in (view_id, mark_entry(view_id, b"")[0]):
            for keys in self._scan(self._base + b"%d:" % number):
                self._redis.unlink(*keys)

    def entities(self, view_id: int) -> Iterator[list[bytes]]:
        start = self._states(view_id)
        seen: set[bytes] = set()
        for keys in self._scan(start):
            new = {key[len(start) :] for key in keys} - seen - {OWN}
            seen |= new
            if new:
                yield list(new)

    def _scan(self, start: bytes) -> Iterator[list[bytes]]:
        """The keys that begin with `start`; one may come more than once."""
        pattern = re.sub(rb"([*?\[\]\\^])", rb"\\\1", start) + b"*"
        cursor = 0
        while True:
            cursor, keys = self._redis.scan(cursor, match=pattern, count=_AT_ONCE)
            if keys:
                yield keys
            if cursor == 0:
                return

    def _states(self, view_id: int) -> bytes:
        return self._base + b"%d:s:" % view_id

    def _ids(self, view_id: int) -> bytes:
        return self._base + b"%d:i:" % view_id


def _is_expired(view: View, blob: bytes, now: int) -> bool:
    assert not isinstance(view, WindowedView)
    return bool(view.ttl and VERSION.unpack_from(blob)[0] < now - view.ttl)
