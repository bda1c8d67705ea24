"""The configuration of Celery, the names of queues, and what the lock files say of each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.broker.base import masked, without_secrets
from app.broker.queues import queue_name, queues_of, routes_in
from app.config import load_settings
from app.errors import ConfigError

ROOT = Path(__file__).parents[2]
PASSWORD = "p-w0rd!"


def test_everything_that_hints_do_not_need_is_off() -> None:
    pytest.importorskip("celery")
    from app.broker.celery_app import make_app

    conf = make_app("redis://127.0.0.1:1/0").conf
    assert (conf.task_serializer, conf.accept_content, conf.result_accept_content) == ("json", ["json"], ["json"])
    assert (conf.result_backend, conf.task_ignore_result, conf.task_store_errors_even_if_ignored) == (None, True, False)
    assert (conf.task_acks_late, conf.worker_prefetch_multiplier, conf.task_reject_on_worker_lost) == (True, 1, False)
    assert (conf.worker_pool, conf.worker_enable_remote_control, conf.worker_send_task_events) == ("threads", False, False)
    assert (conf.broker_connection_retry, conf.broker_connection_retry_on_startup, conf.task_publish_retry) == (False, False, False)
    assert conf.worker_cancel_long_running_tasks_on_connection_loss is False


@pytest.mark.parametrize(
    ("route", "priority", "needs", "name"),
    [
        ("default", 5, (), "jobwright.default.normal"),
        ("reports", 8, (), "jobwright.reports.high"),
        ("reports", 3, ("site=berlin", "gpu"), "jobwright.reports.low.gpu+site=berlin"),
        ("default", 4, ("a.b",), "jobwright.default.normal.a.b"),
    ],
)
def test_the_queue_of_a_run(route: str, priority: int, needs: tuple[str, ...], name: str) -> None:
    assert queue_name(route, priority, needs) == name
    assert name in queues_of([route], [needs])


def test_the_routes_of_a_worker_are_read_from_its_queues() -> None:
    assert routes_in(queues_of(["default", "slow"], [("gpu",), ("a.b", "c")])) == {"default", "slow"}
    assert routes_in(["jobwright.probe.worker", "celery"]) == set()


@pytest.mark.parametrize(
    "url", [f"redis://:{PASSWORD}@h:6379/0", f"amqp://user:{PASSWORD}@h//", f"rediss://u:{PASSWORD}@h:1/0?ssl_cert_reqs={PASSWORD}"]
)
def test_no_text_has_the_password_of_the_broker(url: str) -> None:
    assert PASSWORD not in masked(url)
    assert PASSWORD not in without_secrets(f"cannot connect to {url}: {PASSWORD} is wrong", url)


@pytest.mark.parametrize("url", ["", "http://h", "redis://", "mongodb://h", "redis://h:port", f"redis:// :{PASSWORD}@h"])
def test_a_broker_that_cannot_be_used_stops_the_start_and_is_not_told(url: str) -> None:
    with pytest.raises(ConfigError, match="CELERY_BROKER_URL") as refused:
        load_settings({"JOBWRIGHT_EXECUTOR": "celery", "CELERY_BROKER_URL": url})
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize("routes", ["report_generation", "a=B", "a=", "=b", "a=b.c"])
def test_a_route_that_is_none_is_refused(routes: str) -> None:
    with pytest.raises(ConfigError, match="JOBWRIGHT_CELERY_ROUTES"):
        load_settings({"JOBWRIGHT_CELERY_ROUTES": routes})


@pytest.mark.parametrize(
    ("lock", "brings"),
    [
        ("requirements-celery.lock", {"celery", "kombu", "redis"}),
        ("requirements-apprise.lock", {"apprise", "markdown"}),
        ("requirements-otel.lock", {"opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"}),
    ],
)
def test_extras_agree_with_what_is_locked_beside_them(lock: str, brings: set[str]) -> None:
    """Tests install all into one environment."""
    own, all_of = (_pins(ROOT / name) for name in (lock, "requirements.lock"))
    assert {name: version for name, version in own.items() if all_of.get(name, version) != version} == {}
    assert brings <= own.keys() - all_of.keys()


def _pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", path.read_text(), re.MULTILINE))
