"""Structured log events: an event name and fields, never prose. docs/reference/events.md lists every name."""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Any

import structlog

# Event name → its meaning. A test checks that the code uses no other name and that the docs list each with these words.
EVENTS: dict[str, str] = {
    "service.starting": "The service starts. With its version and role.",
    "service.ready": "The service can answer requests. With its address and the seconds since the start.",
    "service.draining": "The service received SIGTERM or Ctrl-C. It starts no new run.",
    "service.stopped": "All parts have stopped, and the process ends.",
    "service.first_admin": "The first super-admin was created.",
    "audit.written": (
        "An audit event was stored. With its number, action, outcome and seal, so that the audit trail can be compared with the log."
    ),
    "mongod.started": "The private MongoDB has started. With its process id and the seconds that it took.",
    "mongod.reused": "The private MongoDB of this folder was running already, and is used.",
    "mongod.orphan_stopped": "A private MongoDB was stopped, because the Jobwright that had started it was killed.",
    "mongod.died": "The private MongoDB ended unexpectedly. It is started again.",
    "mongod.down": "The private MongoDB cannot be started. With the reason. The next try is in five seconds.",
    "mongod.stopped": "The private MongoDB has stopped.",
    "sample.server_down": "The private MongoDB of the sample data cannot be started. With the reason. The next try is in two seconds.",
    "sample.run_has_ended": "A run of a sample job ended before it could be cancelled.",
    "job_types.not_installed": "A job type whose service has an address was not installed. With its name and the reason.",
    "sample.not_made": "JOBWRIGHT_SAMPLE is set, but the sample data was not created. With the reason.",
    "database.away": (
        "The database does not answer. With the driver's reason, which may contain addresses. Answers to requests do not contain it."
    ),
    "metrics.unreadable": "The values of the database could not be read for /metrics. With the reason.",
    "migration.applied": "A database migration was applied.",
    "migration.reverted": "A database migration was reverted.",
    "migration.waiting": "Another process migrates the database. This one waits for it.",
    "migration.lock_not_renewed": "The lock of the migrations could not be renewed. With the reason. The next try is in ten seconds.",
    "name.taken": "A stored name could not be converted to its normal spelling, because another record has that name already.",
    "dispatch.planned": "Due times became executions. With the counts of one tick.",
    "self_pause.nothing_to_pause": "A job failed too often in a row, but it has no schedule that could be paused, or it was deleted.",
    "clock.was_set": (
        "The clock of the machine was changed. With the number of seconds. Lost runs are looked for one lease later than usual."
    ),
    "calendar.changed": "A blackout calendar was changed. Jobs that it affects are planned again.",
    "job.paused_itself": "A job reached its limit of failures in a row, and was paused.",
    "retention.removed": "Executions beyond the limits of age and number were removed, with their logs.",
    "dispatch.recovered": "This scheduler stored executions that another scheduler had planned before it was killed.",
    "dispatch.refused": "The database refused a batch of due jobs because of their content. Each job is now dispatched separately.",
    "dispatch.broken_schedule": "The next run of a schedule cannot be computed. The job is not started, and shows the reason.",
    "job.disabled_as_broken": "A job was disabled because its next run cannot be computed. With the reason.",
    "job.not_disabled": "A job whose next run cannot be computed was not disabled: it was deleted, or its record is damaged.",
    "tick.failed": "A periodic task failed. It runs again at its next tick.",
    "item.refused": "A periodic task could not process one item. With the traceback. The other items are processed.",
    "executor.failed": "The local executor had an unexpected error. With the traceback. Other attempts continue.",
    "permit.not_renewed": "A node could not renew its permit to start runs. It starts none until it can.",
    "node.drains": "A person asked this node to drain. It claims no further run, and what runs goes on.",
    "node.resumed": "A person ended the drain of this node. It claims runs again.",
    "attempt.unprepared": (
        "A claimed attempt could not be prepared. The run ends with the reason. If the database does not answer, the run waits again."
    ),
    "attempt.started": "An attempt was given to its process.",
    "attempt.ended": "An attempt ended. With its status, its seconds, and what happens next.",
    "attempt.deferred": "Another program goes on with an attempt. If it has reported the end already, held is false.",
    "attempt.postponed": "The service of a run cannot take it now. With the reason, and how long it waits.",
    "callback.refused": "A service reported about an attempt that has ended. Nothing was changed.",
    "callback.unsigned": "A report of a service was refused, because its signature is missing or wrong.",
    "handler.not_retired": "A service does not have a job any more, but the job could not be retired. It is tried again at its next run.",
    "circuit.changed": "The circuit breaker of an endpoint of a service opened or closed. With the error of the last call.",
    "circuit.probed": "A call tries an endpoint whose circuit breaker was open.",
    "attempt.stale": "A write of an attempt was refused, because another worker has taken the run over.",
    "attempt.killed": "All processes of an attempt were killed. With the reason.",
    "attempt.lease_lost": "The lease of an attempt could not be renewed, so the attempt was killed.",
    "attempt.lost": "A worker did not renew the lease of a run. With what happens to the run.",
    "attempt.handed_back": "A worker that stops returned an unfinished run to the queue.",
    "connection.answers": "A connection answers again.",
    "connection.silent": "A connection does not answer. With the message of the test.",
    "followers.circle": "A circle of jobs that trigger each other was interrupted. The execution has the reason circle.",
    "recorder.lost": "The end of a run could not be stored in any form. The run counts as lost when its lease expires.",
    "recorder.not_noted": "The latest run could not be stored with its job. The execution itself is stored.",
    "recorder.refused": "The database refused reports because of their content. The reports of each attempt are now written separately.",
    "recorder.unwritten": "The service stopped while the database accepted no writes. These reports are lost.",
    "record.damaged": (
        "A document in the database cannot be read. With collection, id and the reason. Jobwright shows it as damaged and does "
        "not use it. Each process logs it once."
    ),
    "recorder.waiting": "The database does not answer. The ends of runs are kept in memory and written later.",
    "outbox.failed": (
        "A follow-up of an execution or of a change could not be carried out. With what (such as notify for a notification, "
        "followers, self_pause, regroup, publish_execution, publish_job or trace), tries and the reason. It is tried again, unless "
        "given_up is set: then a person can ask for it on the page of the execution."
    ),
    "broker.connected": "A worker is connected to the message broker (CELERY_BROKER_URL). With the number of queues that it consumes.",
    "broker.away": "The message broker cannot be reached. With the reason. Runs wait in the database and are announced later.",
    "broker.back": "The message broker can be reached again. With the number of runs that are announced again.",
    "broker.evicts": "Redis deletes messages when its memory is full. Set maxmemory-policy noeviction. With its policy.",
    "celery.said": "Celery reported an error. With what it said.",
    "hint.refused": "A message was not the id of an execution. It was acknowledged and forgotten. With the reason.",
    "worker.deaf": "For 35 s, a worker took no message though the broker answers, or could not connect. It tries again. With the seconds.",
    "worker.hangs": "The consumer of a worker did not end in time. The process drains and ends with exit code 1.",
    "bus.connected": "The bus (NATS_URL) is connected. With the server.",
    "bus.away": "The bus cannot be reached. With the reason, once for each reason. Events are kept and published later.",
    "bus.error": "The NATS client reported an error. With the reason.",
    "bus.deaf": "The connection to the bus exists but does not hear any more. With the reason. A new connection is opened.",
    "bus.no_stream": "The bus is connected, but its stream of events can neither be used nor created. With the reason.",
    "bus.stream_made": "The stream of events was created. With its name.",
    "bus.full": "A command was refused with 503 because too many commands wait on this node. With their number.",
    "bus.no_command_connection": "The connection that NATS_URL and ALLOWED_COMMANDS describe was not created. With the reason.",
    "bus.command_failed": "A command from the bus could not be answered. With the traceback.",
    "traces.away": "The collector of traces takes no spans. With the reason. They are dropped, and runs go on.",
    "traces.said": "OpenTelemetry does not understand one of its variables and uses its default. With what it said.",
    "traces.back": "The collector of traces takes spans again. With the number of spans that were dropped.",
    "event.unconfirmed": "A change was made, but its follow-up could not be confirmed at once. It is carried out a little later.",
    "scheduler.stalled": "The dispatcher of this node has not finished a tick for a minute. With the number of seconds.",
    "zygote.started": "The process that job processes are forked from is ready.",
    "cage.holds": (
        "The sandbox of a template's processes is active. With the version of Landlock, and whether folders and the network are hidden."
    ),
    "zygote.died": (
        "A process that job processes are forked from ended. With its template and the reason. It is started again when it is needed."
    ),
    "signin.provider_failed": "The provider of single sign-on did not answer, or its answer cannot be trusted. With the reason.",
    "service.stale": "A service that registers jobs has been silent for longer than its time to live. With its name.",
    "migration.unfinished": (
        "A step of the migration of a job from the old scheduler failed. It is repeated. With the name of the job and the stage."
    ),
    "service.not_paused": "A job could not be paused or resumed while its service is silent. With the names of both and the reason.",
    "delivery.failed": "A try to send a notification failed. With its id, its channel, the result, the status after it and the reason.",
    "delivery.crashed": "The code of a channel failed unexpectedly. With the traceback. The notification is tried again.",
    "delivery.interrupted": "Sending the notifications of a channel was interrupted, mostly by a database that is away. With the reason.",
    "monitor.stuck": "Follow-ups or notifications have been due for longer than JOBWRIGHT_STUCK_SECONDS. With what is stuck.",
    "monitor.moves": "What was stuck has moved again for as long as JOBWRIGHT_STUCK_SECONDS.",
    "monitor.mailed": "A mail was sent to JOBWRIGHT_EMERGENCY_TO. With the incident, and whether it is still open.",
    "monitor.mail_failed": "A mail to JOBWRIGHT_EMERGENCY_TO could not be sent. With the reason. The next try is in a minute.",
    "monitor.unreachable": "The outside monitor did not take a call. With the reason.",
    "monitor.reached": "The outside monitor takes calls again.",
    "incident.changed": "An incident has begun, was announced, or is over. With its id, its rule, its subject, its state and its count.",
    "excerpt.failed": "The log of an execution could not be read for a notification, which has none of it. With the execution and reason.",
    "digest.written": "A digest was written for a local day. With its id, and whether there was something to send.",
    "digest.without_reader": "The account of a personal digest is closed, or may not see executions any more. Its digest ends.",
    "digest.failed": "A digest could not be written. With its id and the reason. The next try is in ten minutes.",
    "channel.not_loaded": "A type of channel could not be loaded. With its name and the type of the error.",
    "connection.unexplored": "A connection gave no suggestions for a form. With its name and the type of the error.",
    "job.calls_unknown": (
        "A template could not say which addresses a job calls, or which programs it starts. With the template and the type of the error."
    ),
    "catalogue.broken": "A template could not be loaded, so its jobs cannot run.",
    "catalogue.converted": (
        "The schema of a template is written for an older draft and was converted. With the draft and the number of changes."
    ),
    "request": "One HTTP request was answered. With its method, path, status and milliseconds.",
    "request.broken": "The application failed while it sent an answer, and the connection was closed. With the traceback.",
    "web.broken": "The web server had an unexpected error. With the traceback. Other connections continue.",
    "request.failed": "A request failed with an unexpected error. With the traceback.",
}

