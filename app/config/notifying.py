"""How alerts become messages."""

from __future__ import annotations

from dataclasses import dataclass

from app.config.values import at_least, setting

DAY_SECONDS = 86_400


@dataclass(frozen=True, kw_only=True)
class NotifyingSettings:
    """How alerts become messages."""

    alert_wait_seconds: int = setting(
        "JOBWRIGHT_ALERT_WAIT_SECONDS",
        "int",
        30,
        "Seconds that an alert waits for others, so that one message has all of them",
        **at_least(0, 3_600),
    )
    alert_interval_seconds: int = setting(
        "JOBWRIGHT_ALERT_INTERVAL_SECONDS",
        "int",
        300,
        "Seconds between two messages about the same group of alerts. Within this time, a channel gets at most 10 messages, "
        "and what is left shares one more.",
        **at_least(1, DAY_SECONDS),
    )
    alert_repeat_seconds: int = setting(
        "JOBWRIGHT_ALERT_REPEAT_SECONDS",
        "int",
        14_400,
        "Seconds between two messages that remind of several alerts",
        **at_least(1, 7 * DAY_SECONDS),
    )
    notify_at_once: int = setting(
        "JOBWRIGHT_NOTIFY_AT_ONCE",
        "int",
        5,
        "Number of messages that a channel gets at once, within the seconds of `JOBWRIGHT_ALERT_INTERVAL_SECONDS`, because jobs name it "
        "as a recipient. Further ones are grouped like alerts.",
        **at_least(0, 1_000),
    )
    alert_group_by: tuple[str, ...] = setting(
        "JOBWRIGHT_ALERT_GROUP_BY",
        "choices",
        ("connection", "template"),
        "Alerts in one message have these in common: `connection`, `template`, `tag` and `error`, separated by commas. "
        "With an empty text, all alerts of a channel are in one message.",
        known=("connection", "template", "tag", "error"),
    )
