"""Structured log events: an event name and fields, never prose. Every name is in docs/reference/events.md."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

# Event name → what it says. A test checks that code uses no other name and that the docs have each.
EVENTS: dict[str, str] = {
    "service.starting": "The service begins to start; version and role.",
    "service.ready": "The first request can be answered; address and seconds since the start.",
    "service.draining": "SIGTERM or SIGINT came: nothing new is claimed.",
    "service.stopped": "All is down; the exit code follows.",
    "service.first_admin": "The first super-admin was made.",
    "audit.written": "An audit event is in the trail; its number, action, outcome and seal, to compare the trail with.",
    "mongod.started": "The private mongod runs; process id and seconds it took.",
    "mongod.reused": "A private mongod of the same folder already ran and is used.",
    "mongod.orphan_stopped": "A private mongod whose Jobwright was killed was stopped.",
    "mongod.died": "The private mongod ended by itself; it is started again.",
    "mongod.down": "The private mongod cannot be started; the reason. It is tried again in five seconds.",
    "mongod.stopped": "The private mongod has ended.",
    "database.away": "The database does not answer; the driver's reason, with its addresses. Answers to requests do not name them.",
    "migration.applied": "A numbered database migration ran.",
    "migration.reverted": "A numbered database migration was taken back.",
    "name.taken": "A stored name that is another only by how it is written could not get its one spelling: another record has that.",
    "dispatch.planned": "Due times became executions; counts a tick.",
    "self_pause.nothing_to_pause": "A job failed too often in a row and is never due by itself, or is gone.",
    "clock.was_set": "The machine's clock was set; by how many seconds. Ticks go on, lost runs are looked for a lease later.",
    "calendar.changed": "A calendar was changed; jobs in one of its blackouts look again.",
    "job.paused_itself": "A job failed as often in a row as it may, and is paused.",
    "retention.removed": "Executions that were older or more than is kept were forgotten, with their logs.",
    "dispatch.recovered": "Due times that a killed scheduler had claimed were written by this one.",
    "dispatch.refused": "The database refused a batch of due jobs for what is in it; each is dispatched by itself.",
    "dispatch.broken_schedule": "A schedule cannot be computed; the job is left alone and shows the reason.",
    "tick.failed": "A periodic task raised; it is tried again at its next tick.",
    "item.refused": "A periodic task could not deal with one of its items, in whatever form; with the traceback. The others go on.",
    "executor.failed": "An unexpected error in the local executor, with its traceback. Other attempts go on.",
    "permit.not_renewed": "A node could not ask whether it may start runs; it starts none until it can.",
    "attempt.unprepared": "A claimed attempt could not be prepared: it ends with the reason or, where the database was away, waits again.",
    "attempt.started": "An attempt was handed to its process.",
    "attempt.ended": "An attempt ended; status, seconds, what follows.",
    "attempt.stale": "A write was refused: the lease had gone to another worker.",
    "attempt.killed": "The process tree of an attempt was killed; reason.",
    "attempt.lease_lost": "The lease could not be renewed; the attempt is killed.",
    "attempt.lost": "A worker was silent past its lease; what becomes of its run.",
    "attempt.handed_back": "A draining worker gave an unfinished run back to the queue.",
    "connection.answers": "A connection that did not answer does again.",
    "connection.silent": "A connection does not answer; what it said.",
    "followers.circle": "Jobs that run after each other in a circle were cut off; see the execution with the reason `circle`.",
    "recorder.lost": "The end of a run could not be written in any form; it is found lost when its lease is over.",
    "recorder.not_noted": "The last run of jobs could not be noted with them; the runs themselves are written.",
    "recorder.refused": "The database refused reports for what is in them; those of each attempt are written by themselves.",
    "recorder.unwritten": "The service stopped while the database took nothing; these reports are not written.",
    "record.damaged": (
        "A document in the database is not what its reader expects: `collection`, `id` and the reason. It is shown as damaged, nothing is "
        "done with it, and everything else goes on. Said once a process."
    ),
    "recorder.waiting": "The database does not answer; outcomes are kept and tried again.",
    "outbox.failed": (
        "What an end or an event owes could not be carried out: `what` (notify: a mail, followers, self_pause, regroup), `tries` and the "
        "reason. It is tried again, unless `given_up`: then a person can ask for it again."
    ),
    "event.unconfirmed": "A change was made, and that it was could not be noted at once; whoever wants to hear of it does a little later.",
    "scheduler.stalled": "The dispatcher of this node has not come to the end of a tick for a minute; seconds.",
    "zygote.started": "The root zygote is ready.",
    "cage.holds": "Active protections of a template's processes: the version of Landlock, and whether folders and network are hidden.",
    "zygote.died": "A zygote ended, of which template and why; it is started again when it is needed.",
    "signin.provider_failed": "The provider of single sign-on did not answer, or what it sent cannot be believed; the reason.",
    "connection.unexplored": "A connection could not be asked for suggestions of a form; its name and the kind of error.",
    "job.calls_unknown": "A template could not say which addresses a job calls; the template and the kind of error.",
    "catalogue.broken": "A template could not be loaded; its jobs cannot run.",
    "request": "One HTTP request; method, path, status, milliseconds.",
    "request.broken": "The application failed while it answered; the connection was closed. With its traceback.",
    "web.broken": "The web server met an error that nobody expected; with its traceback. Other connections go on.",
    "request.failed": "A request raised an error that nobody expected; with its traceback.",
}

_SECRET_WORDS = ("password", "secret", "token", "authorization", "cookie", "uri")


def mask_secrets(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Last line of defence: a field whose name sounds secret is never written out."""
    for key in event:
        if any(word in key.lower() for word in _SECRET_WORDS):
            event[key] = "***"
    return event


def configure_logging(*, level: str = "INFO", style: str = "auto") -> None:
    """Send structured events, and what libraries log, to standard error.

    `style`: `json`, `console`, or `auto` (console where standard error is a terminal).
    """
    as_json = style == "json" or (style == "auto" and not sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info if as_json else structlog.stdlib.add_logger_name,
        mask_secrets,
    ]
    render: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
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
    # A tick that is still at work when its next turn comes is no news; ticks report their own failures.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger whose first argument is a name from EVENTS."""
    return structlog.stdlib.get_logger(name)
