"""Settings: the environment, read once into a typed object. Each variable may also be given as `NAME_FILE`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from marshmallow import ValidationError
from marshmallow import fields as ma
from marshmallow.validate import OneOf, Range

from app.errors import ConfigError
from app.labels import LONGEST_LABEL, MOST_LABELS, is_label
from app.strength import HOW_TO_MAKE_A_KEY, is_placeholder, key_weakness
from app.zones import is_zone, not_a_zone
from templates_lib.subjects import PATTERN, SUBJECT

SERVICE_URL = "_SERVICE_URL"  # the end of the variables that give the addresses of services
ROUTE = r"[a-z0-9][a-z0-9_-]{0,62}"  # the name of a route to workers
BROKERS = ("redis", "rediss", "amqp", "amqps")  # schemes of CELERY_BROKER_URL
ROLES = ("user", "admin", "super_admin")  # app.accounts.model, which lies above


def _var(name: str, kind: str, default: Any, text: str, *, secret: bool = False, **options: Any) -> Any:
    """A dataclass field that knows its variable, its parser, its bounds, its line in docs/reference/settings.md, and whether it may be
    shown."""
    return field(
        default=default, repr=not secret, metadata={"name": name, "parse": _PARSERS[kind](**options), "text": text, "secret": secret}
    )


class _Upper(ma.String):
    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return super()._deserialize(value, *args, **kwargs).upper()


class _Zone(ma.String):
    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> str:
        if not is_zone(value):
            raise ValidationError(not_a_zone(value))
        return str(value)


class _Hosts(ma.String):
    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        return tuple(part.strip().lower() for part in value.split(",") if part.strip())


class _Networks(ma.String):
    """Networks in CIDR notation, comma-separated."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        networks = []
        for part in filter(None, (part.strip() for part in value.split(","))):
            try:
                networks.append(str(ip_network(part)))
            except ValueError:
                raise ValidationError(f"{part!r} is not a network, such as 10.0.0.0/8 or fd00::/8") from None
        return tuple(networks)


class _ChosenJobs(ma.String):
    """`top:NUMBER` or `tag:NAME`, as a pair of texts."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        how, _, what = (part.strip() for part in value.partition(":"))
        if not value.strip():
            return ()
        whole = what.isascii() and what.isdigit() and len(what) < 4
        if not ((how == "top" and whole and 1 <= int(what) <= MOST_MEASURED_JOBS) or (how == "tag" and what)):
            raise ValidationError(f"must be top:NUMBER, with a number from 1 to {MOST_MEASURED_JOBS}, or tag:NAME")
        return how, what


class _Subjects(ma.String):
    """Patterns of NATS subjects, comma-separated."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        patterns = tuple(part.strip() for part in value.split(",") if part.strip())
        for pattern in patterns:
            if not re.fullmatch(PATTERN, pattern):
                raise ValidationError(f"{pattern!r} is not a pattern of subjects, such as orders.*.cancel or reports.>")
        return patterns


class _Subject(ma.String):
    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> str:
        if not re.fullmatch(SUBJECT, value):
            raise ValidationError("must be letters, digits, _ and -, with dots between")
        return str(value)


class _Words(ma.String):
    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        return tuple(value.split())


class _Paths(ma.String):
    """Absolute paths, separated by spaces."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        paths = tuple(dict.fromkeys(value.split()))
        for path in paths:
            if not path.startswith("/") or path.rstrip("/") == "" or ".." in path.split("/") or not path.isprintable():
                raise ValidationError(f"{path!r} is not an absolute path, such as /usr/bin/rsync")
        return paths


class _Counts(ma.String):
    """`name=number`, comma-separated, as pairs."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        counts: dict[str, int] = {}
        for part in filter(None, (part.strip() for part in value.split(","))):
            name, equals, number = (piece.strip() for piece in part.rpartition("="))
            if not (name and equals and number.isascii() and number.isdigit() and len(number) < 10 and int(number) > 0):
                raise ValidationError(f"{part!r} is not name=number, with a number from 1")
            counts[name] = int(number)
        return tuple(counts.items())