# On a terminal, these events and fields are shown only at the level DEBUG: people who start Jobwright look for other things.
DETAIL_EVENTS = frozenset({"audit.written", "migration.applied", "zygote.started", "cage.holds"})
DETAIL_FIELDS = frozenset({"pid", "seal", "seq", "correlation_id", "logger", "worker"})
_COLOURS = {"debug": "2", "warning": "33", "error": "31", "critical": "31"}  # of the terminal, ECMA-48

_SECRET_WORDS = ("password", "secret", "token", "authorization", "cookie", "uri")


def mask_secrets(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Masks every field whose name sounds secret. This is the last line of defence."""
    for key in event:
        if any(word in key.lower() for word in _SECRET_WORDS):
            event[key] = "***"
    return event


def console_words(event: str) -> str:
    """Returns the meaning of an event in a few words; the event itself if it is the text of a library."""
    return re.split(r"[;:.]", EVENTS[event], maxsplit=1)[0] if event in EVENTS else event


class ConsoleLines:
    """Renders an event as a line for people: the time of day, the level, what happened, and the fields."""

    def __init__(self, *, details: bool, colours: bool) -> None:
        self._details, self._colours = details, colours

    def __call__(self, _logger: Any, _method: str, event: structlog.typing.EventDict) -> str:
        fields = dict(event)
        name, level, at = str(fields.pop("event")), fields.pop("level", "info"), fields.pop("timestamp", "")
        exception = fields.pop("exception", "")
        pairs = [f"{key}={_written(value)}" for key, value in fields.items() if self._details or key not in DETAIL_FIELDS]
        words = f"{console_words(name)} ({name})" if self._details and name in EVENTS else console_words(name)
        line = "  ".join([f"{at} {level:<7} {words}", *([" ".join(pairs)] if pairs else [])])
        if self._colours and level in _COLOURS:
            line = f"\x1b[{_COLOURS[level]}m{line}\x1b[0m"
        return f"{line}\n{exception}" if exception else line


def _written(value: Any) -> str:
    """Returns a value as it is, or quoted and escaped if it has spaces or what could steer a terminal."""
    text = str(value)
    return text if text and text.isprintable() and " " not in text else json.dumps(text, ensure_ascii=not text.isprintable())


def _drop_details(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if event["event"] in DETAIL_EVENTS:
        raise structlog.DropEvent
    return event


def is_for_people(style: str) -> bool:
    """Returns whether a style of `configure_logging` means lines for people."""
    return style == "console" or (style == "auto" and sys.stderr.isatty())


def configure_logging(*, level: str = "INFO", style: str = "auto") -> None:
    """Sends structured events, and the log of libraries, to standard error.

    `style`: `json`, `console`, or `auto` (console if standard error is a terminal).
    """
    as_json, details = not is_for_people(style), level == "DEBUG"
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True) if as_json else structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        structlog.processors.format_exc_info,
        mask_secrets,
        *([] if as_json else [structlog.stdlib.add_logger_name]),
        *([] if as_json or details else [_drop_details]),
    ]
    render: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else ConsoleLines(details=details, colours=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("pymongo", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # APScheduler warns when a tick still runs at its next turn, which is normal here. Ticks report their own failures.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Returns a logger whose first argument is a name from EVENTS."""
    return structlog.stdlib.get_logger(name)
