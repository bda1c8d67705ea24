"""How people, programs and monitors reach a process, and what it tells them."""

from __future__ import annotations

from dataclasses import dataclass

from marshmallow.validate import OneOf

from app.config.values import at_least, setting


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """How people, programs and monitors reach a process, and what it tells them."""

    host: str = setting("HOST", "str", "127.0.0.1", "Address that the web server listens on")
    port: int = setting("PORT", "int", 8080, "Port that the web server listens on; 0 chooses a free port", **at_least(0, 65535))
    health_port: int = setting(
        "JOBWRIGHT_HEALTH_PORT",
        "int",
        0,
        "Port for `/live`, `/ready`, `/health`, `/health/detailed` and `/metrics` alone, for processes without a web server; 0 opens none",
        **at_least(0, 65535),
    )
    metrics_token: str = setting(
        "JOBWRIGHT_METRICS_TOKEN",
        "str",
        "",
        "Token that `/metrics` asks for, at least 16 characters. Leave empty to ask for none.",
        secret=True,
    )
    metrics_networks: tuple[str, ...] = setting(
        "JOBWRIGHT_METRICS_NETWORKS",
        "networks",
        (),
        "Networks that may read `/metrics`, such as `10.0.0.0/8`, separated by commas. Leave empty to allow this machine alone, or any "
        "address with JOBWRIGHT_METRICS_TOKEN.",
    )
    metrics_jobs: tuple[str, str] | tuple[()] = setting(
        "JOBWRIGHT_METRICS_JOBS",
        "chosen_jobs",
        (),
        "Jobs that have metrics of their own: `top:50` for the 50 jobs of the highest priority, or `tag:NAME` for the jobs with a tag; "
        "at most 200. Leave empty for none.",
    )
    web_threads: int = setting(
        "JOBWRIGHT_WEB_THREADS", "int", 16, "Number of requests that are served at the same time", **at_least(1, 512)
    )
    web_connections: int = setting(
        "JOBWRIGHT_WEB_CONNECTIONS",
        "int",
        4000,
        "Maximum number of open client connections. When it is reached, an idle connection is closed for each new one.",
        **at_least(16, 100_000),
    )
    web_waits: int = setting(
        "JOBWRIGHT_WEB_WAITS",
        "int",
        200,
        "Number of requests to one process that wait for an execution at the same time (`?wait=` and event streams)",
        **at_least(1, 10_000),
    )
    web_waits_per_account: int = setting(
        "JOBWRIGHT_WEB_WAITS_PER_ACCOUNT",
        "int",
        20,
        "Number of requests of one account that wait for an execution at the same time",
        **at_least(1, 10_000),
    )
    log_level: str = setting(
        "LOG_LEVEL",
        "upper",
        "INFO",
        "Lowest level of log events: DEBUG, INFO, WARNING or ERROR",
        validate=OneOf(["DEBUG", "INFO", "WARNING", "ERROR"]),
    )
    log_format: str = setting(
        "JOBWRIGHT_LOG_FORMAT",
        "str",
        "auto",
        "Format of the log: json, console, or auto (console on a terminal, json otherwise)",
        validate=OneOf(["auto", "json", "console"]),
    )
    traces: str = setting(
        "JOBWRIGHT_TRACES",
        "str",
        "off",
        "off: write no traces. otlp: send spans by OTLP over HTTP to the collector that the variables of OpenTelemetry name "
        "(docs/how-to/traces.md). Set it in every process.",
        validate=OneOf(["off", "otlp"]),
    )
    api_rate: int = setting("JOBWRIGHT_API_RATE", "int", 1200, "REST requests per minute and account, on all nodes together", **at_least(1))
    stranger_rate: int = setting(
        "JOBWRIGHT_STRANGER_RATE",
        "int",
        120,
        "Unauthenticated requests per minute and network, such as wrong tokens and sign-ins",
        **at_least(1),
    )
    proxy_hops: int = setting(
        "JOBWRIGHT_PROXY_HOPS",
        "int",
        0,
        "Number of proxies in front of Jobwright whose X-Forwarded-* headers are trusted",
        **at_least(0, 10),
    )
    trusted_hosts: tuple[str, ...] = setting(
        "JOBWRIGHT_TRUSTED_HOSTS",
        "hosts",
        (),
        "Host names that requests may use for this server, separated by commas. Leave empty to accept any. Health checks and `/metrics` "
        "are answered under any name.",
    )
    name: str = setting(
        "JOBWRIGHT_NAME",
        "str",
        "",
        "Name of this installation, such as `Shop, production`. It is shown at sign-in, in the sidebar and in page titles.",
    )
    service_name: str = setting("SERVICE_NAME", "str", "jobwright", "Name of the service in the answer of /health")
    public_url: str = setting(
        "JOBWRIGHT_PUBLIC_URL",
        "str",
        "",
        "Address under which people and services reach Jobwright, for links in mails and for reports of services",
    )