class _Labels(ma.String):
    """Labels of a node, comma-separated, sorted and each once."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        labels = {part.strip() for part in value.split(",") if part.strip()}
        for label in sorted(labels):
            if not is_label(label):
                raise ValidationError(
                    f"{label!r} is not a label, such as gpu or site=berlin: small letters, digits, '.', '_' and '-', "
                    f"at most {LONGEST_LABEL} characters"
                )
        if len(labels) > MOST_LABELS:
            raise ValidationError(f"must be at most {MOST_LABELS} labels")
        return tuple(sorted(labels))


class _Roles(ma.String):
    """`value=role`, comma-separated, as pairs."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        pairs = []
        for part in filter(None, (part.strip() for part in value.split(","))):
            name, equals, role = (piece.strip() for piece in part.rpartition("="))
            if not (name and equals and role in ROLES):
                raise ValidationError(f"{part!r} is not value=role, with a role of {', '.join(ROLES)}")
            pairs.append((name, role))
        return tuple(pairs)


class _Routes(ma.String):
    """`template=route`, comma-separated, as pairs."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        pairs = []
        for part in filter(None, (part.strip() for part in value.split(","))):
            template, equals, route = (piece.strip() for piece in part.rpartition("="))
            if not (template and equals and re.fullmatch(ROUTE, route)):
                raise ValidationError(f"{part!r} is not template=route, with a route of small letters, digits, '_' and '-'")
            pairs.append((template, route))
        return tuple(pairs)


class _ServiceAddresses(ma.String):
    """Lines `NAME=address`, as pairs with the name of the service in lower case."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        pairs = []
        for line in value.splitlines():
            name, _, address = line.partition("=")
            if not _is_web_address(address):
                raise ValidationError(f"{name}{SERVICE_URL} must be an address such as http://email-service:7006")
            pairs.append((name.lower().replace("_", "-"), address.rstrip("/")))
        return tuple(sorted(pairs))


_PARSERS: dict[str, type[ma.Field[Any]]] = {
    "str": ma.String,
    "int": ma.Integer,
    "float": ma.Float,
    "bool": ma.Boolean,
    "upper": _Upper,
    "zone": _Zone,
    "hosts": _Hosts,
    "networks": _Networks,
    "chosen_jobs": _ChosenJobs,
    "counts": _Counts,
    "labels": _Labels,
    "words": _Words,
    "paths": _Paths,
    "subject": _Subject,
    "subjects": _Subjects,
    "roles": _Roles,
    "routes": _Routes,
    "service_addresses": _ServiceAddresses,
}


CENTURY_DAYS = 36_500
CENTURY_SECONDS = CENTURY_DAYS * 86_400  # the longest span; a date so far from today's is one still. Counts are held to it as well

MOST_MEASURED_JOBS = 200  # jobs with metrics of their own
LEAST_TOKEN = 16  # characters of the token for metrics
MOST_COUNTED_AN_HOUR = 100_000  # runs of one person: the record that counts them holds the time of each


def _positive(maximum: float = CENTURY_SECONDS) -> dict[str, Any]:
    return {"validate": Range(min=0, max=maximum, min_inclusive=False)}


