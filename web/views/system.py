"""/system: the bus, follow-ups that were given up, and the settings of this installation."""

from __future__ import annotations

from dataclasses import Field, fields
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from app import durations
from app.accounts.permissions import May, lacks, require
from app.config import Settings
from app.validation.secret import MASK
from templates_lib.messages import say
from web.current import actor, services
from web.language import translated
from web.views.common import tell

blueprint = Blueprint("system_pages", __name__)

# The seconds of the unit of a setting, by the end of its name; people read larger numbers of these as a duration.
UNITS = {"_seconds": 1, "_minutes": 60, "_hours": 3_600}
# Settings in the order of the page. Those that are in no group are listed last.
GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        say("Installation"),
        ("name", "public_url", "mongodb_uri", "database", "data_dir", "sample", "sample_uri", "timezone", "log_level", "log_format"),
    ),
    (
        say("Web server"),
        ("host", "port", "web_threads", "web_connections", "proxy_hops", "trusted_hosts", "secure_cookies"),
    ),
    (
        say("Sign-in"),
        (
            "session_hours",
            "session_idle_minutes",
            "password_sign_in",
            "admin_email",
            "admin_password",
            "oidc_issuer",
            "oidc_client_id",
            "oidc_client_secret",
            "oidc_name",
            "oidc_scopes",
            "oidc_role_claim",
            "oidc_roles",
            "oidc_default_role",
        ),
    ),
    (
        say("Security"),
        (
            "secret_key",
            "old_secret_keys",
            "strict",
            "approval_days",
            "allowed_hosts",
            "service_addresses",
            "trusted_template_keys",
            "isolation",
            "cage",
            "cgroup",
            "job_user",
            "job_paths",
        ),
    ),
    (
        say("Running jobs"),
        (
            "pool_size",
            "node_labels",
            "max_running",
            "template_limits",
            "group_limits",
            "max_instances",
            "misfire_grace_seconds",
            "default_max_retries",
            "default_retry_delay_seconds",
            "max_timeout_seconds",
            "kill_grace_seconds",
            "drain_seconds",
            "lease_seconds",
            "tick_seconds",
            "probe_seconds",
        ),
    ),
    (
        say("Limits of an attempt"),
        (
            "job_memory_mb",
            "job_cpu_seconds",
            "job_open_files",
            "job_processes",
            "job_log_bytes",
            "job_result_bytes",
            "job_file_mb",
        ),
    ),
    (
        say("Limits for people and programs"),
        (
            "max_jobs",
            "max_jobs_per_creator",
            "max_lookahead_days",
            "runs_per_hour",
            "runs_per_hour_super_admin",
            "dry_runs_per_hour",
            "api_rate",
            "stranger_rate",
        ),
    ),
    (say("Retention"), ("keep_success_days", "keep_failure_days", "keep_skipped_days", "keep_per_job")),
    (say("Notifications"), ("notify_connection",)),
    (say("Bus"), ("nats_url", "nats_prefix", "allowed_commands")),
)
OTHERS = say("Other settings")


@blueprint.get("/system")
def show() -> str:
    """Shows how many nodes are online to everyone who sees jobs. Super-admins also see the settings: with `q` those that match, with
    `changed` those that differ from their default."""
    require(actor(), May.SEE_JOBS)
    now = services().clock.now()
    nodes = [(node, node.lives(now)) for node in services().nodes()]
    query, changed = request.args.get("q", "").strip()[:200], "changed" in request.args
    manages = lacks(actor(), May.SWITCH_MAINTENANCE) is None
    return render_template(
        "system.html",
        online=sum(lives for _, lives in nodes),
        live=services().history.live_counts(),
        groups=_groups(query.lower(), changed=changed) if manages else [],
        manages=manages,
        query=query,
        changed=changed,
        given_up=services().given_up.items(actor()),
        has_bus=bool(services().settings.nats_url),
        buses=[(node, node.bus) for node, lives in nodes if lives and node.bus],
        unpublished=services().unpublished(),
    )


@blueprint.post("/system/outbox/events/<event_id>/<what>/again")
def carry_out_again(event_id: str, what: str) -> Any:
    """Lets a follow-up of an event that was given up be tried again."""
    services().given_up.ask_again_of_event(actor(), event_id, what)
    tell(say("The follow-up is tried again now"))
    return redirect(url_for(".show"))


def _groups(query: str, *, changed: bool) -> list[tuple[str, list[dict[str, Any]]]]:
    """Returns (title, settings) of each group that has a setting to show."""
    named = {name for _, names in GROUPS for name in names}
    others = (OTHERS, tuple(item.name for item in fields(Settings) if item.name not in named))
    rows = {item.name: _setting(item) for item in fields(Settings)}
    groups = [(title, [rows[name] for name in names if name in rows]) for title, names in (*GROUPS, others)]
    shown = [(title, [row for row in members if _is_shown(row, query, changed=changed)]) for title, members in groups]
    return [(title, members) for title, members in shown if members]


def _setting(item: Field[Any]) -> dict[str, Any]:
    """Returns a setting with its value, which is masked if it is a secret, and whether it differs from the default."""
    value, secret = getattr(services().settings, item.name), item.metadata["secret"]
    shown = (MASK if value else "") if secret else int(value) if isinstance(value, float) and value.is_integer() else value
    told = {"name": item.metadata["name"], "text": item.metadata["text"], "value": shown, "set": value != item.default}
    return {**told, "duration": _duration(item.name, value)}


def _duration(name: str, value: Any) -> str:
    """Returns the number in a setting as a duration, if that says more than the number: 5400 seconds as "1 h 30 min", not 30 seconds."""
    size = next((size for ending, size in UNITS.items() if name.endswith(ending)), 0)
    seconds = value * size if size and value == int(value) else 0
    return durations.write(int(seconds)) if seconds and value >= 60 else ""


def _is_shown(row: dict[str, Any], query: str, *, changed: bool) -> bool:
    text = f"{row['name']} {row['text']} {translated(row['text'])}".lower()
    return (row["set"] or not changed) and all(word in text for word in query.split())
