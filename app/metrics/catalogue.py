"""Every metric: its name, kind, labels and meaning. docs/reference/metrics.md is checked against this table by a test."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a metric is."""

    COUNTER = "counter"  # only grows, but for a start from 0
    GAUGE = "gauge"  # a value of this moment
    HISTOGRAM = "histogram"  # how many durations fell into each bucket


class Source(StrEnum):
    """Where the values of a metric come from."""

    DATABASE = "database"  # the same from each process; values of this installation
    PROCESS = "process"  # what this process has counted since its start


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """`name` is the one in the answer, which for a counter ends in `_total`. `labels` are always all there."""

    name: str
    kind: Kind
    source: Source
    text: str
    labels: tuple[str, ...] = ()


def _metric(kind: Kind, source: Source, name: str, text: str, *labels: str) -> Metric:
    return Metric(name=name, kind=kind, source=source, text=text, labels=labels)


METRICS = (
    # -- this process
    _metric(Kind.GAUGE, Source.PROCESS, "jobwright_build_info", "Always 1; the version of Jobwright stands in its label", "version"),
    _metric(Kind.GAUGE, Source.PROCESS, "jobwright_up", "Whether the database answered: 1, or 0; with 0 no values of the database follow"),
    _metric(
        Kind.GAUGE, Source.PROCESS, "jobwright_tick_age_seconds", "Seconds since the scheduler of this process last looked for due jobs"
    ),
    _metric(
        Kind.COUNTER,
        Source.PROCESS,
        "jobwright_http_requests_total",
        "Answered HTTP requests, by the pattern of their address",
        "route",
        "method",
        "status",
    ),
    _metric(
        Kind.HISTOGRAM,
        Source.PROCESS,
        "jobwright_http_request_seconds",
        "How long requests took, for REST (`api`), pages (`page`) and probes with metrics (`probe`)",
        "face",
    ),
    _metric(
        Kind.HISTOGRAM,
        Source.PROCESS,
        "jobwright_callback_seconds",
        "How long calls to services took that `answered` or `failed`, as they are out of order",
        "result",
    ),
    _metric(
        Kind.COUNTER,
        Source.PROCESS,
        "jobwright_notifications_total",
        "Tries to send a notification: `sent` or `failed`",
        "channel",
        "result",
    ),
    _metric(
        Kind.COUNTER,
        Source.PROCESS,
        "jobwright_announcements_total",
        "Announcements of alerts, one for each channel, that are in a message (`sent`), or held back, by the reason: `mute`, "
        "`maintenance`, `quiet_hours`, `root_cause`, `not_told` or `repeated`",
        "result",
    ),
    _metric(
        Kind.COUNTER,
        Source.PROCESS,
        "jobwright_outbox_items_total",
        "Tries to carry out a follow-up: `done`, `unneeded`, `later`, `failed` (it is tried again) or `given_up`",
        "carrier",
        "result",
    ),
    # -- jobs
    _metric(Kind.GAUGE, Source.DATABASE, "schedules_total", "Jobs by the type of their schedule and their state", "type", "status"),
    _metric(Kind.COUNTER, Source.DATABASE, "jobwright_jobs_created_total", "Jobs that were ever created, deleted ones included"),
    _metric(Kind.GAUGE, Source.DATABASE, "jobwright_jobs_failing", "Jobs that are switched on and whose last run failed or timed out"),
    _metric(
        Kind.GAUGE,
        Source.DATABASE,
        "jobwright_job_failing",
        "Whether the last run of a job failed or timed out: 1, or 0; only for the jobs of JOBWRIGHT_METRICS_JOBS",
        "job_name",
    ),
    _metric(
        Kind.GAUGE,
        Source.DATABASE,
        "jobwright_job_last_run_timestamp_seconds",
        "When the last run of a job began, as a Unix time; only for the jobs of JOBWRIGHT_METRICS_JOBS",
        "job_name",
    ),
    # -- executions that have ended
    _metric(
        Kind.COUNTER,
        Source.DATABASE,
        "schedule_executions_total",
        "Executions that have ended. A record that stands for several missed or skipped times counts as so many.",
        "schedule_type",
        "status",
    ),
    _metric(
        Kind.HISTOGRAM,
        Source.DATABASE,
        "schedule_execution_duration_seconds",
        "How long executions took that succeeded, failed or timed out: their last attempt",
    ),
    _metric(
        Kind.COUNTER,
        Source.DATABASE,
        "schedule_misfires_total",
        "Scheduled times without a run: missed, or skipped because the job was still running",
    ),
    _metric(
        Kind.COUNTER, Source.DATABASE, "distributed_locks_acquired_total", "Claims of executions: attempts of executions that have ended"
    ),
    _metric(
        Kind.HISTOGRAM,
        Source.DATABASE,
        "jobwright_start_delay_seconds",
        "How long after their scheduled time runs began, by their last attempt; random delays of schedules are included",
    ),
    _metric(Kind.COUNTER, Source.DATABASE, "jobwright_missed_total", "Scheduled times that were missed"),
    _metric(Kind.COUNTER, Source.DATABASE, "jobwright_skipped_total", "Scheduled times that were skipped, by the reason", "reason"),
    _metric(Kind.COUNTER, Source.DATABASE, "jobwright_lease_lost_total", "Attempts that ended because their worker did not respond"),
    _metric(Kind.COUNTER, Source.DATABASE, "jobwright_retries_total", "Attempts after the first one of an execution"),
    _metric(
        Kind.COUNTER,
        Source.DATABASE,
        "jobwright_template_executions_total",
        "Executions that ran to their end, by template: the first 100 templates, and `other`",
        "template",
        "status",
    ),
    # -- executions that wait and run
    _metric(Kind.GAUGE, Source.DATABASE, "jobwright_executions", "Executions that wait or run, by status", "status"),
    _metric(
        Kind.GAUGE,
        Source.DATABASE,
        "jobwright_queue_depth",
        "Executions that could start now, without those that need labels which no online node has",
    ),
    _metric(
        Kind.GAUGE,
        Source.DATABASE,
        "jobwright_queue_backlog",
        "Executions that wait, also for a later time, for another run of their job or for a node",
    ),
    _metric(Kind.GAUGE, Source.DATABASE, "jobwright_queue_oldest_seconds", "For how long the first of these executions could have started"),
    _metric(
        Kind.GAUGE,
        Source.DATABASE,
        "jobwright_queue_unplaced",
        "Executions that have waited longer than the grace time of their job for a node with the labels that they need",
    ),
    _metric(Kind.GAUGE, Source.DATABASE, "jobwright_running_oldest_seconds", "How long the attempt has been running that began first"),
    _metric(Kind.GAUGE, Source.DATABASE, "jobwright_running_long", "Running attempts that have used more than 80% of their timeout"),
    # -- the rest of the installation
    _metric(
        Kind.GAUGE, Source.DATABASE, "jobwright_nodes", "Nodes by role and state: online, stalled, draining or offline", "role", "state"
    ),
    _metric(Kind.GAUGE, Source.DATABASE, "jobwright_nodes_deaf", "Workers that are online but get no messages from the broker"),
    _metric(Kind.GAUGE, Source.DATABASE, "jobwright_slots", "Places for attempts on nodes that are online: used and free", "state"),
    _metric(
        Kind.GAUGE,
        Source.DATABASE,
        "jobwright_scheduler_tick_age_seconds",
        "Seconds since any scheduler last looked for due jobs; missing if no scheduler is online",
    ),
    _metric(Kind.GAUGE, Source.DATABASE, "jobwright_connections", "Connections by the answer to their last test", "state"),
    _metric(Kind.GAUGE, Source.DATABASE, "jobwright_outbox_waiting", "Follow-ups that are owed and not given up", "carrier"),
    _metric(Kind.GAUGE, Source.DATABASE, "jobwright_outbox_oldest_seconds", "For how long the first follow-up has been due", "carrier"),
    _metric(Kind.GAUGE, Source.DATABASE, "jobwright_outbox_given_up", "Follow-ups that were given up and wait for a person", "carrier"),
    _metric(Kind.GAUGE, Source.DATABASE, "jobwright_notifications_waiting", "Notifications that wait to be sent or to be tried again"),
    _metric(Kind.GAUGE, Source.DATABASE, "jobwright_notifications_oldest_seconds", "For how long the first of these has waited"),
    _metric(
        Kind.GAUGE,
        Source.DATABASE,
        "jobwright_notifications_undelivered",
        "Notifications of the last 24 hours that were refused or given up, or had no answer",
    ),
    _metric(Kind.GAUGE, Source.DATABASE, "jobwright_channels_unreachable", "Channels that cannot be reached"),
    _metric(
        Kind.GAUGE,
        Source.DATABASE,
        "jobwright_stuck",
        "Whether follow-ups (`follow_ups`) or notifications (`deliveries`) have been due for longer than JOBWRIGHT_STUCK_SECONDS: 1, or 0",
        "part",
    ),
    _metric(
        Kind.GAUGE,
        Source.DATABASE,
        "jobwright_monitor_ping_age_seconds",
        "Seconds since the outside monitor last took a call; missing if JOBWRIGHT_MONITOR_URL is not set, and before the first call",
    ),
    _metric(
        Kind.GAUGE,
        Source.DATABASE,
        "jobwright_monitor_failing_seconds",
        "For how many seconds calls of the outside monitor have failed; missing if JOBWRIGHT_MONITOR_URL is not set",
    ),
    _metric(Kind.GAUGE, Source.DATABASE, "jobwright_channels_broken", "Channels that refused a message and have taken none since"),
    _metric(
        Kind.GAUGE,
        Source.DATABASE,
        "jobwright_incidents",
        "Open incidents of alert rules: `pending`, `firing` or `acknowledged`",
        "state",
        "severity",
    ),
    _metric(Kind.GAUGE, Source.DATABASE, "jobwright_maintenance", "Whether maintenance keeps runs from starting: 1, or 0"),
)
BY_NAME = {metric.name: metric for metric in METRICS}
