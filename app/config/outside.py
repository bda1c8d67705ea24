"""What jobs and events reach: mail, services and the bus."""

from __future__ import annotations

from dataclasses import dataclass

from app.config.values import SERVICE_URL, at_least, setting


@dataclass(frozen=True, kw_only=True)
class OutsideSettings:
    """What jobs and events reach: mail, services and the bus."""

    notify_connection: str = setting("JOBWRIGHT_NOTIFY_CONNECTION", "str", "", "Name of the SMTP connection for notifications to addresses")
    notify_log_lines: int = setting(
        "JOBWRIGHT_NOTIFY_LOG_LINES",
        "int",
        50,
        "Number of last lines of the log in notifications of failures; 0 leaves out the log",
        **at_least(0, 50),
    )
    allowed_hosts: tuple[str, ...] = setting(
        "JOBWRIGHT_ALLOWED_HOSTS",
        "hosts",
        (),
        "Private hosts that jobs may call, as `host` or `host:port`, separated by commas",
    )
    apprise_schemes: tuple[str, ...] = setting(
        "JOBWRIGHT_APPRISE_SCHEMES",
        "schemes",
        ("gotifys", "join", "matrixs", "mmosts", "ntfys", "opsgenie", "pagerduty", "pbul", "pover", "prowl", "rockets", "tgram", "zulip"),
        "Schemes of Apprise that channels may use, separated by commas. Those that act on the machine itself are never allowed.",
    )
    service_addresses: tuple[tuple[str, str], ...] = setting(
        f"<NAME>{SERVICE_URL}",
        "service_addresses",
        (),
        "Base address of the service NAME or NAME-service, for registrations that name none, such as EMAIL_SERVICE_URL. The host may be "
        "private.",
    )
    nats_url: str = setting(
        "NATS_URL",
        "str",
        "",
        "NATS servers of the bus, such as `nats://user:password@nats.example.com:4222`, separated by commas. Jobwright publishes events "
        "there and listens to commands. Leave empty to use no bus.",
        secret=True,
    )
    nats_prefix: str = setting(
        "JOBWRIGHT_NATS_PREFIX",
        "subject",
        "jobwright",
        "Beginning of the subjects of the bus, and name of its stream. Installations that share a NATS server need different ones.",
    )
    allowed_commands: tuple[str, ...] = setting(
        "ALLOWED_COMMANDS",
        "subjects",
        (),
        "Subjects that jobs may send commands to, separated by commas. `*` stands for one part and `>` for all that follow. "
        "Leave empty to let each connection decide.",
    )
