"""Real message brokers, started by the tests on free ports: redis-server and RabbitMQ."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.builders.nats import free_port
from tests.support import eventually


class Broker(ABC):
    """One broker, which may be stopped and started again on its port. It keeps no messages over a restart."""

    scheme = ""
    program = where = ""
    start_seconds = 20.0

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self._binary = program_path(self.program, self.where)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.url_at(self.port)

    @abstractmethod
    def url_at(self, port: int) -> str:
        """The address by another port, as that of a proxy."""

    @abstractmethod
    def command(self) -> tuple[list[str], dict[str, str]]:
        """What starts it, and its environment."""

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command, environment = self.command()
        with (self.folder / "out.log").open("ab") as out:
            self._process = process = subprocess.Popen(
                command, env={**os.environ, **environment}, cwd=self.folder, stdout=out, stderr=out, start_new_session=True
            )

        def listens() -> bool:
            assert process.poll() is None, (self.folder / "out.log").read_text()[-2000:]
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", self.port)) == 0

        eventually(listens, seconds=self.start_seconds)

    def stop(self) -> None:
        """Ends it at once, as a crash does."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(20)
            self._process = None


class Redis(Broker):
    scheme, program = "redis", "redis-server"

    def url_at(self, port: int) -> str:
        return f"redis://127.0.0.1:{port}/0"

    def set(self, option: str, value: str) -> None:
        """Changes its configuration while it runs."""
        subprocess.run(["redis-cli", "-p", str(self.port), "config", "set", option, value], check=True, capture_output=True)

    def command(self) -> tuple[list[str], dict[str, str]]:
        options = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.folder), "save": "", "appendonly": "no"}
        return [self._binary, *(part for name, value in options.items() for part in (f"--{name}", value))], {}


class Rabbit(Broker):
    """RabbitMQ in a folder of its own, with a name, an Erlang cookie and a port mapper of its own."""

    scheme, program, start_seconds = "amqp", "rabbitmq-server", 120.0
    where = "/usr/lib/rabbitmq/bin"  # the one on PATH changes to a user of its own

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._distribution, self._mapper = free_port(), free_port()

    def start(self) -> None:
        # Erlang would start its port mapper as a daemon, which nobody ends.
        self._names = subprocess.Popen(["epmd", "-port", str(self._mapper), "-address", "127.0.0.1"])
        super().start()

    def stop(self) -> None:
        super().stop()
        self._names.kill()
        self._names.wait(20)

    def url_at(self, port: int) -> str:
        return f"amqp://guest:guest@127.0.0.1:{port}//"

    def command(self) -> tuple[list[str], dict[str, str]]:
        (self.folder / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{self.port}\nlog.console = true\nlog.file = false\n")
        (self.folder / "plugins").write_text("[].\n")
        environment = {
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"jobwright{self.port}@localhost",
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "logs"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none -kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_PORT": str(self._mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        return [self._binary], environment


@contextmanager
def running(broker: Broker) -> Iterator[Broker]:
    """A broker that runs, and is ended at the end."""
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


def program_path(name: str, first: str = "") -> str:
    """The path of a program. Without it the test is skipped; in CI it fails. `first` is a folder that is looked into first."""
    path = (shutil.which(name, path=first) if first else None) or shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"no {name}: CI must have one")
        pytest.skip(f"no {name}: apt-get install {name}")
    return path
