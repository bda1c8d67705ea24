"""`python -m tests.faults.publish_and_die URI DATABASE NATS_URL PREFIX COUNT`: publishes the events of up to COUNT executions and is killed
with -9 after the stream has confirmed them and before the database knows."""

from __future__ import annotations

import os
import signal
import sys
from datetime import timedelta
from typing import Any

from app.clock import SystemClock
from app.integrations.nats.bus import Bus
from app.integrations.nats.messages import Reply
from app.integrations.nats.publishing import PublishExecution
from app.mongo import connect, open_database
from app.outbox.batches import BatchCarrier
from app.queue.store import execution_outbox
from tests.support import eventually


def nobody(*_: Any) -> Reply:
    """Answers no command."""
    return Reply(data=b"")


def die(*_: Any) -> None:
    """Takes the place of the write that notes what was published."""
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    uri, database, url, prefix, count = sys.argv[1:]
    clock = SystemClock()
    bus = Bus([url], prefix=prefix, answer=nobody, on_return=lambda: None, clock=clock)
    bus.start()
    eventually(bus.takes_events)
    handler = PublishExecution(bus, source="urn:test")
    handler.most_at_once, handler.claim_for = int(count), timedelta(seconds=1)  # type: ignore[misc]  # of this object alone
    outbox = execution_outbox(open_database(connect(uri), database))
    outbox.settle_many = die  # type: ignore[method-assign]
    BatchCarrier(outbox, handler, clock).tick()


if __name__ == "__main__":
    main()
