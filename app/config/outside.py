"""What jobs and events reach: mail, services and the bus."""

from __future__ import annotations

from dataclasses import dataclass

from marshmallow.validate import OneOf

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
    monitor_url: str = setting(
        "JOBWRIGHT_MONITOR_URL",
        "web_address",
        "",
        "Address of an outside monitor that Jobwright calls while it works, such as a check of a dead man's switch. The monitor raises the "
        "alarm when the calls stop. Leave empty to call none.",
        secret=True,
    )
    monitor_method: str = setting(
        "JOBWRIGHT_MONITOR_METHOD", "upper", "GET", "Method of these calls: GET or POST", validate=OneOf(["GET", "POST"])
    )
    monitor_seconds: int = setting("JOBWRIGHT_MONITOR_SECONDS", "int", 60, "Seconds between two of these calls", **at_least(10, 86_400))
    stuck_seconds: int = setting(
        "JOBWRIGHT_STUCK_SECONDS",
        "int",
        300,
        "Follow-ups or notifications that have been due for longer than this number of seconds are stuck: the calls stop, and a mail is "
        "sent to JOBWRIGHT_EMERGENCY_TO",
        **at_least(60, 86_400),
    )
    emergency_connection: str = setting(
        "JOBWRIGHT_EMERGENCY_CONNECTION",
        "str",
        "",
        "Name of the SMTP connection for mail that Jobwright is stuck. Use another mail server than that of JOBWRIGHT_NOTIFY_CONNECTION.",
    )
    emergency_to: tuple[str, ...] = setting(
        "JOBWRIGHT_EMERGENCY_TO", "addresses", (), "Addresses that get this mail, separated by commas. Leave empty to send none."
    )
    emergency_remind_hours: int = setting(
        "JOBWRIGHT_EMERGENCY_REMIND_HOURS",
        "int",
        4,
        "Hours between two mails while Jobwright is stuck; 0 means one mail only",
        **at_least(0, 720),
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
