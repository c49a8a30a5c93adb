"""A bucket of S3-compatible storage, through boto3.

Where it is and who asks is said by AWS's own variables: `AWS_ENDPOINT_URL_S3` (or
`AWS_ENDPOINT_URL`), `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, or by whatever else
boto3 knows: profiles, and roles of machines and pods.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NoReturn

from ml_assets.core.errors import DeclarationError, ObjectsUnavailable
from ml_assets.core.storage.places import missing

NAME = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>.*))?")
PREFIX = re.compile(r"[A-Za-z0-9!_.*'()-]+(?:/[A-Za-z0-9!_.*'()-]+)*")
"""What S3 calls safe in the name of an object."""
CONNECT_S, READ_S, ATTEMPTS = 3, 5, 3
"""Seconds that a store is waited for until it says something. One that hangs is given up after some
15 s."""
STORE_S, STORE_ATTEMPTS = 60, 2
"""Seconds that it has after it was sent a whole object."""
PROBE_S, PROBE_ATTEMPTS = 3, 2
"""Seconds that it has to show that it is there. Asked twice: a connection that was idle may have
been closed just now."""
Call = Literal["ask", "store", "probe"]
AT_ONCE = 1000
"""Objects that one call lists or deletes."""
DENIED = ("403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken",
          "ExpiredToken")
away: dict[str, str] = {}
"""Why nobody is asked about what lies at an address: kept by a `StoreWatch` of this process."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredObject:
    """name: below the bucket's prefix; etag: changes whenever the object is written"""

    name: str
    etag: str


