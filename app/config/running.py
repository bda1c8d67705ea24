"""When and where jobs run: schedules, nodes, limits, leases and stops."""

from __future__ import annotations

from dataclasses import dataclass

from marshmallow.validate import OneOf

from app.config.values import at_least, positive, setting


@dataclass(frozen=True, kw_only=True)
class RunningSettings:
    """When and where jobs run: schedules, nodes, limits, leases and stops."""

    timezone: str = setting("SCHEDULER_TIMEZONE", "zone", "UTC", "Time zone of schedules that do not set one")
    misfire_grace_seconds: int = setting(
        "SCHEDULER_MISFIRE_GRACE_TIME",
        "int",
        300,
        "How many seconds late a run may start before it counts as missed, by default",
        **at_least(1, 604_800),
    )
    max_instances: int = setting(
        "SCHEDULER_MAX_INSTANCES", "int", 3, "Highest value that a job may set for concurrency.max_instances", **at_least(1, 1000)
    )
    executor: str = setting(
        "JOBWRIGHT_EXECUTOR",
        "str",
        "local",
        "local: schedulers run jobs themselves. celery: `jobwright worker` runs them, and schedulers announce runs through Celery.",
        validate=OneOf(["local", "celery"]),
    )
    celery_broker_url: str = setting(
        "CELERY_BROKER_URL",
        "str",
        "",
        "Redis or RabbitMQ of Celery, such as `redis://:password@redis.example.com:6379/0` or `amqp://user:password@rabbit.example.com//`. "
        "Required if JOBWRIGHT_EXECUTOR is celery.",
        secret=True,
    )
    celery_routes: tuple[tuple[str, str], ...] = setting(
        "JOBWRIGHT_CELERY_ROUTES",
        "routes",
        (),
        "Route of templates to workers, as `template=route`, separated by commas, such as `report_generation=reports,backup=slow`. "
        "Other templates have the route `default`. A worker takes the routes of `jobwright worker --routes`.",
    )
    pool_size: int = setting("SCHEDULER_EXECUTOR_POOL_SIZE", "int", 10, "Number of simultaneous runs on one node", **at_least(1, 1000))
    node_labels: tuple[str, ...] = setting(
        "JOBWRIGHT_NODE_LABELS",
        "labels",
        (),
        "Labels of this node, such as `gpu,site=berlin`, separated by commas. A job runs only on nodes that have all labels that it needs.",
    )
    max_running: int = setting(
        "JOBWRIGHT_MAX_RUNNING", "int", 0, "Number of simultaneous runs on all nodes together; 0 means no limit", **at_least(0)
    )
    template_limits: tuple[tuple[str, int], ...] = setting(
        "JOBWRIGHT_TEMPLATE_LIMITS",
        "counts",
        (),
        "Number of simultaneous runs of a template, as `template=number`, separated by commas",
    )
    group_limits: tuple[tuple[str, int], ...] = setting(
        "JOBWRIGHT_GROUP_LIMITS",
        "counts",
        (),
        "Number of simultaneous runs of a concurrency group, as `group=number`, separated by commas. Groups that are not listed have 1.",
    )
    default_max_retries: int = setting("DEFAULT_MAX_RETRIES", "int", 3, "Default number of retries of a job", **at_least(0, 100))
    default_retry_delay_seconds: int = setting(
        "DEFAULT_RETRY_DELAY", "int", 300, "Default delay before a retry, in seconds", **at_least(0, 86_400)
    )
    lease_seconds: float = setting(
        "LOCK_TIMEOUT_SECONDS",
        "float",
        30.0,
        "If a worker gives no sign of life for this number of seconds, its runs count as lost",
        **positive(),
    )
    tick_seconds: float = setting(
        "JOBWRIGHT_TICK_SECONDS",
        "float",
        1.0,
        "Seconds between two checks for work that another node has left behind. New work always starts at once.",
        **positive(60),
    )
    probe_seconds: int = setting(
        "JOBWRIGHT_PROBE_SECONDS", "int", 300, "Seconds between two tests of each connection; 0 means never", **at_least(0)
    )
    kill_grace_seconds: float = setting(
        "JOBWRIGHT_KILL_GRACE_SECONDS",
        "float",
        3.0,
        "Seconds between SIGTERM and SIGKILL when a run is cancelled or exceeds its timeout",
        **positive(4.5),
    )
    drain_seconds: float = setting(
        "JOBWRIGHT_DRAIN_SECONDS",
        "float",
        20.0,
        "Seconds that running attempts have to finish when the service stops. After that they return to the queue.",
        **positive(),
    )
    drain_notice_seconds: float = setting(
        "JOBWRIGHT_DRAIN_NOTICE_SECONDS",
        "float",
        0.0,
        "Seconds between the beginning of a stop, when `/ready` answers 503, and the closing of connections, so that a load balancer sends "
        "requests elsewhere first",
        **at_least(0, 600),
    )
    max_timeout_seconds: int = setting(
        "JOBWRIGHT_MAX_TIMEOUT_SECONDS", "int", 86400, "Longest timeout that a job may set, in seconds", **at_least(1)
    )
    max_lookahead_days: int = setting(
        "MAX_SCHEDULE_LOOKAHEAD_DAYS", "int", 365, "How many days in the future a one-time run may be", **at_least(1, 36500)
    )
