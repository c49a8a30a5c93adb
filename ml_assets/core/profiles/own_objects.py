"""An S3-compatible server that nobody else uses: nanio, on loopback, with a key of its own."""

from __future__ import annotations

import secrets
import socket
import sys
from importlib.util import find_spec
from pathlib import Path

from ml_assets.core.errors import NotReady
from ml_assets.core.profiles.server_process import ServerProcess
from ml_assets.core.storage.files import make_folder

BUCKET, USER = "ml-assets", "ml_assets"


class OwnObjects:
    """A server whose objects stay in `folder` from one start to the next.

    It asks for a key that is made at each start: other users of this machine can reach the port.
    """

    name = "an S3 server"

    def __init__(self, folder: Path) -> None:
        """Raises NotReady if it is not installed."""
        if find_spec("nanio") is None or find_spec("boto3") is None:
            raise NotReady("the S3 server of `ml-assets cluster` is not installed: "
                           "pip install 'ml-assets[cluster]'")
        self.folder, self._port = folder, _free_port()
        self._secret = secrets.token_urlsafe(24)
        self._server = ServerProcess(self.name, folder)

    @property
    def url(self) -> str:
        """Of the bucket."""
        return f"s3://{BUCKET}"

    @property
    def environment(self) -> dict[str, str]:
        """Where we find it, and AWS's clients: it and nothing else."""
        return {"ML_ASSETS_OBJECTS": self.url,
                "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self._port}",
                "AWS_ACCESS_KEY_ID": USER, "AWS_SECRET_ACCESS_KEY": self._secret,
                "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true",
                "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
                "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required"}

    def start(self) -> None:
        """Start it, with the bucket in it. Raises NotReady if it does not come up."""
        make_folder(self.folder / "data" / BUCKET)
        self._server.start(
            [sys.executable, "-m", f"{__package__}.s3_server", self.folder / "data", "127.0.0.1",
             str(self._port)],
            self._answers,
            environment={"NANIO_ACCESS_KEY": USER, "NANIO_SECRET_KEY": self._secret})

    def _answers(self, process: int) -> bool:
        with socket.socket() as asking:
            asking.settimeout(1.0)
            return asking.connect_ex(("127.0.0.1", self._port)) == 0

    @property
    def is_up(self) -> bool:
        return self._server.is_up

    @property
    def pid(self) -> int:
        return self._server.pid

    def stop(self) -> None:
        """End it; what was stored is there again at the next start."""
        self._server.stop()


def _free_port() -> int:
    with socket.socket() as asking:
        asking.bind(("127.0.0.1", 0))
        return int(asking.getsockname()[1])
