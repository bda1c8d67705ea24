"""`python -m tests.busy COUNT COMMAND …`: runs a command beside so many busy loops, and ends with its exit code.

A test that passes on a quiet machine and fails here waits for a time instead of for a condition.
"""

from __future__ import annotations

import multiprocessing
import subprocess
import sys


def burn() -> None:
    """Uses a processor until the process is ended."""
    while True:
        pass


def main() -> int:
    count, command = int(sys.argv[1]), sys.argv[2:]
    loops = [multiprocessing.Process(target=burn, daemon=True) for _ in range(count)]
    for loop in loops:
        loop.start()
    try:
        return subprocess.run(command, check=False).returncode
    finally:
        for loop in loops:
            loop.kill()


if __name__ == "__main__":
    sys.exit(main())
