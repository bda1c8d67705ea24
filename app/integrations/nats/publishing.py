"""The handlers of the outbox that publish events on the bus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

from app.integrations.nats.cloud_events import CloudEvent
from app.integrations.nats.execution_events import untold
from app.integrations.nats.job_events import job_event
from app.integrations.nats.messages import BusAway, Message, Sent
from app.jobs.model import Job
from app.outbox.batches import BatchHandler, Carried
from app.outbox.events import EventListener, JobBroken, JobChanged, StoredEvent
from app.outbox.handler import Later
from app.queue.execution import Execution
from app.queue.owing import End, EndHandler
from app.traces.base import OFF, Traces

AGAIN = timedelta(seconds=1)  # after a bus that went away in between


class Stream(Protocol):
    """The bus, as the handlers need it."""

    prefix: str

    def takes_events(self) -> bool:
        """Whether the stream of events can be reached."""
        ...

    def publish(self, chains: Sequence[Sequence[Message]]) -> list[Sent]:
        """Stores the messages of each chain one after the other, and the chains beside each other."""
        ...


class JobsToTell(Protocol):
    """The registry, as the handlers need it."""

    def get(self, job_id: str) -> Job | None: ...
    def get_retired(self, job_id: str) -> Job | None: ...


class PublishExecution(EndHandler, BatchHandler[Execution]):
    """Publishes what has happened to executions: each event once, and those of one execution in their order.

    The events follow from the record, which keeps the words of those that the bus has. Killed between the two, an event is sent again with
    the same id, and the stream drops it.
    """

    name = "publish_execution"
    attempts = True
    first_delay = timedelta(seconds=5)

    def __init__(self, bus: Stream, *, source: str, traces: Traces = OFF) -> None:
        self._bus, self._source, self._traces = bus, source, traces

    @classmethod
    def wants(cls, end: End) -> bool:
        return not end.dry

    def wants_still(self, record: Execution) -> bool:
        return not record.dry and super().wants_still(record)

    def ready(self) -> bool:
        return self._bus.takes_events()

    def carry_out_all(self, records: Sequence[Execution]) -> Mapping[str, Carried]:
        pending = {record.id: untold(self._placed(record)) for record in records}
        chains = [_messages([event for _, event in events], self._source, self._bus.prefix) for events in pending.values()]
        sent = self._bus.publish(chains)
        return {
            record_id: Carried(tuple(word for word, _ in events[: result.count]), _later(result.error))
            for (record_id, events), result in zip(pending.items(), sent, strict=True)
        }

    def _placed(self, record: Execution) -> Execution:
        """The record with the `traceparent` that its events carry: that of its own span, if Jobwright writes spans."""
        return replace(record, traceparent=self._traces.execution(record.id, record.traceparent))


class PublishEvent(EventListener, BatchHandler[StoredEvent]):
    """Publishes what has happened to jobs. A change that was refused has not happened."""

    name = "publish_job"
    kinds = (JobChanged, JobBroken)
    first_delay = timedelta(seconds=5)

    def __init__(self, bus: Stream, jobs: JobsToTell, *, source: str) -> None:
        self._bus, self._jobs, self._source = bus, jobs, source

    def ready(self) -> bool:
        return self._bus.takes_events()

    def carry_out_all(self, records: Sequence[StoredEvent]) -> Mapping[str, Carried]:
        events = {record.id: event for record in sorted(records, key=_age) if (event := self._event(record)) is not None}
        # One chain for each job keeps the order of its events.
        by_job: dict[str, list[str]] = {}
        for record_id, event in events.items():
            by_job.setdefault(event.about, []).append(record_id)
        chains = [_messages([events[record_id] for record_id in ids], self._source, self._bus.prefix) for ids in by_job.values()]
        went = {record.id: Carried() for record in records}
        for ids, result in zip(by_job.values(), self._bus.publish(chains), strict=True):
            went |= {record_id: Carried(error=_later(result.error or BusAway())) for record_id in ids[result.count :]}
        return went

    def _event(self, record: StoredEvent) -> CloudEvent | None:
        if not isinstance(record.event, JobChanged | JobBroken):
            return None
        job_id = record.event.job_id
        return job_event(record, self._jobs.get(job_id) or self._jobs.get_retired(job_id))


def _messages(events: Sequence[CloudEvent], source: str, prefix: str) -> list[Message]:
    return [event.message(source=source, prefix=prefix) for event in events]


def _age(record: StoredEvent) -> float:
    return record.event.at.timestamp() if record.event is not None else 0.0


def _later(error: Exception | None) -> Exception | None:
    """A bus that is away is no failure."""
    return Later(AGAIN) if isinstance(error, BusAway) else error
