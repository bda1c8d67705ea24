"""The state of the installation as values of metrics. Each function is one part: what it reads, and what it makes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime

from app.connections.health_store import Health
from app.execution.measured_store import RunningNow, Waiting
from app.execution.statistics_store import UnplacedRuns
from app.measures import Labels
from app.metrics.service import Values
from app.notification.announcing import AlertSeverity
from app.notification.incidents.incident import IncidentState
from app.notification.monitor.model import PARTS, MonitorState
from app.outbox.store import OutboxStore
from app.scheduling.node_store import NodeRole, NodeSeen
from app.triggers import TRIGGERS

STALLED_SECONDS = 30.0  # a scheduler whose last tick is longer ago is stalled
JOB_STATES = ("enabled", "disabled", "paused", "broken")
NODE_STATES = ("online", "stalled", "draining", "offline")
UNKNOWN = "unknown"


def queue_values(waiting: Waiting, running: RunningNow, live: Mapping[str, int], now: datetime) -> Values:
    """What waits and runs."""
    return {
        "jobwright_executions": {(status,): float(count) for status, count in live.items()},
        "jobwright_queue_depth": {(): float(waiting.free)},
        "jobwright_queue_backlog": {(): float(waiting.all)},
        "jobwright_queue_oldest_seconds": {(): _age(waiting.oldest, now)},
        "jobwright_running_oldest_seconds": {(): _age(running.oldest, now)},
        "jobwright_running_long": {(): float(running.long)},
    }


def unplaced_values(unplaced: Iterable[UnplacedRuns]) -> Values:
    """The executions that no node takes."""
    return {"jobwright_queue_unplaced": {(): float(sum(runs.count for runs in unplaced))}}


def job_values(by_schedule: Mapping[tuple[str, str], int], *, failing: int, created: int) -> Values:
    """The jobs of the registry."""
    counts: Counter[Labels] = Counter({(schedule, state): 0 for schedule in TRIGGERS for state in JOB_STATES})
    for (schedule, state), count in by_schedule.items():
        counts[schedule if schedule in TRIGGERS else UNKNOWN, state] += count
    return {
        "schedules_total": {labels: float(count) for labels, count in counts.items()},
        "jobwright_jobs_failing": {(): float(failing)},
        "jobwright_jobs_created_total": {(): float(created)},
    }


def node_values(nodes: Collection[NodeSeen], now: datetime) -> Values:
    """The nodes, by what they do. The tick of the best scheduler counts: one that ticks is enough."""
    states: Counter[Labels] = Counter({(role.value, state): 0 for role in NodeRole for state in NODE_STATES})
    online = [node for node in nodes if node.lives(now)]
    for node in nodes:
        states[node.role if node.role in set(NodeRole) else UNKNOWN, _state(node, now)] += 1
    used = sum(node.running for node in online)
    free = sum(max(0, node.slots - node.running) for node in online if node.drain is None)
    ages = [_tick_age(node, now) for node in online if node.role == NodeRole.SCHEDULER]
    return {
        "jobwright_nodes": {labels: float(count) for labels, count in states.items()},
        "jobwright_nodes_deaf": {(): float(sum(node.hears is False for node in online))},
        "jobwright_slots": {("used",): float(used), ("free",): float(free)},
        **({"jobwright_scheduler_tick_age_seconds": {(): min(ages)}} if ages else {}),
    }


def _state(node: NodeSeen, now: datetime) -> str:
    if not node.lives(now):
        return "offline"
    if node.role == NodeRole.SCHEDULER and _tick_age(node, now) > STALLED_SECONDS:
        return "stalled"
    return "online" if node.drain is None else "draining"


def _tick_age(node: NodeSeen, now: datetime) -> float:
    return node.tick_age_seconds + _age(node.seen_at, now)


def connection_values(health: Iterable[Health]) -> Values:
    """The connections by the answer to their last test."""
    words = {True: "answering", False: "failing", None: "untested"}
    counts = Counter(dict.fromkeys(words.values(), 0))
    counts.update(words[one.works] for one in health)
    return {"jobwright_connections": {(word,): float(count) for word, count in counts.items()}}


def outbox_values(outboxes: Iterable[tuple[str, OutboxStore[object]]], now: datetime) -> Values:
    """The follow-ups that wait, by who carries them out."""
    waiting: dict[Labels, float] = {}
    oldest: dict[Labels, float] = {}
    given_up: dict[Labels, float] = {}
    for carrier, outbox in outboxes:
        dropped = outbox.count_given_up_of(carrier)
        waiting[(carrier,)] = float(outbox.count(carrier) - dropped)
        given_up[(carrier,)] = float(dropped)
        oldest[(carrier,)] = _age(outbox.due_since(carrier, now), now)
    return {"jobwright_outbox_waiting": waiting, "jobwright_outbox_oldest_seconds": oldest, "jobwright_outbox_given_up": given_up}


def notification_values(waiting: int, oldest: datetime | None, *, undelivered: int, channels: Mapping[str, int], now: datetime) -> Values:
    """The notifications that wait and those that did not arrive, and the channels in trouble, by what troubles them."""
    return {
        "jobwright_notifications_waiting": {(): float(waiting)},
        "jobwright_notifications_oldest_seconds": {(): _age(oldest, now)},
        "jobwright_notifications_undelivered": {(): float(undelivered)},
        **{f"jobwright_channels_{trouble}": {(): float(count)} for trouble, count in channels.items()},
    }


def monitor_values(state: MonitorState, now: datetime) -> Values:
    """Whether the installation is stuck, and when the outside monitor last took a call."""
    stuck = state.stuck.parts if state.stuck is not None else ()
    values: dict[str, dict[Labels, float]] = {"jobwright_stuck": {(part,): float(part in stuck) for part in PARTS}}
    if state.monitored:
        values["jobwright_monitor_failing_seconds"] = {(): _age(state.pings.failing_since, now)}
        if state.pings.pinged_at is not None:
            values["jobwright_monitor_ping_age_seconds"] = {(): _age(state.pings.pinged_at, now)}
    return values


def incident_values(counts: Mapping[tuple[str, str], int]) -> Values:
    """The open incidents. What a damaged one says of itself is left out."""
    open_states = [state.value for state in IncidentState if state is not IncidentState.RESOLVED]
    known = [(state, severity.value) for state in open_states for severity in AlertSeverity]
    return {"jobwright_incidents": {labels: float(counts.get(labels, 0)) for labels in known}}


def maintenance_values(get: Callable[[], object | None]) -> Values:
    """Whether maintenance is on."""
    return {"jobwright_maintenance": {(): float(get() is not None)}}


def _age(since: datetime | None, now: datetime) -> float:
    """Seconds since an instant; 0 for one to come, as clocks differ, and for none."""
    return max(0.0, (now - since).total_seconds()) if since is not None else 0.0