@dataclass(frozen=True)
class Bucket:
    """What lies below `s3://name/prefix`. Every call raises ObjectsUnavailable, with what to do.

    It does so at once while a `StoreWatch` of this process finds nobody there, and otherwise after
    some time: see `READ_S`, `STORE_S`.
    """

    name: str
    prefix: str = ""

    @classmethod
    def parse(cls, url: str) -> Bucket:
        """Raises DeclarationError."""
        found = NAME.fullmatch(url.rstrip("/"))
        prefix = "" if found is None else found["prefix"] or ""
        if found is None or (prefix and not PREFIX.fullmatch(prefix)):
            raise DeclarationError(
                f"{url!r} is no place for objects; expected s3://bucket or s3://bucket/prefix, the "
                "bucket in lower-case letters, digits, dots and hyphens")
        return cls(found["bucket"], prefix)

    @property
    def url(self) -> str:
        return f"s3://{self.name}/{self.prefix}".rstrip("/")

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    def list(
        self, prefix: str, first: str = "", at_once: int = AT_ONCE
    ) -> Iterator[StoredObject]:
        """The objects whose names begin with `prefix`, in the order of names, from `first` on.

        at_once: about how many are wanted: each costs 0.1 ms, and each question some more
        """
        about: dict[str, Any] = {"Bucket": self.name, "Prefix": self._key(prefix),
                                 "MaxKeys": min(at_once, AT_ONCE)}
        if first:
            # What comes just before it: names have no character below "!".
            about["StartAfter"] = f"{self._key(first)[:-1]}{chr(ord(first[-1]) - 1)}~"
        while True:
            with self._asking() as client:
                page = client.list_objects_v2(**about)
            for each in page.get("Contents", ()):
                name = each["Key"].removeprefix(f"{self.prefix}/" if self.prefix else "")
                if name >= first:
                    yield StoredObject(name, each["ETag"])
            if not page.get("IsTruncated"):
                return
            about["ContinuationToken"] = page["NextContinuationToken"]

    def put(self, file: Path, name: str) -> str:
        """Store `file` whole, or not at all; its etag. At most 5 GB, because one call is atomic."""
        with self._asking("store") as client, file.open("rb") as body:
            return str(client.put_object(Bucket=self.name, Key=self._key(name), Body=body)["ETag"])

    def get(self, name: str, into: Path) -> str | None:
        """Write an object into a file; its etag, None if there is none."""
        with self._asking() as client:
            try:
                found = client.get_object(Bucket=self.name, Key=self._key(name))
            except client.exceptions.NoSuchKey:
                return None
            with into.open("wb") as file:
                for part in found["Body"].iter_chunks(2**20):
                    file.write(part)
            return str(found["ETag"])

    def delete(self, prefix: str) -> None:
        """Delete the object of this name, and all whose names begin with it and a slash."""
        names = [each.name for each in self.list(prefix)
                 if each.name == prefix or each.name.startswith(f"{prefix}/")]
        for start in range(0, len(names), AT_ONCE):
            some = [{"Key": self._key(name)} for name in names[start : start + AT_ONCE]]
            with self._asking() as client:
                said = client.delete_objects(
                    Bucket=self.name, Delete={"Objects": some, "Quiet": True})
            if said.get("Errors"):
                raise ObjectsUnavailable(f"{self.url} does not delete {said['Errors'][0]}")

    def require(self) -> None:
        """Raise ObjectsUnavailable unless it is there, and may be read."""
        for _ in self.list(""):
            return

    def probe(self) -> None:
        """The same, with little patience: see `PROBE_S`."""
        with self._asking("probe") as client:
            client.list_objects_v2(Bucket=self.name, Prefix=self._key(""), MaxKeys=1)

    def make(self) -> None:
        """Make the bucket if it is not there."""
        with self._asking() as client:
            try:
                client.create_bucket(Bucket=self.name)
            except (client.exceptions.BucketAlreadyOwnedByYou,
                    client.exceptions.BucketAlreadyExists):
                return

    @contextmanager
    def _asking(self, what: Call = "ask") -> Iterator[Any]:
        """A client for the block. Its faults are told in words of ours."""
        if what != "probe" and (why := away.get(self.url)) is not None:
            raise ObjectsUnavailable(why)
        client = _client(os.getpid(), what)
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield client
        except ClientError as error:
            self._refused(error, client)
        except BotoCoreError as error:
            raise ObjectsUnavailable(
                f"cannot reach {self.url} at {client.meta.endpoint_url}: {error}. See that the "
                "store runs, that AWS_ENDPOINT_URL_S3 is its address, and that AWS_ACCESS_KEY_ID "
                "and AWS_SECRET_ACCESS_KEY are set") from error

    def _refused(self, error: Any, client: Any) -> NoReturn:
        code, at = str(error.response["Error"]["Code"]), client.meta.endpoint_url
        if code == "NoSuchBucket":
            said = (f"there is no bucket {self.name!r} at {at}: make it, or correct "
                    "ML_ASSETS_OBJECTS")
        elif code in DENIED:
            said = (f"{at} refuses these credentials for {self.url} ({code}): correct "
                    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or what they may do")
        else:
            said = f"{at} refuses a request about {self.url}: {error}"
        raise ObjectsUnavailable(said) from error


@lru_cache(maxsize=3)
def _client(process: int, what: Call) -> Any:
    """One for all threads; a child of `fork` must not share its parent's connections."""
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise missing("boto3", "object storage") from error
    read_s, attempts = {"ask": (READ_S, ATTEMPTS), "store": (STORE_S, STORE_ATTEMPTS),
                        "probe": (PROBE_S, PROBE_ATTEMPTS)}[what]
    client = boto3.session.Session().client("s3", config=Config(
        connect_timeout=CONNECT_S, read_timeout=read_s, max_pool_connections=32,
        retries={"mode": "standard", "total_max_attempts": attempts},
        # Not every compatible store knows AWS's newer checksums; TLS or the signature has one.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required"))
    if what != "probe":  # whose first attempt may fail for nothing
        client.meta.events.register("needs-retry.s3", _tell)
    return client


def _tell(
    caught_exception: Exception | None, attempts: int, operation: Any, endpoint: Any, **_: object
) -> None:
    """Say that a store is waited for, after each attempt in vain."""
    if caught_exception is not None:
        log.warning("%s: attempt %d at %s: %s", operation.name, attempts, endpoint.host,
                    caught_exception)
