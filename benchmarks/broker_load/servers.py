"""Brokers of our own: on ports and in folders that nobody else has, killed and started again."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Debian's: the one on the PATH would change to another user."""
START_SECONDS = 120.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@dataclass(kw_only=True)
class Broker:
    """One server. Its data outlives a kill."""

    kind: str
    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def address(self, queue: str) -> str:
        return f"{self.kind}://127.0.0.1:{self.port}/{queue}"

    def start(self) -> None:
        """Returns once it accepts connections."""
        self._launch()
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self.process is not None and self.process.poll() is None, "it did not start"
            assert time.monotonic() < deadline, "it accepts no connections"
            time.sleep(0.05)

    def put(self, queue: str, bodies: Sequence[bytes], *, subject: str | None = None,
            message_ids: Sequence[str | None] | None = None) -> None:
        """Publish these to a queue that is there; returns once all are kept."""
        raise NotImplementedError

    def kill(self) -> None:
        """As a power cut would, but for what the kernel has."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(30)

    def stop(self) -> None:
        self.kill()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as client:
                client.sendall(b"AMQP\x00\x00\x09\x01" if self.kind == "amqp" else b"")
                return bool(client.recv(1))
        except OSError:
            return False

    def _launch(self) -> None:
        raise NotImplementedError

    def _run(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        with (self.folder / "output").open("ab") as output:
            return subprocess.Popen(
                command, stdout=output, stderr=output, cwd=self.folder, start_new_session=True,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **environment})


class NatsServer(Broker):
    def put(self, queue: str, bodies: Sequence[bytes], *, subject: str | None = None,
            message_ids: Sequence[str | None] | None = None) -> None:
        import nats

        async def publish() -> None:
            client = await nats.connect(f"nats://127.0.0.1:{self.port}")
            stream = client.jetstream()
            for body, name in zip(bodies, message_ids or [None] * len(bodies), strict=True):
                await stream.publish(subject or queue, body,
                                     headers={"Nats-Msg-Id": name} if name else None)
            await client.close()

        asyncio.run(publish())

    def _launch(self) -> None:
        self.process = self._run("nats-server", "-js", "-sd", str(self.folder / "data"),
                                 "-a", "127.0.0.1", "-p", str(self.port))


@dataclass(kw_only=True)
class RabbitServer(Broker):
    """epmd: the port mapper without which Erlang has no node; it would outlive us as a daemon"""

    epmd_port: int = field(default_factory=free_port)
    epmd: subprocess.Popen[bytes] | None = None

    def put(self, queue: str, bodies: Sequence[bytes], *, subject: str | None = None,
            message_ids: Sequence[str | None] | None = None) -> None:
        import pika

        connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", self.port))
        channel = connection.channel()
        channel.tx_select()  # one confirmation for all
        exchange = "" if subject is None else "subjects"
        if exchange:
            channel.exchange_declare(exchange, "topic", durable=True)
            channel.queue_bind(queue, exchange, subject)
        for body, name in zip(bodies, message_ids or [None] * len(bodies), strict=True):
            channel.basic_publish(exchange, subject or queue, body, pika.BasicProperties(
                delivery_mode=2, message_id=name))
        channel.tx_commit()
        connection.close()

    def stop(self) -> None:
        self.kill()
        if self.epmd is not None:
            self.epmd.kill()
            self.epmd.wait(30)

    def _launch(self) -> None:
        if self.epmd is None:
            self.epmd = self._run("epmd", "-port", str(self.epmd_port), "-address", "127.0.0.1")
        self.process = self._run(str(RABBITMQ), **self._environment())

    def _environment(self) -> Mapping[str, str]:
        folder = self.folder
        (folder / "plugins").write_text("[].\n")
        (folder / "environment").touch()
        # Where no name server answers, Erlang would wait for it.
        (folder / "names").write_text(
            '{lookup, [file]}.\n{host, {127,0,0,1}, ["localhost"]}.\n')
        return {
            "RABBITMQ_NODENAME": f"tests-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1", "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()), "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_INETRC": str(folder / "names"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"), "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "environment"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none",
        }


@contextmanager
def broker(kind: str) -> Iterator[Broker]:
    """A server of this kind for the block."""
    # Erlang's files have long names.
    with tempfile.TemporaryDirectory(prefix=kind, ignore_cleanup_errors=True) as folder:
        server = (NatsServer if kind == "nats" else RabbitServer)(kind=kind, folder=Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.stop()


def missing(kind: str) -> str | None:
    """What it would take to start one here; None if nothing."""
    if kind == "nats":
        return None if shutil.which("nats-server") else "nats-server is not on the PATH"
    return None if RABBITMQ.exists() and shutil.which("epmd") else f"there is no {RABBITMQ}"
