#!/usr/bin/env python3
"""Asks the process of this container whether it is ready: the exit code is 0 if it is.

`jobwright serve` and `jobwright web` answer on PORT, `jobwright scheduler` and `jobwright worker` on JOBWRIGHT_HEALTH_PORT: the first of
the two that listens is asked. The script needs nothing but Python, so that a check costs little.
"""

from __future__ import annotations

import http.client
import os
import sys

TIMEOUT_SECONDS = 4


def is_ready(port: int) -> bool:
    """Returns whether `/ready` answers 200 on a port of this machine. Raises ConnectionRefusedError if nothing listens there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == http.client.OK
    finally:
        connection.close()


def main() -> int:
    """Returns the exit code of the check."""
    for variable in ("PORT", "JOBWRIGHT_HEALTH_PORT"):
        port = int(os.environ.get(variable) or 0)
        try:
            if port:
                return 0 if is_ready(port) else 1
        except ConnectionRefusedError:
            continue
        except (OSError, http.client.HTTPException):
            return 1
    return 1


if __name__ == "__main__":
    sys.exit(main())
