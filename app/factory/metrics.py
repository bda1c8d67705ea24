"""The metrics: which values of the database they have, and who may read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.config import MOST_MEASURED_JOBS
from app.factory.ground import Ground
from app.factory.monitor import build_monitor
from app.factory.outboxes import outboxes
from app.metrics.access import MetricsAccess
from app.metrics.chosen import ChosenJobs
from app.metrics.counting import EndCounter
from app.metrics.ends import values_of
from app.metrics.service import Metrics, Values
from app.metrics.state import (
    connection_values,
    incident_values,
    job_values,
    maintenance_values,
    monitor_values,
    node_values,
    notification_values,
    outbox_values,
    queue_values,
    unplaced_values,
)
from app.notification.channel_store import broken_channels
from app.notification.deliveries import LATELY
from app.notification.delivery import UNDELIVERED

if TYPE_CHECKING:
    from app.clock import Clock
    from app.execution.unplaced import Unplaced
    from app.factory.stores import Stores
    from app.scheduling.node_control import NodeControl


def build_metrics(ground: Ground, unplaced: Unplaced, node_control: NodeControl) -> Metrics:
    """The metrics of this process and of the installation."""
    settings, stores, clock = ground.settings, ground.stores, ground.clock

    def queue() -> Values:
        now, live = clock.now(), stores.statistics.counts_by_status()
        return queue_values(stores.measured.waiting(now, node_control.takes), stores.measured.running(now), live, now)

    def jobs() -> Values:
        by_schedule = stores.usage.counts_by_schedule()
        return job_values(by_schedule, failing=stores.usage.count_failing(), created=stores.usage.count_created())

    def totals() -> Values:
        found = stores.totals.read()
        return values_of(found.counts if found else {})

    def notifications() -> Values:
        now, log = clock.now(), stores.notification_deliveries
        waiting, oldest = log.waiting()
        undelivered = log.count_since(now - LATELY, UNDELIVERED)
        troubled = {
            "unreachable": len(stores.channel_states.unreachable()),
            "broken": len(broken_channels(stores.channels, stores.channel_states)),
        }
        return notification_values(waiting, oldest, undelivered=undelivered, channels=troubled, now=now)

    return Metrics(
        access=MetricsAccess(token=settings.metrics_token, networks=settings.metrics_networks),
        measures=ground.measures,
        parts={
            "queue": queue,
            "unplaced": lambda: unplaced_values(unplaced.overdue()),
            "jobs": jobs,
            **({"chosen jobs": _chosen(settings.metrics_jobs, stores, clock).read} if settings.metrics_jobs else {}),
            "totals": totals,
            "nodes": lambda: node_values(stores.nodes.all(), clock.now()),
            "connections": lambda: connection_values(stores.health.all().values()),
            "outbox": lambda: outbox_values(outboxes(settings, stores), clock.now()),
            "notifications": notifications,
            "monitor": lambda: monitor_values(build_monitor(settings, stores).state(), clock.now()),
            "incidents": lambda: incident_values(stores.incidents.counts_by_state()),
            "maintenance": lambda: maintenance_values(stores.maintenance.get),
        },
        clock=clock,
    )


def build_end_counter(stores: Stores, clock: Clock) -> EndCounter:
    """What counts ended executions, on each node that plans."""
    types, now = stores.usage.schedule_types, stores.totals.database_time
    return EndCounter(ends=stores.measured, totals=stores.totals, types=types, now=now, clock=clock)


def _chosen(chosen: tuple[str, str], stores: Stores, clock: Clock) -> ChosenJobs:
    how, what = chosen
    limit, tag = (int(what), None) if how == "top" else (MOST_MEASURED_JOBS, what)
    return ChosenJobs(choose=lambda: stores.usage.highest_ids(limit, tag=tag), last_runs=stores.usage.last_runs, clock=clock)
