"""The Celery application: its configuration, and its two tasks. Everything that is not needed for hints is switched off."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from celery import Celery
from celery.exceptions import Reject
from kombu import Exchange, Queue

from app.broker.base import OnHint
from app.broker.queues import DEFAULT_ROUTE, PROBE, RUN, queue_name
from app.events import get_logger

log = get_logger(__name__)

EXPIRES_SECONDS = 120.0  # RabbitMQ: a hint that nobody took for so long is worth nothing, as its execution was announced again
CONNECT_SECONDS = 3.0
ANSWER_SECONDS, CLOSE_SECONDS = 5.0, 1.0
VISIBILITY_SECONDS = 60  # Redis: a hint that a worker took and never acknowledged goes to another worker
QUEUE_EXPIRES_SECONDS = 86_400.0  # a queue that nobody uses any more is removed
PROBE_EXPIRES_SECONDS = 120.0
EXECUTION_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

# What a message may do and what a worker keeps: JSON alone, acknowledged late, one message for each thread, nothing stored, nothing told to
# others, no retries by Celery. A connection is not restored by Celery, whose pauses grow: the consumer is started again each second.
CONFIG: dict[str, Any] = {
    "task_serializer": "json",
    "accept_content": ["json"],
    "result_serializer": "json",
    "result_accept_content": ["json"],
    "event_serializer": "json",
    "result_backend": None,
    "task_ignore_result": True,
    "task_store_errors_even_if_ignored": False,
    "task_track_started": False,
    "task_acks_late": True,
    "task_acks_on_failure_or_timeout": True,
    "task_reject_on_worker_lost": False,
    "task_publish_retry": False,
    "task_send_sent_event": False,
    "task_create_missing_queues": True,
    "task_default_queue": queue_name(DEFAULT_ROUTE, 5),
    "task_default_exchange": "",
    "task_default_delivery_mode": "transient",
    "worker_pool": "threads",
    "worker_prefetch_multiplier": 1,
    "worker_enable_remote_control": False,
    "worker_send_task_events": False,
    "worker_disable_rate_limits": True,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "worker_detect_quorum_queues": False,
    "broker_connection_retry": False,
    "broker_connection_retry_on_startup": False,
    "broker_connection_timeout": CONNECT_SECONDS,
    "broker_heartbeat": 0,
    "broker_pool_limit": 1,
    "enable_utc": True,
}
_REDIS = {
    "visibility_timeout": VISIBILITY_SECONDS,
    "socket_timeout": ANSWER_SECONDS,
    "socket_connect_timeout": CONNECT_SECONDS,
    "socket_keepalive": True,
    "retry_on_timeout": False,
}
_AMQP = {"confirm_publish": True}


def make_app(url: str) -> Celery:
    """Returns an application that publishes. `add_tasks` makes it one that consumes."""
    app = Celery("jobwright", broker=url, set_as_current=False, config_source=None, fixups=[])
    app.conf.update(CONFIG)
    app.conf.broker_transport_options = _REDIS if is_redis(url) else _AMQP
    app.conf.broker_use_ssl = _certificates(url)
    return app


def is_redis(url: str) -> bool:
    """Returns whether an address is that of a Redis."""
    return url.startswith("redis")


def _certificates(url: str) -> dict[str, Any] | None:
    """How the certificate of a broker is checked. By default, kombu checks none. What the address of a Redis says itself (`?ssl_ca_certs=`)
    comes first."""
    parts = urlsplit(url)
    if parts.scheme == "rediss":
        return {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
    if parts.scheme == "amqps":
        return {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": parts.hostname}
    return None


def limit_waits(connection: Any, seconds: float | None = None) -> None:
    """Has each wait for RabbitMQ on an open connection end after so long, by default ANSWER_SECONDS. (AMQP has no such limits of its own.
    Those of Redis are in _REDIS.)"""
    transport = getattr(connection.connection, "transport", None)
    if transport is not None and transport.sock is not None:
        transport.sock.settimeout(ANSWER_SECONDS if seconds is None else seconds)


def add_tasks(app: Celery, *, on_hint: OnHint, on_probe: Callable[[str], None]) -> None:
    """Adds the tasks. A message that is not one of theirs is acknowledged, logged and forgotten."""

    def run(*args: Any, **kwargs: Any) -> None:
        execution_id = args[0] if len(args) == 1 and not kwargs else None
        if not isinstance(execution_id, str) or not EXECUTION_ID.fullmatch(execution_id):
            log.warning("hint.refused", reason="It is not one id of an execution")
            return
        if not on_hint(execution_id):
            raise Reject("not tried", requeue=True)

    def probe(*args: Any, **kwargs: Any) -> None:
        if len(args) == 1 and isinstance(args[0], str) and not kwargs:
            on_probe(args[0])

    app.task(run, name=RUN, typing=False, shared=False)
    app.task(probe, name=PROBE, typing=False, shared=False)


def let_go(connection: Any) -> None:
    """Ends an open connection to RabbitMQ at once: a silent broker would be waited for at each step of an orderly end. What was taken and
    not acknowledged goes back into its queue. (Redis has to be told, and _REDIS limits how long that takes.)"""
    if hasattr(connection.connection, "transport"):
        connection.connection.collect()


@lru_cache(maxsize=1024)
def queue_of(name: str) -> Queue:
    """Returns the declaration of a queue. It is the same for those that publish and those that consume."""
    expires = PROBE_EXPIRES_SECONDS if name.startswith(f"{PROBE}.") else QUEUE_EXPIRES_SECONDS
    return Queue(name, Exchange("", type="direct"), routing_key=name, durable=True, expires=expires)
