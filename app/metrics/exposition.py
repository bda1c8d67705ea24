"""The metrics as a text for Prometheus, in its own format or as OpenMetrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from app.measures import BUCKETS, Labels, Times
from app.metrics.catalogue import METRICS, Kind, Metric
from app.metrics.service import Metrics, Values

Series = Mapping[Labels, float | Times]


def exposition(metrics: Metrics, accept: str, *, engine_age: float | None) -> tuple[bytes, str]:
    """Returns the text and its media type. `engine_age` is None in a process without a scheduler."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Values(_values(metrics, engine_age)))
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    encode, media_type = choose_encoder(accept)
    return encode(registry), media_type


def _values(metrics: Metrics, engine_age: float | None) -> Values:
    of_database = metrics.of_database()
    own: dict[str, Series] = {
        **metrics.measures.counts(),
        **metrics.measures.times(),
        "jobwright_build_info": {(version("jobwright"),): 1.0},
        "jobwright_up": {(): float(of_database is not None)},
    }
    if engine_age is not None:
        own["jobwright_tick_age_seconds"] = {(): engine_age}
    return {**own, **(of_database or {})}


class _Values(Collector):
    """The metrics of the catalogue that have a value."""

    def __init__(self, values: Values) -> None:
        self._values = values

    def collect(self) -> Iterator[Family]:
        for metric in METRICS:
            if metric.name in self._values:
                yield _family(metric, self._values[metric.name])


def _family(metric: Metric, series: Series) -> Family:
    if metric.kind is Kind.HISTOGRAM:
        return _histogram(metric, series)
    family = (CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily)(metric.name, metric.text, labels=metric.labels)
    for labels, value in sorted(series.items()):
        if not isinstance(value, Times):
            family.add_metric(labels, value)
    return family


def _histogram(metric: Metric, series: Series) -> Family:
    family = HistogramMetricFamily(metric.name, metric.text, labels=metric.labels)
    for labels, times in sorted(series.items(), key=lambda item: item[0]):
        if isinstance(times, Times):
            family.add_metric(labels, _cumulated(times), times.seconds)
    return family


def _cumulated(times: Times) -> list[tuple[str, float]]:
    """Buckets as Prometheus has them, each with all that the smaller ones hold: counts 2, 1, 3 are 2, 3, 6."""
    total, buckets = 0.0, []
    for bound, count in zip([*map(str, BUCKETS), "+Inf"], times.counts, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets
