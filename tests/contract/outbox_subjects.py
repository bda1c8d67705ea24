"""The handlers of the outbox in a registry, wired as the engine wires them, with records that owe something to them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import create_autospec

import pytest
from pymongo.errors import PyMongoError

from app.audit.model import Actor
from app.clock import ManualClock
from app.config import Settings
from app.execution.history_store import HistoryStore
from app.execution.log_store import LogStore
from app.execution.regroup import LATE_WRITES, Regroup
from app.execution.retention import Retention
from app.execution.self_pause import SelfPause
from app.execution.traced import TraceExecution
from app.executors.base import Executor
from app.factory import Store, build_node, event_handlers
from app.integrations.nats.messages import Message, Sent
from app.integrations.nats.publishing import PublishEvent, PublishExecution
from app.jobs.broken import DisableBroken
from app.jobs.dispatch_store import DispatchStore
from app.jobs.model import Job
from app.notification.incidents.ends import AlertEnds
from app.notification.outcomes import TellOutcome
from app.outbox.batches import Carried
from app.outbox.carrier import Carrier
from app.outbox.event_store import Events
from app.outbox.events import JobBroken, JobChanged
from app.outbox.handler import Handler
from app.outbox.model import Owed, owed_from, owed_now
from app.queue.execution import Execution
from app.queue.model import Status, Trigger
from app.scheduling.followers import Followers
from app.services import Services
from app.traceparent import TraceParent
from app.traces.base import Span, Traces
from tests.builders.owing import WITH_ALL, WITH_BUS
from tests.builders.queue import new_execution

TELL = {"on_failure": ["ops@example.com"]}


class Recording:
    """Keeps of which executions it has told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def notify(self, execution: Execution) -> None:
        self.told.append(execution.id)


class RecordingCollector:
    """Keeps the spans that it takes, each place once, as whoever shows them does."""

    def __init__(self) -> None:
        self.spans: dict[str, Span] = {}

    def samples(self, parent: TraceParent | None, trace_id: str) -> bool:
        return parent is None or parent.sampled

    def take(self, span: Span, place: TraceParent, parent: TraceParent | None) -> None:
        self.spans[span.place] = span

    def close(self, timeout_seconds: float) -> None:
        """Nothing waits."""


class Subject(ABC):
    """One handler in a registry, wired as the engine wires it, and records that owe something to it."""

    handler_class: type[Handler[Any]]
    collection: str
    repeats = False  # the effect is there twice where a node is killed between it and its record

    def __init__(self, store: Store, services: Services, actor: Actor, settings: Settings, clock: ManualClock) -> None:
        self.database, self.services, self.actor, self.clock, self.settings = store.database, services, actor, clock, settings
        self.collector = RecordingCollector()
        with_all = replace(settings, nats_url=WITH_ALL.nats_url, traces=WITH_ALL.traces)
        traced = replace(services, traces=Traces(self.collector))
        node = build_node(with_all, store, traced, create_autospec(Executor, instance=True))
        self.carrier = next(carrier for carrier in node.planning.parts.carriers if carrier.name == self.name)
        self.outbox, self.handler = self.carrier._store, self.carrier._handler
        self.records = 0

    @property
    def name(self) -> str:
        """What records owe."""
        return self.handler_class.name

    def another_node(self) -> Carrier[Any]:
        """The carrier of another node."""
        return type(self.carrier)(self.outbox, self.handler, self.clock)

    def intercept(self, monkeypatch: pytest.MonkeyPatch, before: Callable[[Any], None]) -> None:
        """Have `before` called with each record before it is carried out; what it raises is how that went."""
        carry_out = self.handler.carry_out

        def intercepted(record: Any) -> None:
            before(record)
            carry_out(record)

        monkeypatch.setattr(self.handler, "carry_out", intercepted)

    @abstractmethod
    def owe(self) -> str:
        """Make another record that owes it; returns its id."""

    @abstractmethod
    def owe_unwanted(self) -> str:
        """Make a record that owes it although there is nothing to do."""

    @abstractmethod
    def effects(self) -> int:
        """How many times something was done."""

    def ask_again(self, record_id: str) -> None:
        """As a person does."""
        self.services.given_up.ask_again(self.actor, record_id, self.name)

    @abstractmethod
    def forget_old(self) -> None:
        """Remove what is old."""

    def owed(self, record_id: str) -> Owed | None:
        """What a record owes to this handler; None where it owes nothing."""
        row = self.database[self.collection].find_one({"_id": record_id}) or {}
        return next((item for item in owed_from(row) if item.what == self.name), None)

    def exists(self, record_id: str) -> bool:
        return self.database[self.collection].find_one({"_id": record_id}) is not None


