"""The catalogue of metrics, and its page."""

from __future__ import annotations

import re
from pathlib import Path

from app.measures import BUCKETS
from app.metrics.catalogue import BY_NAME, METRICS, Kind, Metric

PAGE = Path(__file__).parents[3] / "docs/reference/metrics.md"
OF_ONE_THING = {"pid", "worker", "node", "host", "execution", "execution_id", "instance"}


def row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "–"
    return f"| `{metric.name}` | {metric.kind.value} | {metric.source.value} | {labels} | {metric.text} |"


def test_every_metric_stands_on_its_page_with_all_that_it_is() -> None:
    rows = re.findall(r"^\| `(?:jobwright|schedule|distributed).+\|$", PAGE.read_text(), re.MULTILINE)
    assert rows == [row(metric) for metric in METRICS]
    assert ", ".join(f"{bound:g}" for bound in BUCKETS[:-1]) in PAGE.read_text()


def test_names_are_those_that_prometheus_expects() -> None:
    assert len(BY_NAME) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.name)
        if metric.kind is Kind.COUNTER:
            assert metric.name.endswith("_total"), metric.name
        if metric.kind is Kind.HISTOGRAM:
            assert metric.name.endswith("_seconds"), metric.name


def test_no_label_names_one_process_or_execution() -> None:
    assert [metric.name for metric in METRICS if OF_ONE_THING & set(metric.labels)] == []