def _at_least(minimum: int, maximum: int = CENTURY_SECONDS) -> dict[str, Any]:
    return {"validate": Range(min=minimum, max=maximum)}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that the environment decides. `docs/reference/settings.md` is checked against this class by a test."""

    mongodb_uri: str = _var(
        "MONGODB_URI", "str", "", "MongoDB connection string. Leave empty to use a private MongoDB in the data folder.", secret=True
    )
    database: str = _var("JOBWRIGHT_DATABASE", "str", "jobwright", "Name of the database of Jobwright")
    migrate: str = _var(
        "JOBWRIGHT_MIGRATE",
        "str",
        "auto",
        "auto: a process applies pending database migrations when it starts. never: it refuses to start until `jobwright migrate` has run.",
        validate=OneOf(["auto", "never"]),
    )
    data_dir: str = _var("JOBWRIGHT_DATA_DIR", "str", "./data", "Folder for the private MongoDB, the key and the files of jobs")
    sample: bool = _var(
        "JOBWRIGHT_SAMPLE",
        "bool",
        False,
        "Create sample data (a shop, jobs and their history) when an installation without jobs starts",
    )
    sample_uri: str = _var(
        "JOBWRIGHT_SAMPLE_URI",
        "str",
        "",
        "MongoDB for the sample data, which jobs may reach. Leave empty to use a second private MongoDB, if MONGODB_URI is empty too.",
        secret=True,
    )
    secret_key: str = _var(
        "JOBWRIGHT_SECRET_KEY",
        "str",
        "",
        "Key that signs sessions and encrypts connections, at least 32 random characters. Leave empty to create one in the data folder.",
        secret=True,
    )
    old_secret_keys: tuple[str, ...] = _var(
        "JOBWRIGHT_OLD_SECRET_KEYS",
        "words",
        (),
        "Earlier keys, separated by spaces. They decrypt what was encrypted with them and encrypt nothing new.",
        secret=True,
    )
    host: str = _var("HOST", "str", "127.0.0.1", "Address that the web server listens on")
    port: int = _var("PORT", "int", 8080, "Port that the web server listens on; 0 chooses a free port", **_at_least(0, 65535))
    health_port: int = _var(
        "JOBWRIGHT_HEALTH_PORT",
        "int",
        0,
        "Port for `/live`, `/ready`, `/health`, `/health/detailed` and `/metrics` alone, for processes without a web server; 0 opens none",
        **_at_least(0, 65535),
    )
    metrics_token: str = _var(
        "JOBWRIGHT_METRICS_TOKEN",
        "str",
        "",
        "Token that `/metrics` asks for, at least 16 characters. Leave empty to ask for none.",
        secret=True,
    )
    metrics_networks: tuple[str, ...] = _var(
        "JOBWRIGHT_METRICS_NETWORKS",
        "networks",
        (),
        "Networks that may read `/metrics`, such as `10.0.0.0/8`, separated by commas. Leave empty to allow this machine alone, or any "
        "address with JOBWRIGHT_METRICS_TOKEN.",
    )
    metrics_jobs: tuple[str, str] | tuple[()] = _var(
        "JOBWRIGHT_METRICS_JOBS",
        "chosen_jobs",
        (),
        "Jobs that have metrics of their own: `top:50` for the 50 jobs of the highest priority, or `tag:NAME` for the jobs with a tag; "
        "at most 200. Leave empty for none.",
    )
    web_threads: int = _var("JOBWRIGHT_WEB_THREADS", "int", 16, "Number of requests that are served at the same time", **_at_least(1, 512))
    web_connections: int = _var(
        "JOBWRIGHT_WEB_CONNECTIONS",
        "int",
        4000,
        "Maximum number of open client connections. When it is reached, an idle connection is closed for each new one.",
        **_at_least(16, 100_000),
    )
    web_waits: int = _var(
        "JOBWRIGHT_WEB_WAITS",
        "int",
        200,
        "Number of requests to one process that wait for an execution at the same time (`?wait=` and event streams)",
        **_at_least(1, 10_000),
    )
    web_waits_per_account: int = _var(
        "JOBWRIGHT_WEB_WAITS_PER_ACCOUNT",
        "int",
        20,
        "Number of requests of one account that wait for an execution at the same time",
        **_at_least(1, 10_000),
    )
    log_level: str = _var(
        "LOG_LEVEL",
        "upper",
        "INFO",
        "Lowest level of log events: DEBUG, INFO, WARNING or ERROR",
        validate=OneOf(["DEBUG", "INFO", "WARNING", "ERROR"]),
    )
    log_format: str = _var(
        "JOBWRIGHT_LOG_FORMAT",
        "str",
        "auto",
        "Format of the log: json, console, or auto (console on a terminal, json otherwise)",
        validate=OneOf(["auto", "json", "console"]),
    )
    traces: str = _var(
        "JOBWRIGHT_TRACES",
        "str",
        "off",
        "off: write no traces. otlp: send spans by OTLP over HTTP to the collector that the variables of OpenTelemetry name "
        "(docs/how-to/traces.md). Set it in every process.",
        validate=OneOf(["off", "otlp"]),
    )
    admin_email: str = _var(
        "JOBWRIGHT_ADMIN_EMAIL", "str", "admin@localhost", "E-mail address of the super-admin who is created at the first start"
    )
    admin_password: str = _var(
        "JOBWRIGHT_ADMIN_PASSWORD",
        "str",
        "",
        "Password of the first super-admin. Leave empty to have one generated and printed once.",
        secret=True,
    )
    timezone: str = _var("SCHEDULER_TIMEZONE", "zone", "UTC", "Time zone of schedules that do not set one")
    misfire_grace_seconds: int = _var(
        "SCHEDULER_MISFIRE_GRACE_TIME",
        "int",
        300,
        "How many seconds late a run may start before it counts as missed, by default",
        **_at_least(1, 604_800),
    )
    max_instances: int = _var(
        "SCHEDULER_MAX_INSTANCES", "int", 3, "Highest value that a job may set for concurrency.max_instances", **_at_least(1, 1000)
    )
    executor: str = _var(
        "JOBWRIGHT_EXECUTOR",
        "str",
        "local",
        "local: schedulers run jobs themselves. celery: `jobwright worker` runs them, and schedulers announce runs through Celery.",
        validate=OneOf(["local", "celery"]),
    )
    celery_broker_url: str = _var(
        "CELERY_BROKER_URL",
        "str",
        "",
        "Redis or RabbitMQ of Celery, such as `redis://:password@redis.example.com:6379/0` or `amqp://user:password@rabbit.example.com//`. "
        "Required if JOBWRIGHT_EXECUTOR is celery.",
        secret=True,
    )
    celery_routes: tuple[tuple[str, str], ...] = _var(
        "JOBWRIGHT_CELERY_ROUTES",
        "routes",
        (),
        "Route of templates to workers, as `template=route`, separated by commas, such as `report_generation=reports,backup=slow`. "
        "Other templates have the route `default`. A worker takes the routes of `jobwright worker --routes`.",
    )
    pool_size: int = _var("SCHEDULER_EXECUTOR_POOL_SIZE", "int", 10, "Number of simultaneous runs on one node", **_at_least(1, 1000))
    node_labels: tuple[str, ...] = _var(
        "JOBWRIGHT_NODE_LABELS",
        "labels",
        (),
        "Labels of this node, such as `gpu,site=berlin`, separated by commas. A job runs only on nodes that have all labels that it needs.",
    )
    isolation: str = _var(
        "JOBWRIGHT_ISOLATION",
        "str",
        "template",
        "process: every attempt has its own process. reused: attempts share warm processes one after "
        "the other. template: as each template says.",
        validate=OneOf(["template", "process", "reused"]),
    )
    cgroup: str = _var(
        "JOBWRIGHT_CGROUP",
        "str",
        "auto",
        "Use of control groups (version 2). auto: keep the processes of an attempt together. own: also limit "
        "them, in a group that only Jobwright uses. off: do not use them.",
        validate=OneOf(["auto", "own", "off"]),
    )
    cage: str = _var(
        "JOBWRIGHT_CAGE",
        "str",
        "auto",
        "auto: sandbox job processes with whatever the kernel supports (docs/how-to/secure.md). off: no sandbox.",
        validate=OneOf(["auto", "off"]),
    )
    job_user: str = _var("JOBWRIGHT_JOB_USER", "str", "", "User that runs job processes. The service must run as root.")
    job_paths: tuple[str, ...] = _var(
        "JOBWRIGHT_JOB_PATHS",
        "words",
        (),
        "Additional folders that job processes may write to, separated by spaces",
    )
    command_programs: tuple[str, ...] = _var(
        "JOBWRIGHT_COMMAND_PROGRAMS",
        "paths",
        (),
        "Programs that jobs of the template Command may start: absolute paths, separated by spaces. "
        "Leave empty to switch the template off.",
    )
    command_dirs: tuple[str, ...] = _var(
        "JOBWRIGHT_COMMAND_DIRS",
        "paths",
        (),
        "Folders that commands may choose as their working folder, with the folders below: absolute paths, separated by spaces",
    )
    trusted_template_keys: tuple[str, ...] = _var(
        "JOBWRIGHT_TRUSTED_TEMPLATE_KEYS", "words", (), "Public keys of installations whose template files are trusted, separated by spaces"
    )
    max_running: int = _var(
        "JOBWRIGHT_MAX_RUNNING", "int", 0, "Number of simultaneous runs on all nodes together; 0 means no limit", **_at_least(0)
    )
    template_limits: tuple[tuple[str, int], ...] = _var(
        "JOBWRIGHT_TEMPLATE_LIMITS",
        "counts",
        (),
        "Number of simultaneous runs of a template, as `template=number`, separated by commas",
    )
    group_limits: tuple[tuple[str, int], ...] = _var(
        "JOBWRIGHT_GROUP_LIMITS",
        "counts",
        (),
        "Number of simultaneous runs of a concurrency group, as `group=number`, separated by commas. Groups that are not listed have 1.",
    )
    default_max_retries: int = _var("DEFAULT_MAX_RETRIES", "int", 3, "Default number of retries of a job", **_at_least(0, 100))
    default_retry_delay_seconds: int = _var(
        "DEFAULT_RETRY_DELAY", "int", 300, "Default delay before a retry, in seconds", **_at_least(0, 86_400)
    )
    lease_seconds: float = _var(
        "LOCK_TIMEOUT_SECONDS",
        "float",
        30.0,
        "If a worker gives no sign of life for this number of seconds, its runs count as lost",
        **_positive(),
    )
    tick_seconds: float = _var(
        "JOBWRIGHT_TICK_SECONDS",
        "float",
        1.0,
        "Seconds between two checks for work that another node has left behind. New work always starts at once.",
        **_positive(60),
    )
    probe_seconds: int = _var(
        "JOBWRIGHT_PROBE_SECONDS", "int", 300, "Seconds between two tests of each connection; 0 means never", **_at_least(0)
    )
    kill_grace_seconds: float = _var(
        "JOBWRIGHT_KILL_GRACE_SECONDS",
        "float",
        3.0,
        "Seconds between SIGTERM and SIGKILL when a run is cancelled or exceeds its timeout",
        **_positive(4.5),
    )
    drain_seconds: float = _var(
        "JOBWRIGHT_DRAIN_SECONDS",
        "float",
        20.0,
        "Seconds that running attempts have to finish when the service stops. After that they return to the queue.",
        **_positive(),
    )
    drain_notice_seconds: float = _var(
        "JOBWRIGHT_DRAIN_NOTICE_SECONDS",
        "float",
        0.0,
        "Seconds between the beginning of a stop, when `/ready` answers 503, and the closing of connections, so that a load balancer sends "
        "requests elsewhere first",
        **_at_least(0, 600),
    )
    max_timeout_seconds: int = _var(
        "JOBWRIGHT_MAX_TIMEOUT_SECONDS", "int", 86400, "Longest timeout that a job may set, in seconds", **_at_least(1)
    )
    job_memory_mb: int = _var(
        "JOBWRIGHT_JOB_MEMORY_MB", "int", 2048, "Memory (address space) that an attempt may use, in MiB", **_at_least(256)
    )
    job_cpu_seconds: int = _var(
        "JOBWRIGHT_JOB_CPU_SECONDS", "int", 86400, "Processor time that an attempt may use, in seconds", **_at_least(1)
    )
    job_open_files: int = _var("JOBWRIGHT_JOB_OPEN_FILES", "int", 512, "Number of files that an attempt may have open", **_at_least(32))
    job_processes: int = _var(
        "JOBWRIGHT_JOB_PROCESSES",
        "int",
        64,
        "Number of processes that an attempt may have. An attempt that starts more is ended.",
        **_at_least(1),
    )
    job_log_bytes: int = _var(
        "JOBWRIGHT_JOB_LOG_BYTES", "int", 10_000_000, "Maximum size of the log of an attempt, in bytes", **_at_least(1000)
    )
    job_result_bytes: int = _var(
        "JOBWRIGHT_JOB_RESULT_BYTES",
        "int",
        1_000_000,
        "Maximum size of the result of an attempt, in bytes",
        **_at_least(1000, 8_000_000),
    )
    job_file_mb: int = _var("JOBWRIGHT_JOB_FILE_MB", "int", 16384, "Maximum size of a file that an attempt writes, in MiB", **_at_least(1))
    max_jobs: int = _var("JOBWRIGHT_MAX_JOBS", "int", 100, "Maximum number of jobs", **_at_least(1))
    max_jobs_per_creator: int = _var(
        "MAX_SCHEDULES_PER_CREATOR", "int", 1000, "Maximum number of jobs that one person may have created", **_at_least(1)
    )
    runs_per_hour: int = _var(
        "JOBWRIGHT_RUNS_PER_HOUR",
        "int",
        10,
        "Number of runs that an admin may start by hand per hour",
        **_at_least(1, MOST_COUNTED_AN_HOUR),
    )
    runs_per_hour_super_admin: int = _var(
        "JOBWRIGHT_RUNS_PER_HOUR_SUPER_ADMIN",
        "int",
        1000,
        "Number of runs that a super-admin may start by hand per hour",
        **_at_least(1, MOST_COUNTED_AN_HOUR),
    )
    dry_runs_per_hour: int = _var(
        "JOBWRIGHT_DRY_RUNS_PER_HOUR",
        "int",
        60,
        "Number of dry runs of unsaved jobs that a person may start per hour",
        **_at_least(1, MOST_COUNTED_AN_HOUR),
    )
    api_rate: int = _var("JOBWRIGHT_API_RATE", "int", 1200, "REST requests per minute and account, on all nodes together", **_at_least(1))
    stranger_rate: int = _var(
        "JOBWRIGHT_STRANGER_RATE",
        "int",
        120,
        "Unauthenticated requests per minute and network, such as wrong tokens and sign-ins",
        **_at_least(1),
    )
    proxy_hops: int = _var(
        "JOBWRIGHT_PROXY_HOPS",
        "int",
        0,
        "Number of proxies in front of Jobwright whose X-Forwarded-* headers are trusted",
        **_at_least(0, 10),
    )
    trusted_hosts: tuple[str, ...] = _var(
        "JOBWRIGHT_TRUSTED_HOSTS",
        "hosts",
        (),
        "Host names that requests may use for this server, separated by commas. Leave empty to accept any.",
    )
    strict: bool = _var("JOBWRIGHT_STRICT", "bool", False, "Only super-admins can create jobs")
    approval_days: int = _var("JOBWRIGHT_APPROVAL_DAYS", "int", 7, "Days after which a request for approval expires", **_at_least(1, 365))
    max_lookahead_days: int = _var(
        "MAX_SCHEDULE_LOOKAHEAD_DAYS", "int", 365, "How many days in the future a one-time run may be", **_at_least(1, 36500)
    )
    keep_success_days: int = _var(
        "JOBWRIGHT_KEEP_SUCCESS_DAYS", "int", 90, "Days that successful executions are kept; 0 means forever", **_at_least(0, CENTURY_DAYS)
    )
    keep_failure_days: int = _var(
        "JOBWRIGHT_KEEP_FAILURE_DAYS",
        "int",
        365,
        "Days that failed, timed-out, cancelled and missed executions are kept; 0 means forever",
        **_at_least(0, CENTURY_DAYS),
    )
    keep_skipped_days: int = _var(
        "JOBWRIGHT_KEEP_SKIPPED_DAYS", "int", 30, "Days that skipped executions are kept; 0 means forever", **_at_least(0, CENTURY_DAYS)
    )
    keep_per_job: int = _var("JOBWRIGHT_KEEP_PER_JOB", "int", 10_000, "Number of executions kept per job; 0 means all", **_at_least(0))
    notify_connection: str = _var("JOBWRIGHT_NOTIFY_CONNECTION", "str", "", "Name of the SMTP connection that sends notifications")
    name: str = _var(
        "JOBWRIGHT_NAME",
        "str",
        "",
        "Name of this installation, such as `Shop, production`. It is shown at sign-in, in the sidebar and in page titles.",
    )
    service_name: str = _var("SERVICE_NAME", "str", "jobwright", "Name of the service in the answer of /health")
    public_url: str = _var(
        "JOBWRIGHT_PUBLIC_URL",
        "str",
        "",
        "Address under which people and services reach Jobwright, for links in mails and for reports of services",
    )
    allowed_hosts: tuple[str, ...] = _var(
        "JOBWRIGHT_ALLOWED_HOSTS",
        "hosts",
        (),
        "Private hosts that jobs may call, as `host` or `host:port`, separated by commas",
    )
    service_addresses: tuple[tuple[str, str], ...] = _var(
        f"<NAME>{SERVICE_URL}",
        "service_addresses",
        (),
        "Base address of the service NAME or NAME-service, for registrations that name none, such as EMAIL_SERVICE_URL. The host may be "
        "private.",
    )
    nats_url: str = _var(
        "NATS_URL",
        "str",
        "",
        "NATS servers of the bus, such as `nats://user:password@nats.example.com:4222`, separated by commas. Jobwright publishes events "
        "there and listens to commands. Leave empty to use no bus.",
        secret=True,
    )
    nats_prefix: str = _var(
        "JOBWRIGHT_NATS_PREFIX",
        "subject",
        "jobwright",
        "Beginning of the subjects of the bus, and name of its stream. Installations that share a NATS server need different ones.",
    )
    allowed_commands: tuple[str, ...] = _var(
        "ALLOWED_COMMANDS",
        "subjects",
        (),
        "Subjects that jobs may send commands to, separated by commas. `*` stands for one part and `>` for all that follow. "
        "Leave empty to let each connection decide.",
    )
    session_hours: int = _var("JOBWRIGHT_SESSION_HOURS", "int", 12, "Hours after which a session ends", **_at_least(1, 720))
    session_idle_minutes: int = _var(
        "JOBWRIGHT_SESSION_IDLE_MINUTES", "int", 120, "Minutes without a request after which a session ends", **_at_least(1, 43_200)
    )
    secure_cookies: bool = _var(
        "JOBWRIGHT_SECURE_COOKIES", "bool", False, "Send cookies over TLS only. On by default if JOBWRIGHT_PUBLIC_URL begins with https."
    )

    password_sign_in: bool = _var(
        "JOBWRIGHT_PASSWORD_SIGN_IN",
        "bool",
        True,
        "Allow sign-in with a password. Switch it off if everybody signs in through single sign-on.",
    )
    oidc_issuer: str = _var(
        "JOBWRIGHT_OIDC_ISSUER", "str", "", "Address (issuer) of the OpenID Connect provider, exactly as the provider states it"
    )
    oidc_client_id: str = _var("JOBWRIGHT_OIDC_CLIENT_ID", "str", "", "Client id of Jobwright at the provider")
    oidc_client_secret: str = _var(
        "JOBWRIGHT_OIDC_CLIENT_SECRET",
        "str",
        "",
        "Client secret of Jobwright at the provider. Leave empty for a public client; PKCE is always used.",
        secret=True,
    )
    oidc_name: str = _var("JOBWRIGHT_OIDC_NAME", "str", "single sign-on", 'Name of the provider on the button "Sign in with …"')
    oidc_scopes: str = _var("JOBWRIGHT_OIDC_SCOPES", "str", "openid email profile", "Scopes to request from the provider")
    oidc_role_claim: str = _var(
        "JOBWRIGHT_OIDC_ROLE_CLAIM",
        "str",
        "groups",
        "Claim that contains the role, as a text or a list. Dots separate nested names, as in `realm_access.roles`.",
    )
    oidc_roles: tuple[tuple[str, str], ...] = _var(
        "JOBWRIGHT_OIDC_ROLES",
        "roles",
        (),
        "Role for each value of the claim, as `value=role`, separated by commas, applied at every sign-in. "
        "Leave empty to keep the roles of accounts.",
    )
    oidc_default_role: str = _var(
        "JOBWRIGHT_OIDC_DEFAULT_ROLE",
        "str",
        "",
        "Role of people without a matching claim: user or admin. Leave empty to refuse them.",
        validate=OneOf(["", "user", "admin"]),
    )

    @property
    def by_celery(self) -> bool:
        """Whether workers run the jobs, and schedulers run none."""
        return self.executor == "celery"

    @property
    def behind_tls(self) -> bool:
        """Whether browsers come over TLS: then cookies go no other way."""
        return self.secure_cookies or self.public_url.lower().startswith("https://")

    @property
    def nats_servers(self) -> tuple[str, ...]:
        """The addresses of NATS_URL."""
        return tuple(part.strip() for part in self.nats_url.split(",") if part.strip())

    def chosen(self) -> tuple[dict[str, Any], dict[str, str]]:
        """What differs from the defaults, by variable: what may be shown, and what may not as text."""
        shown: dict[str, Any] = {}
        secrets: dict[str, str] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if value != item.default:
                if item.metadata["secret"]:
                    secrets[item.metadata["name"]] = str(value)
                else:
                    shown[item.metadata["name"]] = _plain(value)
        return shown, secrets

    def is_empty(self, variable: str) -> bool:
        """Returns whether the setting of a variable has no value. Raises KeyError for a variable that is none."""
        return not getattr(self, {item.metadata["name"]: item.name for item in fields(self)}[variable])

    def service_address(self, service: str) -> str | None:
        """Returns the address that a variable `<NAME>_SERVICE_URL` gives for a service: EMAIL_SERVICE_URL for `email` and `email-service`;
        None if there is none."""
        name = service.lower().replace("_", "-").removesuffix("-service")
        return dict(self.service_addresses).get(name)

    @property
    def data_path(self) -> Path:
        """The data folder, absolute."""
        return Path(self.data_dir).expanduser().resolve()


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    Raises ConfigError that names every variable with a bad value, or a `NAME_FILE` that cannot be read.
    """
    source = os.environ if environ is None else environ
    problems: list[str] = []
    values: dict[str, Any] = {}
    for item in fields(Settings):
        name = item.metadata["name"]
        try:
            raw = _raw(source, name)
            if raw == "" and item.metadata["secret"] and name not in source:
                problems.append(f"{name}_FILE: {source[f'{name}_FILE']} is empty")
            if raw is not None:
                values[item.name] = item.metadata["parse"].deserialize(raw)
        except ValidationError as error:
            problems.append(_sentence(name, " ".join(map(str, error.messages)), None if item.metadata["secret"] else raw))
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{name}_FILE: {error}")
    if not problems:
        problems = [*_places(Settings(**values)), *_together(Settings(**values))]
    if problems:
        raise ConfigError("\n".join(problems))
    return Settings(**values)