class OfEnds(Subject):
    """A handler of the ends of executions."""

    collection = "job_executions"

    def job(self, **fields: Any) -> Job:
        self.records += 1
        return self.services.jobs.create(self.actor, {"name": f"job {self.records}", "template_type": "noop", **fields})[0]

    def ended(self, job: Job, status: Status = Status.FAILED, **fields: Any) -> str:
        """An execution of the job that has ended so, and that owes something to this handler alone."""
        self.clock.advance(1)
        now = self.clock.now()
        execution = new_execution(job, now=now, triggered_by=Trigger.SCHEDULE, status=status, **fields)
        document = {**execution.as_document(), "owed": owed_now([self.name], now)}
        self.database[self.collection].insert_one(document)
        return execution.id

    def forget_old(self) -> None:
        Retention(
            history=HistoryStore(self.database),
            logs=LogStore(self.database),
            jobs=DispatchStore(self.database),
            clock=self.clock,
            settings=replace(self.settings, keep_success_days=1, keep_failure_days=1, keep_skipped_days=1, keep_per_job=1),
        ).tick()


class Telling(OfEnds):
    handler_class = TellOutcome
    repeats = True  # a delivery, with the same id

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._notifier = Recording()
        self.handler = TellOutcome(self._notifier)
        self.carrier = self.another_node()

    def owe(self) -> str:
        return self.ended(self.job(notifications=TELL))

    def owe_unwanted(self) -> str:
        return self.ended(self.job(notifications=TELL), Status.SUCCESS)

    def effects(self) -> int:
        return len(self._notifier.told)


class Pausing(OfEnds):
    handler_class = SelfPause
    interval = {"type": "interval", "interval_seconds": 3600}

    def owe(self) -> str:
        return self.ended(self.job(pause_after_failures=1, schedule=self.interval))

    def owe_unwanted(self) -> str:
        return self.ended(self.job(schedule=self.interval))

    def effects(self) -> int:
        """A pause is a new version of its job."""
        return sum(row["version"] - 1 for row in self.database["dynamic_jobs"].find())


class Alerting(OfEnds):
    handler_class = AlertEnds

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.services.alert_rules.create(self.actor, {"name": "Failures", "condition": {"type": "failed"}, "to": ["ops@example.com"]})

    def owe(self) -> str:
        return self.ended(self.job())

    def owe_unwanted(self) -> str:
        return self.ended(self.job(), Status.FAILED, dry=True)

    def effects(self) -> int:
        return sum(row["count"] for row in self.database["incidents"].find())


class Following(OfEnds):
    handler_class = Followers

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._first = self.job()
        self.job(depends_on=[{"job": self._first.id}])

    def owe(self) -> str:
        return self.ended(self._first, Status.SUCCESS)

    def owe_unwanted(self) -> str:
        return self.ended(self._first, Status.SUCCESS, dry=True)

    def effects(self) -> int:
        return self.database["job_executions"].count_documents({"triggered_by": Trigger.DEPENDENCY.value})


def group_changed(job_id: str, clock: ManualClock) -> JobChanged:
    """A job got another group, so long ago that no execution is written late any more (Regroup looks for those once more)."""
    return JobChanged(at=clock.now() - LATE_WRITES, job_id=job_id, changed=("group",))


class Regrouping(Subject):
    handler_class = Regroup
    collection = "domain_events"

    def owe(self) -> str:
        """A job got another group, and one of its executions has the old one."""
        self.records += 1
        job = self.services.jobs.create(self.actor, {"name": f"job {self.records}", "template_type": "noop", "group": "new"})[0]
        execution = new_execution(job, now=self.clock.now(), group="old", execution_id=f"of {self.records}")
        self.database["job_executions"].insert_one(execution.as_document())
        return self._record(group_changed(job.id, self.clock))

    def owe_unwanted(self) -> str:
        """An event that another version has recorded."""
        event_id = self._record(group_changed("j", self.clock))
        self.database[self.collection].update_one({"_id": event_id}, {"$set": {"details": {"another": "shape"}}})
        return event_id

    def _record(self, event: JobChanged) -> str:
        known = set(self.database[self.collection].distinct("_id"))
        self.services.events.publish(event)
        (event_id,) = set(self.database[self.collection].distinct("_id")) - known
        return str(event_id)

    def effects(self) -> int:
        return self.database["job_executions"].count_documents({"group": "new"})

    def ask_again(self, record_id: str) -> None:
        self.services.given_up.ask_again_of_event(self.actor, record_id, self.name)

    def forget_old(self) -> None:
        self.services.events.forget_settled()


