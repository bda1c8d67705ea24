"""Starts a command, passes on what it prints until it ends, and leaves nothing of it behind."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from templates_lib.base import RunContext, TemplateError
from templates_lib.command.output import Output
from templates_lib.messages import say

READ_BYTES = 65_536
LOOK_SECONDS = 0.5  # how often it looks whether the run was asked to stop
LINGER_SECONDS = 1.0  # what the command left behind may print so long after its end
# A run that is asked to stop: whoever stops it signals all its processes. If nobody does, the command gets SIGTERM after the first
# delay and SIGKILL after the second, in seconds.
TERM_AFTER, KILL_AFTER = 1.0, 3.0


@dataclass(frozen=True, slots=True)
class Command:
    """A command as it is started. `program` is the resolved path; `arguments` begin with the name of the program."""

    program: str
    arguments: Sequence[str]
    folder: str
    environment: Mapping[str, str]
    text: str = ""  # its standard input
    umask: int = 0o077


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: with an exit code, or by a signal as a negative number; and whether processes of it were left."""

    code: int
    left_processes: bool


def run_command(command: Command, ctx: RunContext, output: Output) -> Ended:
    """Runs a command until it ends. Raises TemplateError (permanent) if it cannot be started, and Cancelled if the run was stopped."""
    with tempfile.TemporaryFile(dir=ctx.files) as text:
        text.write(command.text.encode("utf-8", errors="replace"))
        text.seek(0)
        try:
            process = subprocess.Popen(  # noqa: S603 - no shell, a program of the list and its arguments
                list(command.arguments),
                executable=command.program,
                cwd=command.folder,
                env=dict(command.environment),
                stdin=text if command.text else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                umask=command.umask,
                process_group=0,
            )
        except OSError as error:
            reason = error.strerror or str(error)
            words = say("{program} cannot be started: {reason}", program=command.arguments[0], reason=reason)
            raise TemplateError(words, permanent=True) from error
    try:
        left = _Watch(process, ctx, output).until_end()
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # the command is not reaped yet, so no other group has this number
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    output.close()
    ctx.check_cancelled()
    return Ended(process.returncode, left_processes=left)


class _Watch:
    """Reads the output of one process, and notices its end and the wish to stop it."""

    def __init__(self, process: subprocess.Popen[bytes], ctx: RunContext, output: Output) -> None:
        self._process, self._ctx, self._output = process, ctx, output
        self._ended_at: float | None = None
        self._stopped_at: float | None = None
        self._signals = [(TERM_AFTER, signal.SIGTERM), (KILL_AFTER, signal.SIGKILL)]

    def until_end(self) -> bool:
        """Returns once the process has ended and its output is read. Returns whether something of it still holds the output open."""
        process_end = os.pidfd_open(self._process.pid)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(process_end, selectors.EVENT_READ)
                for stream, error in ((self._process.stdout, False), (self._process.stderr, True)):
                    assert stream is not None  # noqa: S101 - both are pipes
                    selector.register(stream.fileno(), selectors.EVENT_READ, error)
                while not self._is_over(selector):
                    for key, _ in selector.select(LOOK_SECONDS if self._ended_at is None else LINGER_SECONDS / 10):
                        self._take(selector, key.fd, error=key.data)
                    self._reap()
                    self._stop()
                return bool(selector.get_map())
        finally:
            os.close(process_end)

    def _take(self, selector: selectors.BaseSelector, fd: int, *, error: bool | None) -> None:
        if error is None:
            selector.unregister(fd)
            self._ended_at = time.monotonic()
            return
        data = os.read(fd, READ_BYTES)
        if data:
            self._output.feed(data, error=error)
        else:
            selector.unregister(fd)

    def _is_over(self, selector: selectors.BaseSelector) -> bool:
        """Returns whether there is nothing to wait for: both pipes are closed, or they are held by what the command left behind."""
        if self._ended_at is None:
            return False
        return not selector.get_map() or time.monotonic() - self._ended_at > LINGER_SECONDS

    def _reap(self) -> None:
        """Takes the ends of orphans of the command, which are children of this process if it gathers them. The command itself stays."""
        with suppress(ChildProcessError):
            while found := os.waitid(os.P_PGID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if found.si_pid == self._process.pid:
                    return
                os.waitpid(found.si_pid, os.WNOHANG)

    def _stop(self) -> None:
        if not self._ctx.cancelled() or self._ended_at is not None:
            return
        now = time.monotonic()
        self._stopped_at = self._stopped_at or now
        while self._signals and now - self._stopped_at >= self._signals[0][0]:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, self._signals.pop(0)[1])