_PLAIN = {
    "Not a valid integer.": "must be a whole number",
    "Not a valid number.": "must be a number",
    "Not a valid boolean.": "must be true or false",
}


def _sentence(name: str, message: str, value: str | None) -> str:
    """Returns what is wrong with a setting. `value` is None for a secret, which is not told."""
    words = _PLAIN.get(message, message).rstrip(".")
    if not words.lower().startswith("must "):
        return f"{name}: {words}."
    instead = "" if value is None else f", not {value!r}"
    return f"{name} {words[0].lower()}{words[1:]}{instead}."


def _places(settings: Settings) -> list[str]:
    """What is wrong with the folder and the addresses that settings name."""
    problems = []
    try:
        settings.data_path  # noqa: B018 - to resolve it is the check
    except (OSError, RuntimeError, ValueError) as error:
        problems.append(f"JOBWRIGHT_DATA_DIR: {settings.data_dir!r} is not a folder: {error}")
    for name, address in (("JOBWRIGHT_PUBLIC_URL", settings.public_url), ("JOBWRIGHT_OIDC_ISSUER", settings.oidc_issuer)):
        if address and not _is_web_address(address):
            problems.append(_sentence(name, "must be an address such as https://jobs.example.com", address))
    if settings.nats_url and not all(map(_is_nats_address, settings.nats_servers)):
        problems.append("NATS_URL: must be addresses such as nats://user:password@nats.example.com:4222, separated by commas")
    return problems


