"""How long other requests take while clients hold requests half sent: `python -m tests.bench.slow_clients`."""

from __future__ import annotations

import socket
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from app.local_mongod import LocalMongod
from tests.support import KINDS, Service

HALF_SENT = {
    "bodies": b"POST /sign-in HTTP/1.1\r\nHost: jobs\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
    "heads": b"POST /sign-in HTTP/1.1\r\nHost: jobs\r\n",
    "idle": b"",
}
COUNTS = (0, 50, 500, 2000)
ASKED = 30


def main() -> None:
    sys.path.insert(0, str(KINDS))
    with tempfile.TemporaryDirectory() as folder:
        mongod = LocalMongod(Path(folder) / "mongod")
        service = Service("web", uri=mongod.start(), database="slow_clients", data_dir=Path(folder) / "data")
        try:
            service.wait_ready()
            print(f"{'half sent':<10} {'clients':>8} {'median':>10} {'slowest':>10}")
            for what, sent in HALF_SENT.items():
                for count in COUNTS:
                    measure(service.address, what, sent, count)
        finally:
            service.stop()
            mongod.stop()


def measure(address: str, what: str, sent: bytes, count: int) -> None:
    """One line: how long GET /live takes on new connections, while `count` clients have sent `sent` and no more."""
    place = urlsplit(address)
    held = [socket.create_connection((place.hostname or "", place.port or 0), 30) for _ in range(count)]
    for one in held:
        one.sendall(sent)
    times = []
    for _ in range(ASKED):
        began = time.perf_counter()
        answer = HTTPConnection(place.netloc, timeout=120)
        answer.request("GET", "/live")
        answer.getresponse().read()
        answer.close()
        times.append(time.perf_counter() - began)
        if sum(times) > 20:
            break
    for one in held:
        one.close()
    print(f"{what:<10} {count:>8} {median(times) * 1000:>7.1f} ms {max(times) * 1000:>7.1f} ms", flush=True)
    time.sleep(1)  # what was closed is noticed


if __name__ == "__main__":
    main()
