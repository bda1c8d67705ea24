"""Jobs and executions: what is late, what will fail, and what is stuck."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from app.errors import field_name
from app.execution.statistics_store import StatisticsStore
from app.factory import Store
from app.findings import Finding, Level
from app.jobs.dispatch_store import DispatchStore
from app.jobs.list_store import ListStore
from app.jobs.usage_store import UsageStore
from app.services import Services
from templates_lib.messages import amount

MOST_WARNINGS = 20  # shown warnings about runs that will fail
MOST_JOBS = 2_000  # enabled jobs that are checked for such warnings
MOST_NAMED = 20  # labels that no node has
LATE = timedelta(seconds=60)
OUTBOX_OLD = timedelta(seconds=60)
RUN_SILENT, RUN_WAITING = timedelta(seconds=60), timedelta(minutes=15)
GIVEN_UP_LATELY = timedelta(days=7)  # what was given up before is on the page System


def check_jobs(services: Services, store: Store) -> Iterator[Finding]:
    """Yields jobs that cannot run, jobs that are late, and planned runs that are not stored."""
    jobs, now = DispatchStore(store.database), services.clock.now()
    broken, late = services.directory.broken(), jobs.seconds_late(now, LATE)
    for name, reason in broken.items():
        yield Finding(
            "Jobs",
            Level.PROBLEM,
            f"{name} cannot run: {reason}",
            "Give it another schedule, or restore its template.",
        )
    if late:
        yield Finding("Jobs", Level.PROBLEM, f"a job is late by {late:.0f} s", "No scheduler plans it. Start a scheduler.")
    waiting = len(jobs.find_unsettled(now - OUTBOX_OLD, 1000))
    if waiting:
        yield Finding(
            "Jobs",
            Level.WARNING,
            f"the planned runs of {amount(waiting, 'job')} are not stored yet",
            "A running scheduler will store them.",
        )
    if not broken and not late and not waiting:
        yield Finding("Jobs", Level.OK, "no job is late or broken")


def check_runs_to_come(services: Services, store: Store) -> Iterator[Finding]:
    """Yields the warnings about enabled jobs whose runs will all fail. Mail has a check of its own, and a schedule makes no run fail."""
    jobs = ListStore(store.database).enabled(MOST_JOBS)
    warnings_by_job = [
        (job.definition.name, warning)
        for job, warnings in zip(jobs, services.outlook.of_all([job.definition for job in jobs]), strict=True)
        for warning in warnings
        if not warning.pointer.startswith(("/notifications/", "/schedule/"))
    ]
    for name, warning in warnings_by_job[:MOST_WARNINGS]:
        text = f"{name}: {field_name(warning.pointer)}: {warning.message}"
        yield Finding("Runs to come", Level.WARNING, text, "Change the job, or repair what it needs.")
    if len(warnings_by_job) > MOST_WARNINGS:
        yield Finding("Runs to come", Level.WARNING, amount(len(warnings_by_job) - MOST_WARNINGS, "more warning"))
    if not warnings_by_job:
        yield Finding("Runs to come", Level.OK, "no run is expected to fail")


def check_mail(services: Services, store: Store) -> Iterator[Finding]:
    """Yields whether notifications can be sent, if any job sends some."""
    recipients, problem = UsageStore(store.database).count_with_recipients(), services.outlook.mail_problem()
    if problem is None:
        yield Finding("Mail", Level.OK, f"notifications are sent through {services.settings.notify_connection}")
    elif recipients or services.settings.notify_connection:
        text = f"{amount(recipients, 'job')} with recipients: {problem}"
        yield Finding("Mail", Level.WARNING, text, "The page Connections shows the SMTP connections and tests them.")
    else:
        yield Finding("Mail", Level.OK, "no job sends notifications")


def check_notifications(services: Services, _store: Store) -> Iterator[Finding]:
    """Yields how many notifications did not arrive, and the channels that refuse them."""
    for name, broken in services.channels.broken():
        text = f"the channel {name!r} has refused messages since {broken.since:%Y-%m-%d %H:%M} UTC: {broken.reason}"
        yield Finding("Notifications", Level.WARNING, text, "Change the channel or the receiver, and send a test message on its page.")
    undelivered = services.deliveries.undelivered_lately()
    if undelivered:
        text = f"notifications of the last 24 hours that did not arrive: {undelivered}"
        yield Finding("Notifications", Level.WARNING, text, "The page Notifications shows why, and can send each again.")
    else:
        yield Finding("Notifications", Level.OK, "no notification of the last 24 hours is lost")


def check_executions(services: Services, store: Store) -> Iterator[Finding]:
    """Yields executions that are stuck or wait for a node that is not there, and follow-ups that were given up."""
    unplaced = services.unplaced.overdue()
    without = {row.needs for row in unplaced}
    now = services.clock.now()
    stuck = StatisticsStore(store.database).stuck(now, silent=RUN_SILENT, waiting=RUN_WAITING, without=without)
    descriptions = {
        "silent": ("running on a worker that no longer renews its lease", "A running scheduler takes them over within seconds."),
        "waiting": (
            f"waiting for a free slot for more than {RUN_WAITING.seconds // 60} minutes",
            "Raise SCHEDULER_EXECUTOR_POOL_SIZE or start another node.",
        ),
    }
    for what, count in stuck.items():
        if count:
            yield Finding("Executions", Level.WARNING, f"{descriptions[what][0]}: {count}", descriptions[what][1])
    for row in unplaced[:MOST_NAMED]:
        text = f"{row.job_name} waits for a node with {', '.join(row.needs)}, which no running node has: {row.count}"
        yield Finding("Executions", Level.WARNING, text, "Start a node with these labels (JOBWRIGHT_NODE_LABELS), or change the job.")
    given_up = services.given_up.count(services.clock.now() - GIVEN_UP_LATELY)
    if given_up:
        text = f"ended, but a follow-up failed (a notification, or the jobs that depend on it): {given_up}"
        advice = "The page of the execution shows the reason and a button to try again. Look for `outbox.failed` in the log."
        yield Finding("Executions", Level.WARNING, text, advice)
    if not any(stuck.values()) and not given_up and not unplaced:
        yield Finding("Executions", Level.OK, "no execution is stuck")
