"""`python -m tests.faults.send_until_killed URI DATABASE BEGAN SPEED`: sends notifications until it is killed. Its clock goes SPEED times as
fast as that of the machine since BEGAN (seconds since 1970), so that a wait of half a minute does not take so long."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime

from app.config import Settings
from app.factory import Store, build_services
from app.factory.notifications import build_sender
from app.factory.stores import Stores
from app.instants import to_milliseconds
from app.mongo import connect, open_database
from app.node.delivering import POLL_SECONDS
from app.queue.owing import Owing
from tests.support import KEY


class FastClock:
    """A clock that went as the others until `began`, and `speed` times as fast since then."""

    def __init__(self, began: float, speed: float) -> None:
        self._began, self._speed = began, speed

    def now(self) -> datetime:
        return to_milliseconds(datetime.fromtimestamp(self._began + (time.time() - self._began) * self._speed, UTC))

    def monotonic(self) -> float:
        return time.monotonic() * self._speed


def main() -> None:
    uri, database, began, speed = sys.argv[1:]
    client = connect(uri)
    store = Store(client, open_database(client, database), None)
    settings = Settings(secret_key=KEY, allowed_hosts=("127.0.0.1",))
    services = build_services(settings, store, clock=FastClock(float(began), float(speed)))
    sender = build_sender(Stores.over(store.database, Owing()), services)
    while True:
        sender.tick()
        time.sleep(POLL_SECONDS / float(speed))


if __name__ == "__main__":
    main()