def _is_broker_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises ValueError for one that is no number
    except ValueError:
        return False
    return parts.scheme in BROKERS and bool(parts.hostname) and text.isprintable() and " " not in text


def _is_nats_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises ValueError for one that is no number
    except ValueError:
        return False
    plain = not parts.path.strip("/") and not parts.query and not parts.fragment
    return parts.scheme in {"nats", "tls", "ws", "wss"} and bool(parts.hostname) and plain and text.isprintable() and " " not in text


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises ValueError for one that is no number
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and text.isprintable() and " " not in text


def _together(settings: Settings) -> list[str]:
    """What is wrong with settings that are right each by itself, and secrets that are none; the secrets themselves are not told."""
    problems = []
    if settings.by_celery and not settings.celery_broker_url:
        problems.append("CELERY_BROKER_URL: is required if JOBWRIGHT_EXECUTOR is celery, such as redis://127.0.0.1:6379/0")
    if settings.celery_broker_url and not _is_broker_address(settings.celery_broker_url):
        problems.append("CELERY_BROKER_URL: must be an address that begins with redis://, rediss://, amqp:// or amqps://")
    weakness = key_weakness(settings.secret_key) if settings.secret_key else None
    if weakness is not None:
        problems.append(f"JOBWRIGHT_SECRET_KEY: {weakness}. {HOW_TO_MAKE_A_KEY}")
    if settings.oidc_client_secret and is_placeholder(settings.oidc_client_secret):
        problems.append("JOBWRIGHT_OIDC_CLIENT_SECRET: is a placeholder; set it to the secret that the provider has created")
    if settings.metrics_token and (len(settings.metrics_token) < LEAST_TOKEN or is_placeholder(settings.metrics_token)):
        problems.append(f"JOBWRIGHT_METRICS_TOKEN: must be at least {LEAST_TOKEN} random characters")
    if settings.oidc_issuer:
        if not settings.oidc_issuer.startswith(("https://", "http://")):
            problems.append(_sentence("JOBWRIGHT_OIDC_ISSUER", "must begin with https://", settings.oidc_issuer))
        if not settings.oidc_client_id:
            problems.append("JOBWRIGHT_OIDC_CLIENT_ID: is required if JOBWRIGHT_OIDC_ISSUER is set")
        if "openid" not in settings.oidc_scopes.split():
            problems.append(_sentence("JOBWRIGHT_OIDC_SCOPES", "must contain openid", settings.oidc_scopes))
    elif not settings.password_sign_in:
        problems.append("JOBWRIGHT_PASSWORD_SIGN_IN: without JOBWRIGHT_OIDC_ISSUER nobody could sign in")
    return problems


def _raw(source: Mapping[str, str], name: str) -> str | None:
    if name == f"<NAME>{SERVICE_URL}":
        keys = sorted(key for key in source if key.endswith(SERVICE_URL) and key != SERVICE_URL and source[key])
        return "\n".join(f"{key.removesuffix(SERVICE_URL)}={source[key]}" for key in keys) if keys else None
    if name in source:
        return source[name]
    path = source.get(f"{name}_FILE")
    return None if path is None else Path(path).read_text(encoding="utf-8").strip()
