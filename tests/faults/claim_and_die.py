"""`python -m tests.faults.claim_and_die URI DATABASE COUNT`: so many workers, one after the other, each killed with -9 after its claim
and before its start."""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC, datetime, timedelta

from app.mongo import connect, open_database
from tests.builders.queue import Queue


def claim_and_die(uri: str, database: str, number: int) -> None:
    executions = Queue(open_database(connect(uri), database))
    won = executions.claim_due(owner=f"dead {number}", now=datetime.now(UTC), lease=timedelta(seconds=1), limit=1)
    assert len(won) == 1, "nothing was left to claim"
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    uri, database, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    for number in range(count):
        pid = os.fork()  # before any client: PyMongo is not fork-safe
        if pid == 0:
            try:
                claim_and_die(uri, database, number)
            finally:
                os._exit(1)
        _, status = os.waitpid(pid, 0)
        if not os.WIFSIGNALED(status):
            sys.exit(f"worker {number} was not killed")


if __name__ == "__main__":
    main()
