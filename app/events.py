"""Structured log events: an event name and fields, never prose. docs/reference/events.md lists every name."""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Any

import structlog

# Event name → its meaning. A test checks that the code uses no other name and that the docs list each.
EVENTS: dict[str, str] = {
    "service.starting": "The service starts; its version and role.",
    "service.ready": "The service can answer requests; its address and the seconds since the start.",
    "service.draining": "SIGTERM or SIGINT was received. The service claims nothing new.",
    "service.stopped": "All parts have stopped, and the process ends.",
    "service.first_admin": "The first super-admin was created.",
    "audit.written": "An audit event was stored; its number, action, outcome and seal. The trail can be compared with them.",
    "mongod.started": "The private mongod has started; its process id and the seconds that it took.",
    "mongod.reused": "A private mongod of the same folder was running already, and is used.",
    "mongod.orphan_stopped": "A private mongod was stopped because its Jobwright had been killed.",
    "mongod.died": "The private mongod ended by itself, and is started again.",
    "mongod.down": "The private mongod cannot be started; the reason. The next try is in five seconds.",
    "mongod.stopped": "The private mongod has stopped.",
    "sample.server_down": "The private MongoDB of the sample data cannot be started; the reason. The next try is in two seconds.",
    "sample.run_has_ended": "A run of a sample job ended before it could be cancelled.",
    "sample.not_made": "JOBWRIGHT_SAMPLE is set, but no sample data was made; the reason.",
    "database.away": "The database does not answer; the driver's reason, with addresses. Answers to requests do not name them.",
    "migration.applied": "A database migration was applied.",
    "migration.reverted": "A database migration was reverted.",
    "name.taken": "A stored name could not be brought to its one spelling, because another record has that name already.",
    "dispatch.planned": "Due times became executions; the counts of one tick.",
    "self_pause.nothing_to_pause": "A job failed too often in a row, but it has no schedule to pause, or it was deleted.",
    "clock.was_set": "The machine's clock was set; by how many seconds. Ticks go on; lost runs are searched a lease later.",
    "calendar.changed": "A calendar was changed; jobs in one of its blackouts are planned again.",
    "job.paused_itself": "A job has reached its limit of failures in a row, and is paused.",
    "retention.removed": "Executions beyond the limits of age and number were removed, with their logs.",
    "dispatch.recovered": "This scheduler stored executions that a killed scheduler had planned.",
    "dispatch.refused": "The database refused a batch of due jobs for its content; each job is dispatched alone.",
    "dispatch.broken_schedule": "A schedule cannot be computed. The job is not started, and shows the reason.",
    "tick.failed": "A periodic task failed; it runs again at its next tick.",
    "item.refused": "A periodic task could not process one of its items; with the traceback. The other items are processed.",
    "executor.failed": "An unexpected error in the local executor, with its traceback. Other attempts go on.",
    "permit.not_renewed": "A node could not renew its permit to start runs. It starts none until it can.",
    "attempt.unprepared": "A claimed attempt could not be prepared. It ends with the reason, or waits again without a database.",
    "attempt.started": "An attempt was given to its process.",
    "attempt.ended": "An attempt ended; its status, its seconds, and what follows.",
    "attempt.stale": "A write was refused, because another worker had the lease.",
    "attempt.killed": "The process tree of an attempt was killed; the reason.",
    "attempt.lease_lost": "The lease of an attempt could not be renewed, so the attempt is killed.",
    "attempt.lost": "A worker did not renew its lease; what happens to its run.",
    "attempt.handed_back": "A draining worker returned an unfinished run to the queue.",
    "connection.answers": "A connection answers again.",
    "connection.silent": "A connection does not answer; its message.",
    "followers.circle": "A circle of dependent jobs was cut off; see the execution with the reason `circle`.",
    "recorder.lost": "The end of a run could not be stored in any form. The run counts as lost when its lease expires.",
    "recorder.not_noted": "The latest run could not be stored with its job; the run itself is stored.",
    "recorder.refused": "The database refused reports because of their content; the reports of each attempt are written alone.",
    "recorder.unwritten": "The service stopped while the database accepted no writes; these reports are lost.",
    "record.damaged": (
        "A document in the database does not fit its shape: `collection`, `id` and the reason. It is shown as damaged, nothing is "
        "done with it, and everything else goes on. Logged once by each process."
    ),
    "recorder.waiting": "The database does not answer; outcomes are kept and written later.",
    "outbox.failed": (
        "What an end or an event owes could not be carried out: `what` (notify: a mail, followers, self_pause, regroup), `tries` and the "
        "reason. It is tried again, unless `given_up`: then a person can ask for it again."
    ),
    "event.unconfirmed": "A change was made, but its event could not be confirmed at once. The event is carried out a little later.",
    "scheduler.stalled": "The dispatcher of this node has not finished a tick for a minute; the seconds.",
    "zygote.started": "The root zygote is ready.",
    "cage.holds": "Active protections of a template's processes: the version of Landlock, and whether folders and network are hidden.",
    "zygote.died": "A zygote ended, of which template and why; it is started again when it is needed.",
    "signin.provider_failed": "The provider of single sign-on did not answer, or its answer cannot be trusted; the reason.",
    "connection.unexplored": "A connection gave no suggestions for a form; its name and the type of the error.",
    "job.calls_unknown": "A template could not tell which addresses a job calls; the template and the type of the error.",
    "catalogue.broken": "A template could not be loaded, so its jobs cannot run.",
    "catalogue.converted": "The schema of a template is written in an older draft and was converted: the draft, and the number of changes.",
    "request": "One HTTP request; its method, path, status and milliseconds.",
    "request.broken": "The application failed while it answered, and the connection was closed; with the traceback.",
    "web.broken": "The web server had an unexpected error; with the traceback. Other connections go on.",
    "request.failed": "A request failed with an unexpected error; with the traceback.",
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
    return re.split(r"[;:.]", EVENTS.get(event, event), maxsplit=1)[0] if event in EVENTS else event


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
