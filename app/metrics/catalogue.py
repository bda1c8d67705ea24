"""Every metric: its name, kind, labels and meaning. docs/reference/metrics.md is checked against this table by a test."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a metric is."""

    COUNTER = "counter"  # only grows, but for a start from 0
    GAUGE = "gauge"  # a value of this moment
    HISTOGRAM = "histogram"  # how many durations fell into each bucket


class Source(StrEnum):
    """Where the values of a metric come from."""

    DATABASE = "database"  # the same from each process; values of this installation
    PROCESS = "process"  # what this process has counted since its start


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """`name` is the one in the answer, which for a counter ends in `_total`. `labels` are always all there."""

    name: str
    kind: Kind
    source: Source
    text: str
    labels: tuple[str, ...] = ()


def _metric(kind: Kind, source: Source, name: str, text: str, *labels: str) -> Metric:
    return Metric(name=name, kind=kind, source=source, text=text, labels=labels)


METRICS = (
    # -- this process
    _metric(Kind.GAUGE, Source.PROCESS, "jobwright_build_info", "Always 1; the version of Jobwright stands in its label", "version"),
    _metric(Kind.GAUGE, Source.PROCESS, "jobwright_up", "Whether the database answered: 1, or 0; with 0 no values of the database follow"),
    _metric(
        Kind.GAUGE, Source.PROCESS, "jobwright_tick_age_seconds", "Seconds since the scheduler of this process last looked for due jobs"
    ),
    _metric(
        Kind.COUNTER,
        Source.PROCESS,
        "jobwright_http_requests_total",
        "Answered HTTP requests, by the pattern of their address",
        "route",
        "method",
        "status",
    ),
    _metric(
        Kind.HISTOGRAM,
        Source.PROCESS,
        "jobwright_http_request_seconds",
        "How long requests took, for REST (`api`), pages (`page`) and probes with metrics (`probe`)",
        "face",
    ),
    # -- executions
    _metric(Kind.GAUGE, Source.DATABASE, "jobwright_executions", "Executions that wait or run, by status", "status"),
)
BY_NAME = {metric.name: metric for metric in METRICS}