class RecordingStream:
    """Keeps the first message with each id, as the stream of a server does."""

    prefix = "jobwright"

    def __init__(self) -> None:
        self.messages: dict[str, Message] = {}

    def takes_events(self) -> bool:
        return True

    def publish(self, chains: Sequence[Sequence[Message]]) -> list[Sent]:
        for message in (message for chain in chains for message in chain):
            self.messages.setdefault(message.id, message)
        return [Sent(len(chain)) for chain in chains]


class InBatches(Subject):
    """A handler that takes several records at once."""

    def intercept(self, monkeypatch: pytest.MonkeyPatch, before: Callable[[Any], None]) -> None:
        carry_out_all = self.handler.carry_out_all

        def intercepted(records: Sequence[Any]) -> Mapping[str, Carried]:
            went = {}
            for record in records:
                try:
                    before(record)
                except PyMongoError:
                    raise
                except Exception as error:
                    went[record.id] = Carried(error=error)
            return {**carry_out_all([record for record in records if record.id not in went]), **went}

        monkeypatch.setattr(self.handler, "carry_out_all", intercepted)


class OnTheBus(InBatches):
    """What the subjects of the bus share: each record is one message."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.stream = self.handler._bus = RecordingStream()

    def effects(self) -> int:
        return len(self.stream.messages)


class Tracing(InBatches, OfEnds):
    handler_class = TraceExecution

    def owe(self) -> str:
        return self.ended(self.job())

    def owe_unwanted(self) -> str:
        """The execution belongs to a trace that whoever asked for it does not record."""
        return self.ended(self.job(), traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-00")

    def effects(self) -> int:
        return len(self.collector.spans)


class PublishingExecutions(OnTheBus, OfEnds):
    handler_class = PublishExecution

    def owe(self) -> str:
        return self.ended(self.job())

    def owe_unwanted(self) -> str:
        return self.ended(self.job(), dry=True)


class PublishingJobs(OnTheBus, Regrouping):
    handler_class = PublishEvent

    def owe(self) -> str:
        """A job was created."""
        self.records += 1
        job = self.services.jobs.create(self.actor, {"name": f"job {self.records}", "template_type": "noop"})[0]
        return self._record(JobChanged(at=self.clock.now(), job_id=job.id, change="created"))

    def owe_unwanted(self) -> str:
        """The creation of a job was refused."""
        return self._record(JobChanged(at=self.clock.now(), job_id="nothing", change="created"))

    def _record(self, event: JobChanged) -> str:
        known = set(self.database[self.collection].distinct("_id"))
        Events(self.database, event_handlers(WITH_BUS), self.clock).publish(event)
        (event_id,) = set(self.database[self.collection].distinct("_id")) - known
        return str(event_id)


class Disabling(Subject):
    handler_class = DisableBroken
    collection = "domain_events"

    def owe(self) -> str:
        """The schedule of a job cannot be computed."""
        self.records += 1
        schedule = {"type": "interval", "interval_seconds": 60}
        job = self.services.jobs.create(self.actor, {"name": f"job {self.records}", "template_type": "noop", "schedule": schedule})[0]
        self.database["dynamic_jobs"].update_one({"_id": job.id}, {"$set": {"schedule_error": "no zone"}})
        return self._record(JobBroken(at=self.clock.now(), job_id=job.id, job_name=job.definition.name, reason="no zone"))

    def owe_unwanted(self) -> str:
        """An event that another version has recorded."""
        event_id = self._record(JobBroken(at=self.clock.now(), job_id="j", job_name="j", reason="no zone"))
        self.database[self.collection].update_one({"_id": event_id}, {"$set": {"details": {"another": "shape"}}})
        return event_id

    def _record(self, event: JobBroken) -> str:
        known = set(self.database[self.collection].distinct("_id"))
        self.services.events.publish(event)
        (event_id,) = set(self.database[self.collection].distinct("_id")) - known
        return str(event_id)

    def effects(self) -> int:
        return self.database["dynamic_jobs"].count_documents({"enabled": False, "schedule_error": "no zone"})

    def ask_again(self, record_id: str) -> None:
        self.services.given_up.ask_again_of_event(self.actor, record_id, self.name)

    def forget_old(self) -> None:
        self.services.events.forget_settled()


SUBJECTS = {
    kind.handler_class.name: kind
    for kind in (Telling, Pausing, Alerting, Following, Regrouping, Disabling, Tracing, PublishingExecutions, PublishingJobs)
}
