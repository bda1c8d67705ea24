"""A kind of job that does everything wrong, added the way a third party adds one: by an entry point."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from templates_lib.base import Deferred, JobResult, JobTemplate, RunContext, TemplateError


class Misbehave(JobTemplate):
    """Does the wrong thing named by `how`."""

    type = "misbehave"
    name = "Misbehave"
    description = "Do the wrong thing"
    category = "Tests"
    icon = "ban"
    risk_level = "high"
    parameters_schema = {
        "type": "object",
        "properties": {"how": {"type": "string"}, "file": {"type": "string"}, "secret": {"type": "string", "writeOnly": True}},
        "required": ["how"],
        "additionalProperties": False,
    }

    def run(self, params: Mapping[str, Any], ctx: RunContext) -> Any:
        return getattr(self, "_" + params["how"])(params, ctx)

    def _raise(self, params: Any, ctx: RunContext) -> Any:
        raise ValueError("no good")

    def _permanent(self, params: Any, ctx: RunContext) -> Any:
        raise TemplateError("never", permanent=True, data={"done": 3})

    def _defer(self, params: Any, ctx: RunContext) -> Any:
        ctx.log.info("%s %s %s %s", ctx.triggered_by, ctx.triggered_by_user, ctx.route, ctx.callback)
        return Deferred(20)

    def _ask_later(self, params: Any, ctx: RunContext) -> Any:
        raise TemplateError("busy", retry_after_seconds=33)

    def _until_third(self, params: Any, ctx: RunContext) -> Any:
        if ctx.attempt < 3:
            raise TemplateError(f"attempt {ctx.attempt} fails")
        return JobResult("third time", {"key": ctx.idempotency_key})

    def _sysexit(self, params: Any, ctx: RunContext) -> Any:
        sys.exit(3)

    def _hard_exit(self, params: Any, ctx: RunContext) -> Any:
        os._exit(7)

    def _segfault(self, params: Any, ctx: RunContext) -> Any:
        ctypes.string_at(0)

    def _unserialisable(self, params: Any, ctx: RunContext) -> Any:
        return JobResult("x", {"a": object()})

    def _nan(self, params: Any, ctx: RunContext) -> Any:
        return JobResult("x", {"a": float("nan")})

    def _wrong_type(self, params: Any, ctx: RunContext) -> Any:
        return {"a": 1}

    def _huge_result(self, params: Any, ctx: RunContext) -> Any:
        return JobResult("x", {"a": "y" * 3_000_000})

    def _memory(self, params: Any, ctx: RunContext) -> Any:
        return JobResult(str(len(bytearray(4 << 30))))

    def _flood_print(self, params: Any, ctx: RunContext) -> Any:
        for _ in range(100):
            print("x" * 1_000_000)
        return JobResult("printed 100 MB")

    def _flood_log(self, params: Any, ctx: RunContext) -> Any:
        for number in range(20_000):
            ctx.log.info("line %d", number)
        return JobResult("logged")

    def _count(self, params: Any, ctx: RunContext) -> Any:
        for number in range(60):
            ctx.log.info("line %d", number)
            time.sleep(0.05)
        return JobResult("counted")

    def _spin(self, params: Any, ctx: RunContext) -> Any:
        while True:
            pass

    def _talk(self, params: Any, ctx: RunContext) -> Any:
        print("to stdout")
        print("to stderr", file=sys.stderr)
        logging.getLogger("some.library").warning("from a library")
        subprocess.run(["echo", "from a child"], check=True)
        print("no newline", end="")
        ctx.progress(1, 4, "a quarter")
        ctx.progress(4, 4, "all")
        return JobResult("talked")

    def _report(self, params: Any, ctx: RunContext) -> Any:
        ctx.log.info("first")
        ctx.progress(1, 4, "a quarter")
        ctx.log.warning("second")
        ctx.progress(4, 4, "all")
        return JobResult("reported")

    def _write_file(self, params: Any, ctx: RunContext) -> Any:
        found = sorted(path.name for path in ctx.files.iterdir())
        (ctx.files / "kept").write_text("x")
        return JobResult("wrote", {"found": found, "folder": str(ctx.files)})

    def _closed_stdout(self, params: Any, ctx: RunContext) -> Any:
        sys.stdout.close()
        os.close(1)
        return JobResult("closed")

    def _async(self, params: Any, ctx: RunContext) -> Any:
        async def later() -> JobResult:
            await asyncio.sleep(0.01)
            return JobResult("async")

        return later()

    def _stubborn_tree(self, params: Any, ctx: RunContext) -> Any:
        """Ignores SIGTERM, with children that change session, are orphaned and ignore it too."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        pids = [os.getpid()]
        for _ in range(3):
            read, write = os.pipe()
            if os.fork() == 0:
                os.setsid()
                grandchild = os.fork()
                if grandchild == 0:
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
                    os.write(write, str(os.getpid()).encode())
                    time.sleep(600)
                os._exit(0)
            pids.append(int(os.read(read, 20)))
        Path(params["file"]).write_text(" ".join(map(str, pids)))
        time.sleep(600)

    def _daemon_left(self, params: Any, ctx: RunContext) -> Any:
        """Ends well and leaves a daemon behind."""
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        Path(params["file"]).write_text(str(child.pid))
        return JobResult("left one behind")

    def _many_processes(self, params: Any, ctx: RunContext) -> Any:
        for _ in range(200):
            subprocess.Popen(["sleep", "600"])
        time.sleep(600)

    def _many_files(self, params: Any, ctx: RunContext) -> Any:
        held = [open(os.devnull) for _ in range(5000)]  # noqa: SIM115 - to run out of them
        return JobResult(str(len(held)))

    def _write_here(self, params: Any, ctx: RunContext) -> Any:
        found = sorted(path.name for path in ctx.files.iterdir())
        Path("installed here").write_text("x")
        with tempfile.NamedTemporaryFile(delete=False) as stream:
            assert Path(stream.name).parent == ctx.files
        return JobResult("wrote", {"found": found})

    def _echo(self, params: Any, ctx: RunContext) -> Any:
        """Prints in each way, without an end of the line."""
        os.write(1, f"raw {params['file']};".encode())
        print(f"print {params['file']}", end="")
        return JobResult("echoed", {"pid": os.getpid()})

    def _leave_environment(self, params: Any, ctx: RunContext) -> Any:
        os.environ["LEFT_BEHIND"] = "x"
        return JobResult("left", {"pid": os.getpid()})

    def _leave_thread(self, params: Any, ctx: RunContext) -> Any:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        return JobResult("left", {"pid": os.getpid()})

    def _leave_logging(self, params: Any, ctx: RunContext) -> Any:
        logging.getLogger().handlers.clear()
        logging.getLogger().setLevel(logging.CRITICAL)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return JobResult("left", {"pid": os.getpid()})

    def _burn(self, params: Any, ctx: RunContext) -> Any:
        while True:
            pass

    def _look_around(self, params: Any, ctx: RunContext) -> Any:
        return JobResult("looked", {"environment": sorted(os.environ), "modules": sorted(m for m in sys.modules if m.startswith("app."))})

    def _garbage(self, params: Any, ctx: RunContext) -> Any:
        """Sends the lines of `file` to the runner as if they were messages, then returns what the file's name says."""
        logging.getLogger().handlers[0]._send.__self__._sock.sendall(Path(params["file"]).read_bytes())  # type: ignore[attr-defined]
        return JobResult("sent")

    def _odd_result(self, params: Any, ctx: RunContext) -> Any:
        return JobResult("odd", {"x": 2**200, "a\0b": 1, "deep": _nested(400), "half": chr(0xD800), "": [2**64] * 3, "$set": {"a.b": 1}})

    def _odd_error(self, params: Any, ctx: RunContext) -> Any:
        raise TemplateError("half " + chr(0xDC00) + " and NUL \0", data={"x": 2**100, "\0": chr(0xD800)}, permanent=True)

    def _odd_progress(self, params: Any, ctx: RunContext) -> Any:
        ctx.progress(2**100, -(2**100), chr(0xD800) + "\0")
        ctx.log.info("half %s and NUL \0", chr(0xD800))
        return JobResult("went on")


def _nested(levels: int) -> Any:
    found: Any = []
    for _ in range(levels):
        found = [found]
    return found
