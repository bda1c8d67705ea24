"""/metrics as it is served: formats, access, and a database that is away."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from threading import Barrier, Thread

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families
from pymongo.errors import AutoReconnect

from app.clock import ManualClock
from app.config import Settings
from app.factory import Store, build_services, create_probes
from app.jobtemplates.catalogue import Catalogue
from app.measures import Measures
from app.metrics.access import MetricsAccess
from app.metrics.catalogue import BY_NAME
from app.metrics.service import CACHE_SECONDS, Metrics, Values
from app.services import Services

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def sample(client: FlaskClient, name: str, **labels: str) -> float | None:
    """The value of a sample, as a scrape has it; None where there is none."""
    text = client.get("/metrics").get_data(as_text=True)
    samples = (one for family in text_string_to_metric_families(text) for one in family.samples)
    return next((one.value for one in samples if one.name == name and one.labels == labels), None)


def test_both_formats_by_the_header_accept(app: Flask) -> None:
    client = app.test_client()
    plain = client.get("/metrics")
    assert plain.status_code == 200
    assert plain.content_type.startswith("text/plain; version=")
    opened = client.get("/metrics", headers={"Accept": OPENMETRICS})
    assert opened.content_type.startswith("application/openmetrics-text; version=1.0.0")
    names = {family.name for family in openmetrics_families(opened.get_data(as_text=True))}
    assert {"jobwright_build_info", "jobwright_up", "jobwright_http_requests", "process_cpu_seconds"} <= names


def test_requests_are_counted_by_the_pattern_of_their_address(app: Flask) -> None:
    client = app.test_client()
    for path in ("/live", "/api/admin/scheduler-jobs/one", "/api/admin/scheduler-jobs/two", "/nowhere/1", "/nowhere/2"):
        client.get(path)
    client.open("/live", method="BREW")
    count = "jobwright_http_requests_total"
    assert sample(client, count, route="/live", method="GET", status="2xx") == 1
    assert sample(client, count, route="/api/admin/scheduler-jobs/<job_id>", method="GET", status="4xx") == 2
    assert sample(client, count, route="unknown", method="GET", status="4xx") == 2
    assert sample(client, "jobwright_http_request_seconds_count", face="api") == 2
    labels = [labels for labels in app_series(client) if "BREW" in labels]
    assert labels == []


def app_series(client: FlaskClient) -> list[str]:
    return [line for line in client.get("/metrics").get_data(as_text=True).splitlines() if not line.startswith("#")]


@pytest.mark.parametrize(
    ("changes", "address", "headers", "status", "words"),
    [
        ({}, "192.0.2.7", {}, 403, "JOBWRIGHT_METRICS_NETWORKS"),
        ({}, "127.0.0.1", {"X-Forwarded-For": "192.0.2.7"}, 403, "JOBWRIGHT_PROXY_HOPS"),
        ({"metrics_networks": ("192.0.2.0/24",)}, "192.0.2.7", {}, 200, ""),
        ({"metrics_token": "3f9a1c7e5b2d8f60"}, "192.0.2.7", {"Authorization": "Bearer 3f9a1c7e5b2d8f60"}, 200, ""),
        ({"metrics_token": "3f9a1c7e5b2d8f60"}, "127.0.0.1", {}, 401, "JOBWRIGHT_METRICS_TOKEN"),
    ],
)
def test_access_by_the_settings(
    store: Store,
    settings: Settings,
    catalogue: Catalogue,
    changes: dict[str, object],
    address: str,
    headers: dict[str, str],
    status: int,
    words: str,
) -> None:
    services = build_services(replace(settings, **changes), store, catalogue=catalogue)  # type: ignore[arg-type]
    answer = create_probes(services).test_client().get("/metrics", headers=headers, environ_base={"REMOTE_ADDR": address})
    assert answer.status_code == status
    assert words in answer.get_data(as_text=True)
    if status != 200:
        assert answer.content_type == "application/problem+json"


def test_the_port_for_probes_has_health_and_metrics_alone(services: Services) -> None:
    client = create_probes(services).test_client()
    assert [client.get(path).status_code for path in ("/live", "/ready", "/health", "/health/detailed", "/metrics")] == [200] * 5
    for path in ("/", "/jobs", "/sign-in", "/api/admin/scheduler-jobs", "/api/openapi.json", "/api/docs", "/static/app.css"):
        assert client.get(path).status_code == 404, path


def test_the_values_of_a_database_that_is_away_are_not_shown() -> None:
    clock, away = ManualClock(START), [False]

    def read() -> Values:
        if away[0]:
            raise AutoReconnect("away")
        return {"jobwright_executions": {("queued",): 3.0}}

    metrics = Metrics(access=MetricsAccess(token="", networks=()), measures=Measures(), parts={"executions": read}, clock=clock)
    assert metrics.of_database() == {"jobwright_executions": {("queued",): 3.0}}
    away[0] = True
    assert metrics.of_database() is not None  # at most CACHE_SECONDS old
    clock.advance(CACHE_SECONDS)
    assert metrics.of_database() is None
    away[0] = False
    assert metrics.of_database() is None  # whoever asks again at once does not wait for the database again
    clock.advance(CACHE_SECONDS)
    assert metrics.of_database() is not None


def test_scrapes_at_the_same_time_read_the_database_once() -> None:
    reads, together = [], Barrier(4)

    def read() -> Values:
        reads.append(1)
        return {}

    metrics = Metrics(
        access=MetricsAccess(token="", networks=()), measures=Measures(), parts={"executions": read}, clock=ManualClock(START)
    )

    def scrape() -> None:
        together.wait()
        metrics.of_database()

    threads = [Thread(target=scrape) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reads) == 1


def test_each_value_has_the_labels_of_the_catalogue(services: Services) -> None:
    for name, series in (services.metrics.of_database() or {}).items():
        assert all(len(labels) == len(BY_NAME[name].labels) for labels in series), name
