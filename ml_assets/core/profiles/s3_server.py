"""nanio, an S3-compatible server: `python -m ml_assets.core.profiles.s3_server FOLDER HOST PORT`.

A folder in FOLDER is a bucket. `NANIO_ACCESS_KEY` and `NANIO_SECRET_KEY` are who may ask.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import uvicorn
from nanio.app import build_app
from nanio.config import Settings
from nanio.storage.filesystem import FilesystemStorage


class ObjectsInFolder(FilesystemStorage):  # type: ignore[misc]  # it ships no types
    """nanio 0.1.7 refuses a range that ends behind the object. S3 cuts it (RFC 9110, 14.1.2), and
    boto3, through which MLflow downloads, asks for such ranges."""

    async def get_object(
        self, bucket: str, key: str, *, range_start: int | None = None,
        range_end: int | None = None,
    ) -> Any:
        if range_end is not None:
            size = self.head_object(bucket, key).size
            range_start = range_start if size else None
            range_end = min(range_end, size - 1) if size else None
        return await super().get_object(bucket, key, range_start=range_start, range_end=range_end)


if __name__ == "__main__":
    folder, host, port = sys.argv[1:]
    app = build_app(Settings(data_dir=Path(folder)))
    app.state.storage = ObjectsInFolder(Path(folder))
    uvicorn.run(app, host=host, port=int(port), access_log=False, log_level="warning")
