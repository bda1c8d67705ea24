"""The metrics: which values of the database they have, and who may read them."""

from __future__ import annotations

from app.factory.ground import Ground
from app.metrics.access import MetricsAccess
from app.metrics.service import Metrics, Values


def build_metrics(ground: Ground) -> Metrics:
    """The metrics of this process and of the installation."""
    settings, stores = ground.settings, ground.stores

    def executions() -> Values:
        return {"jobwright_executions": {(status,): float(n) for status, n in stores.statistics.counts_by_status().items()}}

    return Metrics(
        access=MetricsAccess(token=settings.metrics_token, networks=settings.metrics_networks),
        measures=ground.measures,
        parts={"executions": executions},
        clock=ground.clock,
    )
