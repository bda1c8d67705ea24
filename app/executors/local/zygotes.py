"""The zygotes of the local executor: the root, and one for each template that was needed."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path

from app.config import Settings, secret_files
from app.errors import StartError
from app.events import get_logger
from app.executors.base import job_limits
from app.executors.local.pump import Pump
from app.keys import SECRET_FILES
from app.local_mongod import LocalMongod
from app.sandbox.cage import CageRules
from app.sandbox.handles import RootHandle, ZygoteHandle
from app.sandbox.protocol import Broken, Ended, Ready

log = get_logger(__name__)


class Zygotes:
    """Makes zygotes when they are needed, listens to them, and replaces the root when it dies."""

    def __init__(
        self,
        root: RootHandle,
        pump: Pump,
        *,
        on_ended: Callable[[Ended], None],
        on_lost: Callable[[ZygoteHandle, str | None], None],
    ) -> None:
        """`on_ended` is called with the end of each process. `on_lost` is called with each zygote that ended, and with its processes gone
        too; and with the error with which it could not import its template, or None."""
        self._root, self._pump, self._on_ended, self._on_lost = root, pump, on_ended, on_lost
        self._handles: dict[str, ZygoteHandle] = {}  # by the class of the template
        self._broken: dict[str, str] = {}
        self._launched = False

    @property
    def root_pid(self) -> int | None:
        """The process id of the root; None before its start."""
        return self._root.pid

    def launch(self) -> None:
        """Starts the root, and does not wait for it."""
        self._root.launch()
        self._launched = True

    def start(self) -> None:
        """Waits for the root, and starts it first if that has not happened. Raises StartError if it does not come up."""
        if not self._launched:
            self.launch()
        self._root.wait_ready()
        self._pump.watch(self._root.control, self._replace_root)

    def of(self, load: str) -> ZygoteHandle:
        """Returns the zygote of a template's class. It is made if there is none."""
        if load not in self._handles:
            handle = self._handles[load] = self._root.make_zygote(load)
            self._pump.watch(handle.control, lambda: self._receive(handle))
        return self._handles[load]

    def let_go(self) -> None:
        """Closes the sockets of the templates' zygotes."""
        for handle in self._handles.values():
            self._pump.unwatch(handle.control)
            handle.control.close()
        self._handles.clear()

    def close(self) -> None:
        """Ends the root, and with it every process."""
        self._root.close()

    def _receive(self, handle: ZygoteHandle) -> None:
        match handle.receive():
            case None:
                self._lose(handle)
            case Broken(error=error):
                self._broken[handle.load] = error
            case Ready(landlock=landlock, mounts=mounts, network=network):
                log.info("cage.holds", kind=handle.load, landlock=landlock, mounts=mounts, network=network)
            case Ended() as ended:
                self._on_ended(ended)

    def _lose(self, handle: ZygoteHandle) -> None:
        """A zygote has ended. It is made again when it is needed."""
        self._pump.unwatch(handle.control)
        handle.control.close()
        del self._handles[handle.load]
        broken = self._broken.pop(handle.load, None)
        log.error("zygote.died", kind=handle.load, reason=broken)
        self._on_lost(handle, broken)

    def _replace_root(self) -> None:
        """The root has died, and all zygotes with it: the end of each is heard on its own socket."""
        self._pump.unwatch(self._root.control)
        log.error("zygote.died", kind="root", code=self._root.close())
        self._root.launch()
        self._root.wait_ready()
        self._pump.watch(self._root.control, self._replace_root)


def root_of(settings: Settings) -> RootHandle:
    """Returns a root, not yet started. Raises StartError if attempts cannot run as the user that is set."""
    return RootHandle(settings.cgroup, cage_rules(settings), job_limits(settings))


def cage_rules(settings: Settings) -> CageRules:
    """Returns what keeps attempts in. Raises StartError if they cannot run as the user that is set."""
    if settings.job_user:
        try:
            pwd.getpwnam(settings.job_user)
        except KeyError:
            raise StartError(f"JOBWRIGHT_JOB_USER: there is no user {settings.job_user!r} on this machine") from None
        if os.geteuid() != 0:
            raise StartError("JOBWRIGHT_JOB_USER: only a service that runs as root can switch to another user")
    data = settings.data_path
    closed = data / SECRET_FILES
    hidden = {data / "secret.key", data / "mongo", closed}
    hidden |= {file for file in map(Path.absolute, secret_files()) if not file.is_relative_to(closed)}
    if not settings.mongodb_uri:
        hidden.add(LocalMongod(data).socket.parent)
    return CageRules(
        on=settings.cage != "off",
        hidden=tuple(sorted(map(str, hidden))),
        data=str(data),
        writable=tuple(settings.job_paths),
        user=settings.job_user,
    )
