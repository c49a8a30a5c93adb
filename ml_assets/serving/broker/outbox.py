"""What the log holds out to a broker: its predictions, or its outcomes, in the order of positions.

The log is the outbox. A publisher keeps nothing but the position up to which the broker has all.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct

from ml_assets.core.errors import LogUnavailable, NotReady, StateDamaged
from ml_assets.core.settings import Settings
from ml_assets.core.storage.files import make_folder, write_atomically
from ml_assets.core.system import System
from ml_assets.core.target import Label
from ml_assets.ingest.log.event_log import EventLog, Prediction
from ml_assets.ingest.log.positions import ToldPosition, identity_of, last_position, told_of
from ml_assets.ingest.log.served import from_us, prediction_id
from ml_assets.ingest.log.told import LABELS
from ml_assets.serving.broker.address import BrokerAddress
from ml_assets.serving.broker.messages import SYSTEM, Outgoing
from ml_assets.serving.http.answers import answers_for

PublishedKind = Literal["predictions", "outcomes"]
POSITION, KIND = "ml-assets-position", "ml-assets-kind"
AT_ONCE = 256
_ENCODER = msgspec.json.Encoder()


class OutcomeMessage(Struct, frozen=True, kw_only=True):
    """A label that has become known, as it is published. The latest one of an event holds."""

    prediction_id: str
    event_id: str
    label: Label
    known_at: datetime


class NextMessages(NamedTuple):
    """What is to be published next; with it, all up to `position` is."""

    messages: Sequence[Outgoing]
    position: int


class Outbox:
    """One system's predictions or outcomes after a position.

    open_log: opens the log; raises LogUnavailable
    """

    def __init__(
        self, system: System, kind: PublishedKind, open_log: Callable[[], EventLog],
        place: PlaceFile,
    ) -> None:
        self._system, self._kind, self._open, self._place = system, kind, open_log, place
        self._answer = answers_for(system.target)
        self._log: EventLog | None = None
        self._identity = b""
        self.position = 0
        self.last = 0
        """Positions: up to which all was handed out and published, and the last one in the log."""

    def start(self, *, from_now: bool) -> None:
        """Go on where the place was noted; for the first time, from the beginning or from now.

        Raises LogUnavailable, and StateDamaged if the log does not reach as far as the place.
        """
        log = self._opened()
        self.last = last_position(log.connection)
        known = self._place.read(self._identity)
        self.position = known if known is not None else self.last if from_now else 0
        if self.position > self.last:
            raise StateDamaged(
                f"{self._place.path} says that all is published up to position {self.position:,}, "
                f"and the log ends at {self.last:,}: an older one was restored. Delete that file "
                "to publish all that is in the log again")
        if known is None:
            self.note(self.position)

    def next(self) -> NextMessages:
        """Empty if there is nothing new. Raises LogUnavailable."""
        log = self._opened()
        try:
            until = self.last = last_position(log.connection)
            if until == self.position:
                return NextMessages([], until)
            if self._kind == "predictions":
                found: Sequence[Prediction | ToldPosition] = log.predictions_after(
                    self._system.name, self.position, until, AT_ONCE)
            else:
                found = told_of(log.connection, self._system.name, self.position, until, AT_ONCE)
        except (LogUnavailable, log.connection.Error) as error:
            self.close()  # the next call opens it anew
            raise LogUnavailable(f"cannot read the event log: {error}") from error
        if len(found) == AT_ONCE:
            until = found[-1].seq or until
        return NextMessages([
            self._prediction(each) if isinstance(each, Prediction) else self._outcome(each)
            for each in found if isinstance(each, Prediction) or each.stream == LABELS], until)

    def note(self, position: int, *, durably: bool = True) -> None:
        """The broker has all up to here. durably: also for who comes after us"""
        self.position = position
        if durably:
            self._place.write(self._identity, position)

    def close(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None

    def _opened(self) -> EventLog:
        if self._log is None:
            log = self._open()
            if self._identity not in (b"", identity_of(log.connection)):
                log.close()
                raise StateDamaged("the event log was replaced by another one while it was "
                                   "published; start again to publish that one")
            self._log, self._identity = log, identity_of(log.connection)
        return self._log

    def _prediction(self, p: Prediction) -> Outgoing:
        return self._outgoing(p.prediction_id, p.seq or 0, self._answer(p))

    def _outcome(self, told: ToldPosition) -> Outgoing:
        said, known_at = json.loads(told.request), from_us(told.event_timestamp)
        event_id = told.event_id.removesuffix(f" {known_at.isoformat()} {said['label']}")
        return self._outgoing(told.event_id, told.seq, OutcomeMessage(
            prediction_id=prediction_id(self._system.name, event_id), event_id=event_id,
            label=said["label"], known_at=known_at))

    def _outgoing(self, message_id: str, position: int, body: Struct) -> Outgoing:
        return Outgoing(
            body=_ENCODER.encode(body), message_id=f"{self._system.name}/{message_id}",
            headers={SYSTEM: self._system.name, KIND: self._kind, POSITION: str(position)})


class PlaceFile:
    """Up to which position of the log a queue has what it is to have: a small file.

    One for each system, kind and queue. If it is lost, everything is published again.
    """

    def __init__(
        self, settings: Settings, system: str, kind: PublishedKind, address: BrokerAddress
    ) -> None:
        self._about = {"kind": kind, "queue": str(address)}
        name = blake2b(f"{kind}\0{address}".encode(), digest_size=6).hexdigest()
        self.path: Path = settings.folder_of(system) / "published" / f"{name}.json"

    def read(self, log: bytes) -> int | None:
        """None if nothing of this log was published yet. Raises StateDamaged."""
        try:
            found = json.loads(self.path.read_bytes())
            return int(found["position"]) if found["log"] == log.hex() else None
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise StateDamaged(f"{self.path} holds no position: {error!r}. Delete it to publish "
                               "all that is in the log again") from error

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else publishes the same meanwhile. Raises NotReady if somebody does."""
        make_folder(self.path.parent)
        with self.path.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise NotReady(f"another process publishes {self._about['kind']} to "
                               f"{self._about['queue']}; it is enough") from error
            yield

    def write(self, log: bytes, position: int) -> None:
        make_folder(self.path.parent)
        write_atomically(self.path, json.dumps(
            {**self._about, "log": log.hex(), "position": position}).encode())
