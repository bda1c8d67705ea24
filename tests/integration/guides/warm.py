"""Runs `jobwright` without the second that an interpreter takes to import it.

`python warm.py serve SOCKET` imports the program once and forks a process for each command. `python -S warm.py run SOCKET ARGUMENT…` hands
its arguments, environment, folder and outputs to it, passes on SIGTERM, and ends as the command does. The scripts of guides call the latter.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys

MOST_BYTES = 1 << 20


def serve(path: str) -> None:
    """Waits for commands until the process is killed."""
    import web.setup  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(16)
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _supervise(connection)
            connection.close()
            _reap()


def _reap() -> None:
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


def _supervise(connection: socket.socket) -> None:
    """Forks the command, and says its process id and, in the end, its exit code."""
    message, files, _, _ = socket.recv_fds(connection, MOST_BYTES, 3)
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(json.loads(message), files)
    connection.sendall(f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(wanted: dict[str, object], files: list[int]) -> None:
    os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.chdir(str(wanted["folder"]))
    os.environ.clear()
    os.environ.update(wanted["environment"])  # type: ignore[call-overload]
    sys.path[:0] = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    sys.argv = ["jobwright", *wanted["words"]]  # type: ignore[misc]
    from app.cli import main

    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    os._exit(code)


def run(path: str, words: list[str]) -> int:
    """Has a command run, and returns its exit code."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        wanted = {"words": words, "environment": dict(os.environ), "folder": os.getcwd()}  # noqa: PTH109 - without pathlib it starts faster
        socket.send_fds(connection, [json.dumps(wanted).encode()], [0, 1, 2])
        answers = connection.makefile()
        pid = int(answers.readline())
        signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))
        return int(answers.readline())


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        sys.exit(run(sys.argv[2], sys.argv[3:]))
